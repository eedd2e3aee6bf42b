"""Write tests/golden/data/sequence.gold: layers of sequence models as PyTorch computes them, float64 (format: goldens.py).

For each net: <net>/param/<name>, <net>/x, <net>/y, <net>/dy (the upstream gradient), <net>/dx, <net>/grad/<name>.
Names are PyTorch's: tests/test_sequence_pytorch.c builds the same layers, finds each parameter by its name, and must see the same.
"""
import math
import os

import torch
import torch.nn as nn
import torch.nn.functional as F

import goldens

B, T, C, H, HEADS, LENGTHS = 2, 7, 12, 5, 3, [7, 4]


class Block(nn.Module):
    """Pre-norm, causal, gated, without biases: what PyTorch has no layer of."""

    def __init__(self, norm, hidden):
        super().__init__()
        self.self_attn = nn.MultiheadAttention(C, HEADS, bias=False, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(C, 2 * hidden, bias=False), nn.Linear(hidden, C, bias=False)
        self.norm1, self.norm2 = norm(), norm()

    def forward(self, x):
        def normalise(norm, y):
            return norm(y.flatten(0, 1)).view_as(y)

        later = torch.ones(T, T, dtype=torch.bool).triu(1)
        h = normalise(self.norm1, x)
        x = x + self.self_attn(h, h, h, attn_mask=later, need_weights=False)[0]
        value, gate = self.linear1(normalise(self.norm2, x)).chunk(2, -1)
        return x + self.linear2(value * F.silu(gate))


def encoder(**options):
    return nn.TransformerEncoderLayer(C, HEADS, 20, dropout=0.0, batch_first=True, **options)


def padded(layer, x):
    return layer(x, src_key_padding_mask=torch.arange(T) >= torch.tensor(LENGTHS)[:, None])


def causal(layer, x):
    return layer(x, src_mask=nn.Transformer.generate_square_subsequent_mask(T, dtype=x.dtype), is_causal=True)


def plain(layer, x):
    return layer(x)


class Sines(nn.Module):
    def forward(self, x):
        t, c = x.shape[1:]
        angle = torch.arange(t)[:, None] * torch.exp(torch.arange(0, c, 2, dtype=x.dtype) * (-math.log(10000.0) / c))
        return x + torch.stack((angle.sin(), angle.cos()), -1).flatten(1)


class Recurrent(nn.Module):
    """A recurrent layer with norms: of the inputs' sums, and, where inside, of the states' sums and of c too."""

    def __init__(self, gates, norm, inside):
        super().__init__()
        self.gates, self.inside = gates, inside
        self.weight_ih_l0, self.weight_hh_l0 = nn.Parameter(torch.empty(gates * H, C)), nn.Parameter(torch.empty(gates * H, H))
        self.bias_ih_l0, self.bias_hh_l0 = nn.Parameter(torch.empty(gates * H)), nn.Parameter(torch.empty(gates * H))
        self.norm_ih_l0 = norm(gates * H)
        if inside:
            self.norm_hh_l0 = norm(gates * H)
            self.norm_c_l0 = norm(H) if gates == 4 else None

    def forward(self, x):
        sums = self.norm_ih_l0((x @ self.weight_ih_l0.T).flatten(0, 1)).view(*x.shape[:2], -1) + self.bias_ih_l0
        h = c = x.new_zeros(x.shape[1], H)
        ys = []
        for s in sums:
            u = h @ self.weight_hh_l0.T
            u = (self.norm_hh_l0(u) if self.inside else u) + self.bias_hh_l0
            if self.gates == 4:
                i, f, g, o = (s + u).chunk(4, -1)
                c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                h = o.sigmoid() * (self.norm_c_l0(c) if self.inside else c).tanh()
            elif self.gates == 3:
                (sr, sz, sn), (ur, uz, un) = s.chunk(3, -1), u.chunk(3, -1)
                r, z = (sr + ur).sigmoid(), (sz + uz).sigmoid()
                h = (1 - z) * (sn + r * un).tanh() + z * h
            else:
                h = (s + u).tanh()
            ys.append(h)
        return torch.stack(ys)


def first(layer, x):
    return layer(x)[0]


NETS = {
    "post_padded": (lambda: encoder(activation="relu"), padded, (B, T, C)),
    "pre_causal": (lambda: encoder(activation="gelu", norm_first=True), causal, (B, T, C)),
    "swiglu_rms": (lambda: Block(lambda: nn.RMSNorm(C, eps=1e-5), 32), plain, (B, T, C)),
    "swiglu_bn": (lambda: Block(lambda: nn.BatchNorm1d(C), 32), plain, (B, T, C)),
    "sines": (Sines, plain, (B, T, C)),
    "lstm_two": (lambda: nn.LSTM(C, H, 2), first, (T, B, C)),
    "gru_batch_first": (lambda: nn.GRU(C, H, batch_first=True), first, (B, T, C)),
    "rnn_plain": (lambda: nn.RNN(C, H, bias=False, nonlinearity="relu"), first, (T, B, C)),
    "lstm_bn": (lambda: Recurrent(4, nn.BatchNorm1d, False), plain, (T, B, C)),
    "gru_ln": (lambda: Recurrent(3, nn.LayerNorm, False), plain, (T, B, C)),
    "lstm_ln_inside": (lambda: Recurrent(4, nn.LayerNorm, True), plain, (T, B, C)),
    "gru_ln_inside": (lambda: Recurrent(3, nn.LayerNorm, True), plain, (T, B, C)),
    "rnn_ln_inside": (lambda: Recurrent(1, nn.LayerNorm, True), plain, (T, B, C)),
}


def compute(name):
    make, run, shape = NETS[name]
    net = make().double().train()
    entries = {}
    for key, p in net.named_parameters():
        value = goldens.seeded(f"sequence/{name}/{key}").standard_normal(tuple(p.shape))
        value = 1 + 0.2 * value if "norm" in key and key.endswith("weight") else 0.4 * value
        p.data = torch.tensor(goldens.exact_float(value))
        entries[f"{name}/param/{key}"] = p.detach().numpy().copy()
    x = torch.tensor(goldens.exact_float(goldens.seeded(f"sequence/{name}/x").standard_normal(shape)), requires_grad=True)
    y = run(net, x)
    dy = goldens.exact_float(goldens.seeded(f"sequence/{name}/dy").standard_normal(tuple(y.shape)))
    y.backward(torch.tensor(dy))
    entries.update({f"{name}/x": x.detach().numpy(), f"{name}/y": y.detach().numpy(), f"{name}/dy": dy})
    entries[f"{name}/dx"] = x.grad.numpy()
    entries.update({f"{name}/grad/{key}": p.grad.numpy() for key, p in net.named_parameters()})
    return entries


if __name__ == "__main__":
    entries = {}
    for name in NETS:
        entries.update(compute(name))
    print(goldens.write(os.path.join(goldens.HERE, "data", "sequence.gold"), entries), "bytes")

"""Write tests/golden/data/language.gold: ten steps of training language models in PyTorch, float64 (format: goldens.py).

For each net: <net>/init/<parameter>, <net>/x and <net>/y [steps, ...] (tokens), <net>/lr, <net>/loss, <net>/norm [steps] (of the
gradient before clipping), <net>/final/<parameter>. AdamW, weight decay on matrices alone, a warm-up, clipping; the LSTM carries
its states from step to step without their history. tests/test_language.c trains the nets of tare charlm from the same weights.
"""
import math
import os

import torch
import torch.nn as nn
import torch.nn.functional as F

import goldens

STEPS, WARMUP, TOKENS = 10, 3, 13


class Gpt(nn.Module):
    """Pre-norm blocks, learned positions, output tied to the embedding: [B,T] -> [B*T,tokens]."""

    x_shape = (3, 8)

    def __init__(self):
        super().__init__()
        self.embedding, self.positions = nn.Embedding(TOKENS, 16), nn.Embedding(8, 16)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(16, 2, 64, 0.0, "gelu", batch_first=True, norm_first=True) for _ in range(2))
        self.norm = nn.LayerNorm(16)

    def forward(self, x):
        h = self.embedding(x) + self.positions.weight
        later = nn.Transformer.generate_square_subsequent_mask(8, dtype=h.dtype)
        for layer in self.layers:
            h = layer(h, src_mask=later, is_causal=True)
        return F.linear(self.norm(h), self.embedding.weight).flatten(0, 1)


class Lstm(nn.Module):
    """[T,B] -> [T*B,tokens], from the states that the call before left."""

    x_shape = (8, 4)

    def __init__(self):
        super().__init__()
        self.embedding, self.rnn, self.head = nn.Embedding(TOKENS, 6), nn.LSTM(6, 12), nn.Linear(12, TOKENS)
        self.state = None

    def forward(self, x):
        h, state = self.rnn(self.embedding(x), self.state)
        self.state = tuple(s.detach() for s in state)
        return self.head(h).flatten(0, 1)


def rate(step):
    """Up to 5e-3 over the warm-up, then along a cosine down to 1e-4."""
    if step < WARMUP:
        return 5e-3 * (step + 1) / (WARMUP + 1)
    return 1e-4 + (5e-3 - 1e-4) * (1 + math.cos(math.pi * (step - WARMUP) / (STEPS - WARMUP))) / 2


def trajectory(name, net):
    entries = {}
    for key, p in net.double().named_parameters():
        value = 0.3 * goldens.seeded(f"language/{name}/{key}").standard_normal(tuple(p.shape))
        value = 1 + value if "norm" in key and key.endswith("weight") else value
        p.data = torch.tensor(goldens.exact_float(value))
        entries[f"{name}/init/{key}"] = p.detach().numpy().copy()
    matrices = [p for p in net.parameters() if p.dim() > 1]
    vectors = [p for p in net.parameters() if p.dim() == 1]
    opt = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}], betas=(0.9, 0.99))
    rng = goldens.seeded(f"language/{name}/text")
    x = rng.integers(0, TOKENS, (STEPS, *net.x_shape))
    y = (x * x + 1) % TOKENS  # something to learn
    losses, norms = [], []
    for step in range(STEPS):
        loss = F.cross_entropy(net(torch.tensor(x[step])), torch.tensor(y[step].reshape(-1)))
        opt.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0).item())
        for group in opt.param_groups:
            group["lr"] = rate(step)
        opt.step()
        losses.append(loss.item())
    entries.update({f"{name}/x": x, f"{name}/y": y, f"{name}/lr": [rate(s) for s in range(STEPS)]})
    entries.update({f"{name}/loss": losses, f"{name}/norm": norms})
    entries.update({f"{name}/final/{key}": p.detach().numpy() for key, p in net.named_parameters()})
    print(f"{name}: {losses[0]:.4f} -> {losses[-1]:.4f}, gradient norms {min(norms):.2f} .. {max(norms):.2f}")
    return entries


if __name__ == "__main__":
    all_entries = {**trajectory("gpt", Gpt()), **trajectory("lstm", Lstm())}
    print(goldens.write(os.path.join(goldens.HERE, "data", "language.gold"), all_entries), "bytes")

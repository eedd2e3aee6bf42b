"""Ops of sequence models."""
from goldens import op, normal, away, F, torch

TWICE = [4, 0, 4, 2, 1, 4]
op("embedding", "matrix", lambda w: F.embedding(torch.tensor(TWICE).view(2, 3), w), normal(5, 3))
op("embedding", "vector", lambda w: F.embedding(torch.tensor(TWICE[:4]), w), normal(5, 1))
op("embedding", "one", lambda w: F.embedding(torch.tensor(TWICE[0]), w), normal(5, 4))

# ---- gated linear units ------------------------------------------------------------------------------------------------
ACT = {"glu": torch.sigmoid, "swiglu": F.silu, "geglu": F.gelu, "reglu": F.relu, "bilinear": lambda g: g}


def gated(kind):
    def packed(x, none):
        value, gate = x.chunk(2, dim=-1)
        return F.glu(x) if kind == "glu" else value * ACT[kind](gate)

    return packed


def split(kind):
    return lambda value, gate: value * ACT[kind](gate)


op("glu", "glu", gated("glu"), normal(5, 74), None)
op("glu", "swiglu", gated("swiglu"), normal(2, 3, 38), None)
op("glu", "geglu", gated("geglu"), normal(4, 66), None)
op("glu", "reglu", gated("reglu"), away(4, 14), None)
op("glu", "bilinear", gated("bilinear"), normal(10), None)
op("glu", "glu_split", split("glu"), normal(3, 7), normal(3, 7))
op("glu", "swiglu_split", split("swiglu"), normal(2, 3, 347), normal(2, 3, 347))
op("glu", "geglu_split", split("geglu"), normal(3, 7), normal(3, 7))
op("glu", "reglu_split", split("reglu"), normal(3, 7), away(3, 7))
op("glu", "bilinear_split", split("bilinear"), normal(), normal())


# ---- attention ---------------------------------------------------------------------------------------------------------
def seen(t, s, causal, lengths, batch):
    """Which keys each query sees: [B,1,T,S]."""
    mask = torch.ones(batch, 1, t, s, dtype=torch.bool)
    if causal:
        mask &= torch.ones(t, s, dtype=torch.bool).tril(s - t)
    for b, length in enumerate(lengths or []):
        mask[b, :, :, length:] = False
    return mask


def apart(causal=False, scale=None, lengths=None):
    def run(q, k, v):
        mask = seen(q.shape[2], k.shape[2], causal, lengths, q.shape[0])
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)

    return run


def packed(heads, **options):
    def run(qkv, _k, _v):
        b, t, c = qkv.shape
        q, k, v = (x.view(b, t, heads, c // 3 // heads).transpose(1, 2) for x in qkv.chunk(3, dim=2))
        return apart(**options)(q, k, v).transpose(1, 2).reshape(b, t, c // 3)

    return run


def qkv(b, h, t, s, d):
    return normal(b, h, t, d), normal(b, h, s, d), normal(b, h, s, d)


op("attention", "full", apart(), *qkv(2, 2, 4, 4, 3))
op("attention", "causal", lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True), *qkv(1, 2, 5, 5, 4))
op("attention", "more_keys", apart(scale=0.7), *qkv(1, 2, 3, 7, 2))
op("attention", "continued", apart(causal=True), *qkv(1, 1, 2, 6, 3))
op("attention", "one", apart(scale=1), *qkv(1, 1, 1, 2, 1))
op("attention", "lengths", apart(lengths=[3, 5]), *qkv(2, 1, 4, 5, 3))
op("attention", "tiles", apart(scale=1), *qkv(1, 1, 70, 300, 2))
op("attention", "causal_tiles", apart(causal=True), *qkv(1, 1, 270, 270, 2))
op("attention", "packed", packed(2), normal(2, 6, 18), None, None)
op("attention", "packed_causal", packed(1, causal=True), normal(2, 19, 12), None, None)
op("attention", "packed_lengths", packed(2, causal=True, lengths=[3, 5]), normal(2, 6, 12), None, None)
op("attention", "dropout_eval", packed(1), normal(1, 4, 6), None, None)


# ---- rotary positions --------------------------------------------------------------------------------------------------
def turned(x, base=10000.0, offset=0, interleaved=False):
    """x [...,T,D] as complex numbers times e^(i p theta)."""
    t, d = x.shape[-2:]
    theta = base ** (-2.0 * torch.arange(d // 2, dtype=torch.float64) / d)
    angle = torch.outer(torch.arange(offset, offset + t, dtype=torch.float64), theta)
    re, im = (x[..., 0::2], x[..., 1::2]) if interleaved else x.chunk(2, dim=-1)
    z = torch.complex(re, im) * torch.polar(torch.ones_like(angle), angle)
    return torch.stack((z.real, z.imag), -1).flatten(-2) if interleaved else torch.cat((z.real, z.imag), -1)


def turned_packed(heads, **options):
    def run(x):
        b, t, c = x.shape
        q, k, v = (y.view(b, t, heads, c // 3 // heads).transpose(1, 2) for y in x.chunk(3, dim=2))
        return torch.cat([y.transpose(1, 2).flatten(2) for y in (turned(q, **options), turned(k, **options), v)], -1)

    return run


op("rotary", "halves", turned, normal(2, 2, 5, 6))
op("rotary", "interleaved", lambda x: turned(x, interleaved=True), normal(2, 5, 38))
op("rotary", "offset", lambda x: turned(x, base=500.0, offset=1000), normal(3, 4))
op("rotary", "packed", turned_packed(2), normal(2, 4, 24))
op("rotary", "packed_interleaved", turned_packed(1, interleaved=True), normal(1, 3, 18))


# ---- recurrent nets ----------------------------------------------------------------------------------------------------
def whole(kind, x, w_hh, w_ih, b_ih, b_hh, h0, c0):
    """All h of sequences of one length, by PyTorch's own nets."""
    weights = [w_ih if w_ih is not None else torch.eye(w_hh.shape[0], dtype=x.dtype), w_hh]
    biased = b_ih is not None
    weights += [b_ih, b_hh] if biased else []
    zeros = torch.zeros(1, x.shape[1], w_hh.shape[1], dtype=x.dtype)
    h = h0[None] if h0 is not None else zeros
    if kind == "lstm":
        h = (h, c0[None] if c0 is not None else zeros)
    net = {"lstm": torch._VF.lstm, "gru": torch._VF.gru, "tanh": torch._VF.rnn_tanh, "relu": torch._VF.rnn_relu}[kind]
    return net(x, h, weights, biased, 1, 0.0, True, False, False)[0]


def recurrent(kind, lengths=None):
    def run(x, w_hh, w_ih, b_ih, b_hh, h0, c0):
        if lengths is None:
            return whole(kind, x, w_hh, w_ih, b_ih, b_hh, h0, c0)
        rows = []
        for b, n in enumerate(lengths):
            states = [s if s is None else s[b : b + 1] for s in (h0, c0)]
            y = whole(kind, x[:n, b : b + 1], w_hh, w_ih, b_ih, b_hh, *states)
            rows.append(F.pad(y, (0, 0, 0, 0, 0, x.shape[0] - n)))
        return torch.cat(rows, 1)

    return run


def net(t, b, i, h, g, w_ih=True, biased=True, h0=True, c0=True):
    return (
        normal(t, b, i),
        normal(g * h, h, std=0.5),
        normal(g * h, i, std=0.5) if w_ih else None,
        *((normal(g * h), normal(g * h)) if biased else (None, None)),
        normal(b, h) if h0 else None,
        normal(b, h) if c0 else None,
    )


SHORT = [2, 5, 3]
op("rnn", "tanh", recurrent("tanh"), *net(4, 3, 2, 5, 1, c0=False))
op("rnn", "relu", recurrent("relu"), *net(3, 2, 4, 3, 1, h0=False, c0=False))
op("rnn", "tanh_lengths", recurrent("tanh", SHORT), *net(5, 3, 2, 4, 1, c0=False))
op("rnn", "gru", recurrent("gru"), *net(4, 3, 2, 5, 3, c0=False))
op("rnn", "gru_plain", recurrent("gru"), *net(3, 2, 3, 4, 3, biased=False, h0=False, c0=False))
op("rnn", "gru_lengths", recurrent("gru", SHORT), *net(5, 3, 2, 4, 3, c0=False))
op("rnn", "gru_summed", recurrent("gru"), *net(3, 2, 12, 4, 3, w_ih=False, c0=False))
op("rnn", "lstm", recurrent("lstm"), *net(4, 3, 2, 5, 4))
op("rnn", "lstm_plain", recurrent("lstm"), *net(3, 2, 3, 4, 4, biased=False, h0=False, c0=False))
op("rnn", "lstm_lengths", recurrent("lstm", SHORT), *net(5, 3, 2, 4, 4))
op("rnn", "lstm_summed", recurrent("lstm"), *net(3, 2, 16, 4, 4, w_ih=False, biased=False, h0=False, c0=False))
op("rnn", "lstm_wide", recurrent("lstm"), *net(2, 19, 3, 17, 4, c0=False))
op("rnn", "lstm_one_step", recurrent("lstm"), *net(1, 2, 3, 4, 4))


def from_table(kind, index):
    """Each step of each sequence takes a row of x: index [T,B]."""
    run = recurrent(kind)
    return lambda x, *rest: run(x[index], *rest)


TABLE = torch.tensor([3, 1, 1, 0, 3, 3, 1, 0, 1, 3])


def table(g, h, biased, h0):
    return normal(4, g * h), *net(5, 2, 0, h, g, w_ih=False, biased=biased, h0=h0, c0=False)[1:]


op("rnn", "lstm_table", from_table("lstm", TABLE.view(5, 2)), *table(4, 3, True, True))
op("rnn", "gru_table", from_table("gru", TABLE.view(2, 5).T), *table(3, 3, True, False))
op("rnn", "relu_table", from_table("relu", TABLE.view(5, 2)), *table(1, 3, False, False))

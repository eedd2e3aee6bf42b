"""Write tests/golden/data/gan.gold and gan_trajectory.gold: what PyTorch and SciPy compute in float64 (format: goldens.py).

Layers, in training, run twice before one backward:  <case>/init/<name>  <case>/x0 x1 dy0 dy1  <case>/y0 y1 dx0 dx1
  <case>/grad/<parameter>  <case>/final/<buffer>
Gradient penalties, by derivatives of derivatives:  <case>/init/<name>  <case>/x  <case>/penalty  <case>/grad/<parameter>
Sample quality:  frechet<i>/a b mean cov distance   inception/p score mean std
Trajectories:  <net>/d/init/..  <net>/g/init/..  <net>/real [steps,N,..]  <net>/z  <net>/d_loss  <net>/g_loss  <net>/d/final/..
"""
import os
import warnings

import numpy as np
import scipy.linalg
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.utils import spectral_norm

import goldens

warnings.filterwarnings("ignore")
CLASSES = torch.tensor([2, 0, 4])


def exact(rng, *shape):
    return goldens.exact_float(rng.standard_normal(shape))


def name_here(key):
    return key.replace("weight_orig", "weight")


def fill(module, case):
    """Numbers of our own, and vectors of unit length for spectral norm. Returns entries."""
    entries = {}
    with torch.no_grad():
        for key, p in list(module.named_parameters()) + list(module.named_buffers()):
            value = exact(goldens.seeded(f"gan/{case}/{key}"), *p.shape)
            if key.endswith(("weight_u", "weight_v")):
                value = goldens.exact_float(value / np.linalg.norm(value))
            elif "running" in key or "num_batches" in key:
                continue
            elif "norm" in key:
                value = goldens.exact_float(value * 0.2 + (1 if key.endswith("weight") else 0))
            else:
                value = goldens.exact_float(value / max(1, p[0].numel()) ** 0.5)
            p.copy_(torch.tensor(value))
            entries[f"{case}/init/{name_here(key)}"] = p.numpy().copy()
    return entries


# ---- layers, run twice ---------------------------------------------------------------------------------------------------


class Projection(nn.Module):
    def __init__(self, channels, classes, norm):
        super().__init__()
        self.linear, self.embed = norm(nn.Linear(channels, 1)), norm(nn.Embedding(classes, channels))

    def forward(self, x):
        h = x.sum((2, 3))
        return self.linear(h) + (self.embed(CLASSES) * h).sum(1, keepdim=True)


def same(module):
    return module


LAYERS = {
    "sn_linear": (lambda: spectral_norm(nn.Linear(5, 4)), (3, 5)),
    "sn_conv2d": (lambda: spectral_norm(nn.Conv2d(2, 4, 3, padding=1)), (2, 2, 4, 5)),
    "sn_conv_transpose2d": (lambda: spectral_norm(nn.ConvTranspose2d(3, 2, 4, stride=2, padding=1)), (2, 3, 3, 2)),
    "sn_two_steps": (lambda: spectral_norm(nn.Linear(5, 4), n_power_iterations=2), (3, 5)),
    "projection": (lambda: Projection(4, 5, same), (3, 4, 2, 3)),
    "projection_sn": (lambda: Projection(4, 5, spectral_norm), (3, 4, 2, 3)),
}


def run_twice(case):
    make, shape = LAYERS[case]
    layer = make().double().train()
    entries = fill(layer, case)
    rng = goldens.seeded(f"gan/{case}/data")
    xs = [torch.tensor(exact(rng, *shape), requires_grad=True) for _ in range(2)]
    ys = [layer(x) for x in xs]
    dys = [torch.tensor(exact(rng, *y.shape)) for y in ys]
    sum((y * dy).sum() for y, dy in zip(ys, dys)).backward()
    for i in range(2):
        entries[f"{case}/x{i}"], entries[f"{case}/y{i}"] = xs[i].detach().numpy(), ys[i].detach().numpy()
        entries[f"{case}/dy{i}"], entries[f"{case}/dx{i}"] = dys[i].numpy(), xs[i].grad.numpy()
    for key, p in layer.named_parameters():
        entries[f"{case}/grad/{name_here(key)}"] = p.grad.numpy()
    for key, b in layer.named_buffers():
        entries[f"{case}/final/{key}"] = b.numpy()
    return entries


# ---- gradient penalty ----------------------------------------------------------------------------------------------------


def minibatch_stddev(x, group):
    n = x.shape[0]
    y = x.reshape(group, n // group, -1)
    spread = (((y - y.mean(0)) ** 2).mean(0) + 1e-8).sqrt().mean(1)
    return torch.cat([x, spread.repeat(group).reshape(n, 1, 1, 1).expand(n, 1, *x.shape[2:])], 1)


class Critic(nn.Module):
    """conv, LayerNorm of the whole sample, SiLU, minibatch stddev, conv, softplus, linear"""

    def __init__(self, stddev):
        super().__init__()
        self.stddev = stddev
        self.conv1, self.norm1 = nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.LayerNorm([4, 3, 3])
        self.conv2, self.fc = nn.Conv2d(4 + stddev, 3, 3), nn.Linear(3, 1)

    def forward(self, x):
        h = F.silu(self.norm1(self.conv1(x)))
        h = F.softplus(self.conv2(minibatch_stddev(h, 2) if self.stddev else h))
        return self.fc(h.flatten(1))


def penalty(case, kind, stddev):
    d = Critic(stddev).double()
    entries = fill(d, case)
    x = torch.tensor(exact(goldens.seeded(f"gan/{case}/data"), 4, 1, 6, 6), requires_grad=True)
    g = torch.autograd.grad(d(x).sum(), x, create_graph=True)[0]
    r = g.flatten(1).norm(dim=1)
    p = (5 * r**2).mean() if kind == "r1" else (10 * (r - 1) ** 2).mean()
    grads = torch.autograd.grad(p, list(d.parameters()), allow_unused=True)
    entries[f"{case}/x"], entries[f"{case}/penalty"] = x.detach().numpy(), p.item()
    for (key, w), value in zip(d.named_parameters(), grads):
        entries[f"{case}/grad/{key}"] = np.zeros(tuple(w.shape)) if value is None else value.numpy()
    return entries


# ---- sample quality ------------------------------------------------------------------------------------------------------


def frechet(case, n, m, d, rank):
    rng = goldens.seeded(f"gan/{case}")
    mix = rng.standard_normal((rank, d))
    a = goldens.exact_float(rng.standard_normal((n, rank)) @ mix)
    b = goldens.exact_float(0.5 + rng.standard_normal((m, rank)) @ mix * 1.3)
    ca, cb = np.cov(a, rowvar=False).reshape(d, d), np.cov(b, rowvar=False).reshape(d, d)
    root = np.real(scipy.linalg.sqrtm(ca @ cb))
    distance = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca + cb - 2 * root)
    return {f"{case}/a": a, f"{case}/b": b, f"{case}/mean": a.mean(0), f"{case}/cov": ca, f"{case}/distance": distance}


def inception():
    p = torch.tensor(exact(goldens.seeded("gan/inception"), 50, 7) * 3).softmax(1).float().double().numpy()

    def score(q):
        return np.exp((q * (np.log(q) - np.log(q.mean(0)))).sum(1).mean())

    parts = [score(q) for q in np.split(p, 5)]
    return {"inception/p": p, "inception/score": score(p), "inception/mean": np.mean(parts), "inception/std": np.std(parts)}


# ---- one D and G pair ----------------------------------------------------------------------------------------------------


class G(nn.Module):
    def __init__(self, norm):
        super().__init__()
        self.fc, self.norm1 = nn.Linear(6, 8 * 4), norm(8)
        self.conv1, self.norm2 = nn.Conv2d(8, 6, 3, padding=1, bias=False), norm(6)
        self.conv2 = nn.ConvTranspose2d(6, 1, 4, stride=2, padding=1)

    def forward(self, z):
        h = F.interpolate(F.relu(self.norm1(self.fc(z).reshape(-1, 8, 2, 2))), scale_factor=2)
        return torch.tanh(self.conv2(F.relu(self.norm2(self.conv1(h)))))


class D(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = spectral_norm(nn.Conv2d(1, 6, 3, stride=2, padding=1))
        self.conv2 = spectral_norm(nn.Conv2d(6, 8, 3, stride=2, padding=1))
        self.fc = spectral_norm(nn.Linear(32, 1))

    def forward(self, x):
        h = F.leaky_relu(self.conv2(F.leaky_relu(self.conv1(x), 0.1)), 0.1)
        return self.fc(h.flatten(1))


NORMS = {"bn": nn.BatchNorm2d, "in": lambda c: nn.InstanceNorm2d(c, affine=True)}
STEPS, BATCH = 10, 4


def trajectory(net):
    g, d = G(NORMS[net]).double().train(), D().double().train()
    entries = {**fill(g, f"{net}/g"), **fill(d, f"{net}/d")}
    rng = goldens.seeded(f"gan/{net}/data")
    real, z = exact(rng, STEPS, BATCH, 1, 8, 8), exact(rng, STEPS, 2, BATCH, 6)
    opts = [torch.optim.Adam(m.parameters(), lr=5e-3, betas=(0.0, 0.9)) for m in (d, g)]
    losses = {"d_loss": [], "g_loss": []}
    for step in range(STEPS):
        kept = {k: v.clone() for k, v in g.named_buffers()}  # G's statistics stay in D's step
        fake = g(torch.tensor(z[step, 0])).detach()
        for k, v in g.named_buffers():
            v.copy_(kept[k])
        loss = F.relu(1 - d(torch.tensor(real[step]))).mean() + F.relu(1 + d(fake)).mean()
        opts[0].zero_grad()
        loss.backward()
        opts[0].step()
        losses["d_loss"].append(loss.item())
        d.eval()  # and D's vectors in G's
        loss = -d(g(torch.tensor(z[step, 1]))).mean()
        opts[1].zero_grad()
        loss.backward()
        opts[1].step()
        d.train()
        losses["g_loss"].append(loss.item())
    entries[f"{net}/real"], entries[f"{net}/z"] = real, z
    entries.update({f"{net}/{k}": v for k, v in losses.items()})
    for who, module in (("d", d), ("g", g)):
        for key, value in module.state_dict().items():
            entries[f"{net}/{who}/final/{name_here(key)}"] = value.double().numpy()
    print(net, losses["d_loss"][0], losses["d_loss"][-1], losses["g_loss"][-1])
    return entries


if __name__ == "__main__":
    everything = {}
    for layer_case in LAYERS:
        everything.update(run_twice(layer_case))
    everything.update(penalty("r1", "r1", False))
    everything.update(penalty("wgan_gp", "wgan_gp", False))
    everything.update(penalty("r1_stddev", "r1", True))
    everything.update(frechet("frechet0", 60, 40, 7, 7))
    everything.update(frechet("frechet1", 30, 30, 1, 1))
    everything.update(frechet("frechet2", 20, 25, 32, 32))
    everything.update(inception())
    print(goldens.write(os.path.join(goldens.HERE, "data", "gan.gold"), everything), "bytes")
    runs = {**trajectory("bn"), **trajectory("in")}
    print(goldens.write(os.path.join(goldens.HERE, "data", "gan_trajectory.gold"), runs), "bytes")

"""Write tests/golden/data/trajectory.gold: ten optimizer steps of small nets in PyTorch, float64 (format: goldens.py).

For each net: <net>/init/<parameter>, <net>/x [batches, N, ...], <net>/target [batches, N], <net>/loss [steps],
<net>/eval (the loss of batch 0 in evaluation mode after the last step), <net>/final/<parameter or buffer>.
Step s takes batch s % batches. tests/test_trajectory.c builds the same nets with Tare and must see the same losses.
"""
import os

import torch
import torch.nn as nn
import torch.nn.functional as F

import goldens

STEPS, BATCHES = 10, 4


def groups(net, decay):
    """Weight decay passes over biases and norms, as in Tare."""
    kinds = (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm, nn.InstanceNorm2d)
    plain = [p for m in net.modules() for n, p in m.named_parameters(recurse=False) if isinstance(m, kinds) or n == "bias"]
    other = [p for p in net.parameters() if not any(p is q for q in plain)]
    return [{"params": other, "weight_decay": decay}, {"params": plain, "weight_decay": 0.0}]


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(12, 24), nn.Linear(24, 16), nn.Linear(16, 5)

    def forward(self, x):
        return self.fc3(torch.tanh(self.fc2(F.relu(self.fc1(x)))))


class Cnn(nn.Module):
    """conv, norm, ReLU, pool; a residual block; conv of stride 2, norm, SiLU; global average; linear"""

    def __init__(self, norm):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(1, 8, 3, padding=1, bias=False), norm(8)
        self.conv2, self.norm2 = nn.Conv2d(8, 8, 3, padding=1, bias=False), norm(8)
        self.conv3, self.norm3 = nn.Conv2d(8, 12, 3, stride=2, padding=1, bias=False), norm(12)
        self.fc = nn.Linear(12, 5)

    def forward(self, x):
        h = F.max_pool2d(F.relu(self.norm1(self.conv1(x))), 2)
        h = F.relu(h + self.norm2(self.conv2(h)))
        h = F.silu(self.norm3(self.conv3(h)))
        return self.fc(F.adaptive_avg_pool2d(h, 1).flatten(1))


NETS = {
    # name: (net, shape of a sample, batch, optimizer, label smoothing, norm that gradients are clipped to)
    "mlp": (Mlp, (12,), 16, lambda n: torch.optim.SGD(n.parameters(), lr=0.2, momentum=0.9, nesterov=True, weight_decay=1e-3), 0.0, 0.0),
    "cnn_bn": (lambda: Cnn(nn.BatchNorm2d), (1, 8, 8), 6, lambda n: torch.optim.AdamW(groups(n, 0.1), lr=1e-2), 0.1, 0.0),
    "cnn_gn": (lambda: Cnn(lambda c: nn.GroupNorm(4, c)), (1, 8, 8), 6, lambda n: torch.optim.Adam(groups(n, 0.01), lr=1e-2), 0.0, 0.5),
    "cnn_gn1": (lambda: Cnn(lambda c: nn.GroupNorm(1, c)), (1, 8, 8), 6,
               lambda n: torch.optim.RMSprop(groups(n, 0.0), lr=2e-3, momentum=0.5), 0.0, 0.0),
    "cnn_in": (lambda: Cnn(lambda c: nn.InstanceNorm2d(c, affine=True)), (1, 8, 8), 6,
               lambda n: torch.optim.SGD(groups(n, 1e-3), lr=0.05, momentum=0.9), 0.0, 0.0),
}


def trajectory(name):
    make, sample, batch, optimizer, smoothing, clip = NETS[name]
    net = make().double()
    entries = {}
    with torch.no_grad():
        for key, p in net.named_parameters():
            rng, fan = goldens.seeded(f"trajectory/{name}/{key}"), max(1, p[0].numel())
            value = rng.uniform(-1, 1, tuple(p.shape)) / fan**0.5
            if key.startswith("norm"):
                value = value * 0.2 + (1 if key.endswith("weight") else 0)
            p.copy_(torch.tensor(goldens.exact_float(value)))
            entries[f"{name}/init/{key}"] = p.numpy().copy()
    rng = goldens.seeded(f"trajectory/{name}/data")
    x = goldens.exact_float(rng.standard_normal((BATCHES, batch) + sample))
    target = rng.integers(0, 5, (BATCHES, batch))
    entries[f"{name}/x"], entries[f"{name}/target"] = x, target
    opt, losses = optimizer(net), []
    for step in range(STEPS):
        b = step % BATCHES
        loss = F.cross_entropy(net(torch.tensor(x[b])), torch.tensor(target[b]), label_smoothing=smoothing)
        opt.zero_grad()
        loss.backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(net.parameters(), clip)
        opt.step()
        losses.append(loss.item())
    net.eval()
    entries[f"{name}/loss"] = losses
    entries[f"{name}/eval"] = F.cross_entropy(net(torch.tensor(x[0])), torch.tensor(target[0])).item()
    for key, value in net.state_dict().items():
        entries[f"{name}/final/{key}"] = value.double().numpy()
    print(f"{name}: {losses[0]:.4f} -> {losses[-1]:.4f}")
    return entries


if __name__ == "__main__":
    all_entries = {}
    for net_name in NETS:
        all_entries.update(trajectory(net_name))
    size = goldens.write(os.path.join(goldens.HERE, "data", "trajectory.gold"), all_entries)
    print(f"{size} bytes")

"""Ops of sequence models."""
from goldens import op, normal, F, torch

TWICE = [4, 0, 4, 2, 1, 4]
op("embedding", "matrix", lambda w: F.embedding(torch.tensor(TWICE).view(2, 3), w), normal(5, 3))
op("embedding", "vector", lambda w: F.embedding(torch.tensor(TWICE[:4]), w), normal(5, 1))
op("embedding", "one", lambda w: F.embedding(torch.tensor(TWICE[0]), w), normal(5, 4))

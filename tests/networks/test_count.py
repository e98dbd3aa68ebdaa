"""Counting on tensors without values agrees with the closed forms, and counts networks that have none."""

import pytest

from study.config.use import use
from study.networks import shape
from study.networks.count import counted, macs, measured, needed
from study.networks.describe import describe
from study.networks.network import build
from tests.helpers import make_spec

MIXER = """
from torch import nn
import study

@study.family
def perceptron(depth: int, residual: bool, channels: int, classes: int, size: int, *, width: int = 12) -> nn.Module:
    hidden = [part for _ in range(depth - 2) for part in (nn.Linear(width, width), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size**2, width), nn.ReLU(), *hidden, nn.Linear(width, classes))
"""

REAL = """
import torch

@study.family
class Vit(nn.Module):
    def __init__(self, depth, residual, channels, classes, size):
        super().__init__()
        rates = [rate.item() for rate in torch.linspace(0, 0.1, depth)]
        self.embed = nn.Conv2d(channels, 16, 2, 2)
        self.token, self.places = nn.Parameter(torch.zeros(1, 1, 16)), nn.Parameter(torch.zeros(1, (size // 2) ** 2 + 1, 16))
        self.layers = nn.ModuleList([nn.MultiheadAttention(16, 2, dropout=rate, batch_first=True) for rate in rates])
        self.norms = nn.ModuleList([nn.LayerNorm(16) for _ in rates])
        self.residual, self.head = residual, nn.Linear(16, classes)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.places
        for norm, layer in zip(self.norms, self.layers):
            y = norm(x)
            y = layer(y, y, y, need_weights=False)[0]
            x = x + y if self.residual else y
        return self.head(x[:, 0])

@study.family
def convmixer(depth, residual, channels, classes, size):
    layers = [nn.Sequential(nn.Conv2d(8, 8, 5, groups=8, padding="same"), nn.GELU(), nn.BatchNorm2d(8)) for _ in range(depth)]
    return nn.Sequential(nn.Conv2d(channels, 8, 2, 2), *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes))

@study.family
class OfValues(nn.Sequential):
    def __init__(self, depth, residual, channels, classes, size):
        super().__init__(nn.Flatten(), nn.Linear(channels * size**2, classes))

    def forward(self, x):
        return super().forward(x if x.mean() > 0 else -x)
"""
TOKENS = 17  # 4 x 4 patches of 2 x 2 pixels, and one more


@pytest.mark.parametrize("fields", [
    {}, {"network": "plain", "depth": 20}, {"block": "bottleneck", "depth": 29, "shortcut": "B"}, {"norm": "none"},
    {"family": "imagenet", "depth": 18}, {"family": "vgg", "network": "plain", "depth": 11}, {"order": "pre", "shortcut": "C"},
], ids=str)  # fmt: skip
def test_counts_are_those_of_the_shape(fields):
    spec = make_spec(**fields)
    found, layers = counted(spec, 3, 10, 32), list(shape.layers(spec, 3, 10, 32))
    assert found.macs == shape.macs(spec, 3, 10, 32) and found.parameters == sum(layer.parameters for layer in layers)
    assert not measured(spec) and needed(spec, 3, 10, 32) == shape.needed(spec, 3, 10, 32)
    assert 0.3 < found.kept * 4 * spec.recipe.batch_size / shape.activations(spec, 3, 10, 32) <= 1.05


@pytest.mark.parametrize("family, expected, bn", [
    ("vit", 16 * 16 * 4 + 3 * (4 * TOKENS * 16 * 16 + 2 * TOKENS * TOKENS * 16) + 16 * 10, False),
    ("convmixer", 16 * 8 * 4 + 3 * 16 * 8 * 25 + 8 * 10, True),
    ("of_values", 64 * 10, False), ("perceptron", 64 * 12 + 12 * 12 + 12 * 10, False),
])  # fmt: skip
def test_families_of_the_users_own_are_counted_and_described(tmp_path, family, expected, bn):
    (tmp_path / "mine.py").write_text(MIXER + REAL)
    use("mine.py", tmp_path)
    spec = make_spec(family=family, depth=3)
    found = counted(spec, 1, 10, 8)
    assert found.macs == expected and found.normalised == bn
    assert found.parameters == sum(own for *_, own in found.layers)
    assert found.parameters == sum(p.numel() for p in build(spec, 1, 10, 8).parameters())
    assert needed(spec, 1, 10, 8) > shape.WORKSPACE and f"{found.parameters:,} parameters" in describe(spec)
    assert measured(spec) and macs(spec, 1, 10, 8) == expected

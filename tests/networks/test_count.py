"""Counting on tensors without values agrees with the closed forms, and counts networks that have none."""

from __future__ import annotations

import pytest

from study.config.use import forget, use
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


@pytest.fixture(autouse=True)
def _forgotten():
    yield
    forget()


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


def test_a_family_of_the_users_own_is_counted(tmp_path):
    (tmp_path / "mine.py").write_text(MIXER)
    use("mine.py", tmp_path)
    spec = make_spec(family={"name": "perceptron", "width": 16}, depth=4)
    assert measured(spec) and macs(spec, 1, 10, 8) == 64 * 16 + 2 * 16 * 16 + 16 * 10
    assert counted(spec, 1, 10, 8).parameters == sum(p.numel() for p in build(spec, 1, 10, 8).parameters())
    assert [name for name, *_ in counted(spec, 1, 10, 8).layers] == [f"module.{i}" for i in (1, 3, 5, 7)]
    assert needed(spec, 1, 10, 8) > shape.WORKSPACE


def test_a_network_of_the_users_own_is_described(tmp_path):
    (tmp_path / "mine.py").write_text(MIXER)
    use("mine.py", tmp_path)
    text = describe(make_spec(family="perceptron", depth=3))
    assert (
        "module.1" in text
        and "1 Linear" in text
        and f"{64 * 12 + 12 + 12 * 12 + 12 + 12 * 10 + 10:,} parameters" in text
    )


def test_a_network_that_gives_no_logits_is_refused(tmp_path):
    (tmp_path / "mine.py").write_text(MIXER.replace("nn.Linear(width, classes)", "nn.Linear(width, 3)"))
    use("mine.py", tmp_path)
    with pytest.raises(ValueError, match=r"gives \(2, 3\) for 2 images, not \(2, 10\) logits"):
        counted(make_spec(family="perceptron", depth=4), 1, 10, 8)

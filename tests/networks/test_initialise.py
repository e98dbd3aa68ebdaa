"""Initial weights depend on the seed and the layer's name only; values that a block sets in `__init__` are kept."""

import math

import pytest
import torch
from torch import nn

from study.config import components
from study.config.registry import BLOCKS
from study.networks.blocks import BasicBlock
from study.networks.network import build
from tests.helpers import make_spec, slow

PLAIN = {"data": "cifar10", "recipe": "he2015_cifar", "network": "plain", "depth": 20, "seed": 0}


def weights(channels=3, classes=10, **fields):
    return dict(build(make_spec(**PLAIN | fields), channels, classes).named_parameters())


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_first_weights_are_pinned():
    first = weights()
    stem, inner, head = first["stem.0.weight"], first["stages.1.0.conv1.weight"], first["head.weight"]
    torch.testing.assert_close(
        torch.stack([stem.flatten()[:3], inner.flatten()[:3], head.flatten()[:3]]).detach(),
        torch.tensor([[-0.35781401, -0.43063521, -0.27251285], [-0.22838025, -0.00797773, 0.07897463],
                      [-0.07306648, -0.04508531, -0.12952539]]),
        rtol=0, atol=1e-6,
    )  # fmt: skip


@pytest.mark.parametrize(
    "family", [{"depth": 32}, slow({"family": "imagenet", "family.stem": "cifar", "depth": 18})], ids=str
)
def test_plain_network_and_twin_start_equal(family):
    plain, residual = weights(**family), weights(**family, network="residual", shortcut="A")
    assert list(plain) == list(residual)
    assert same(plain, residual)


@pytest.mark.parametrize("shortcut", ["B", "C"])
def test_networks_with_other_shortcuts_share_all_other_weights(shortcut):
    a, other = weights(network="residual"), weights(network="residual", shortcut=shortcut)
    common = {name: parameter for name, parameter in other.items() if ".shortcut." not in name}
    assert len(common) < len(other)
    assert same(a, common)


FANS = {
    "he_fan_in": lambda fan_in, fan_out: fan_in,
    "he_fan_out": lambda fan_in, fan_out: fan_out,
    "glorot": lambda fan_in, fan_out: fan_in + fan_out,
}


@pytest.mark.parametrize("initialisation", FANS)
def test_weights_are_normal_with_expected_variance(initialisation):
    weight = weights(initialisation=initialisation)["stages.2.0.conv1.weight"].detach().double()
    scaled = weight.flatten() / math.sqrt(2 / FANS[initialisation](9 * weight.shape[1], 9 * weight.shape[0]))
    n = scaled.numel()
    # Five standard errors of the mean, the standard deviation and the fourth moment of a standard normal sample.
    assert abs(scaled.mean()) < 5 / math.sqrt(n)
    assert abs(scaled.std() - 1) < 5 / math.sqrt(2 * n)
    assert abs(scaled.pow(4).mean() - 3) < 5 * math.sqrt(96 / n)


# -- values of a block's own -------------------------------------------------------------------------------------------


class ByData(BasicBlock):
    """Writes that bypass autograd, and a single row of a weight."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.bn1.bias.data.fill_(0.25)
        self.bn2.running_mean.fill_(0.5)
        self.conv1.weight.data.mul_(0.1)
        with torch.no_grad():
            self.conv2.weight[0] = 0


class Early(BasicBlock):
    """Set weights before the layer belongs to the block, and replace a parameter."""

    def convolutions(self, *arguments):
        first, second = super().convolutions(*arguments)
        nn.init.orthogonal_(first.weight)
        second.weight = nn.Parameter(torch.randn_like(second.weight))
        return [first, second]


class Beside(BasicBlock):
    """A layer with only its bias set, and a parameter outside layers."""

    def __init__(self, in_maps, maps, *arguments, **options):
        super().__init__(in_maps, maps, *arguments, **options)
        self.gate = nn.Linear(maps, maps)
        nn.init.constant_(self.gate.bias, -3.0)
        self.scale = nn.Parameter(torch.randn(maps, 1, 1))

    def branch(self, x):
        out = super().branch(x)
        return out * self.scale * torch.sigmoid(self.gate(out.mean((2, 3))))[:, :, None, None]


OWN = {
    ByData: ["bn1.bias", "bn2.running_mean", "conv1.weight", "conv2.weight"],
    Early: ["conv1.weight", "conv2.weight"],
    Beside: ["gate.bias", "scale"],
}


@pytest.fixture(params=OWN, ids=lambda kind: kind.__name__)
def kind(request, monkeypatch):
    own = components.Block("basic", "", f"{__name__}:{request.param.__name__}", kernels=(3, 3))
    monkeypatch.setitem(BLOCKS, "basic", own)
    return request.param


def state(**fields):
    return build(make_spec(**{"depth": 14} | fields), 1, 10).state_dict()


def blocks(values, names):
    return {key: value for key, value in values.items() if key.split(".", 3)[-1] in names}


def test_values_set_by_a_block_are_kept(kind, monkeypatch):
    own = state()
    monkeypatch.undo()
    usual = state()
    differing = {key for key in usual if not torch.equal(own[key], usual[key])}
    assert differing == blocks(usual, OWN[kind]).keys()


def test_own_draws_depend_on_seed_and_position_only(kind):
    torch.manual_seed(1)
    first = state()
    generator = torch.get_rng_state()
    twins = [state(), state(network="plain"), state(shortcut="B"), state(depth=20)]
    assert torch.equal(torch.get_rng_state(), generator)  # and what draws from it besides is not disturbed
    for twin in twins:
        assert all(torch.equal(value, twin[key]) for key, value in first.items() if ".shortcut." not in key)
    drawn = blocks(first, {"conv1.weight", "scale"})
    other = state(seed=1)
    assert not any(torch.equal(value, other[key]) for key, value in drawn.items())
    assert len({tuple(value.flatten()[:9].tolist()) for value in drawn.values()}) == len(drawn)

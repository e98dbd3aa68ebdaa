"""Initial weights depend on the seed and the layer's name only."""

import math

import pytest
import torch

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


def test_weights_do_not_depend_on_torchs_generator():
    torch.manual_seed(1)
    first = weights()
    torch.manual_seed(2)
    assert same(first, weights())


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

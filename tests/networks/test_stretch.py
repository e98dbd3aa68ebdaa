"""Deeper networks that compute what a shallower one does."""

import pytest
import torch
from torch import nn

from study.config.differences import check_stretch
from study.errors import StudyError
from study.networks.network import build
from study.networks.stretch import stretch
from tests.helpers import make_spec, random_bn, slow

PLAIN = {"network": "plain"}
BATCHES = [torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(i)) for i in range(2)]


def stretched(depth, deeper, **fields):
    spec, larger = make_spec(depth=depth, **fields), make_spec(depth=deeper, **fields)
    check_stretch(spec, larger)
    small, large = build(spec, 1, 10), build(larger, 1, 10)
    random_bn(small)
    stretch(small, large, BATCHES)
    return small.eval(), large.eval()


@pytest.mark.parametrize(
    "depth, deeper, fields",
    [
        slow(8, 26, {"network": "plain"}),
        (8, 17, {"network": "plain", "block": "single"}),
        (8, 20, {"shortcut": "B"}),
        slow(11, 29, {"block": "bottleneck"}),
        (11, 29, {"block": "bottleneck", "order": "pre", "shortcut": "projection"}),
        (8, 20, {"order": "relu_only_pre", "shortcut": "projection"}),
        *((8, 20, {"order": order}) for order in ("bn_after_add", "relu_before_add", "relu_only_pre", "pre")),
        (8, 8, {"network": "plain"}),
    ],
    ids=str,
)
def test_stretched_network_computes_the_same(depth, deeper, fields):
    small, large = stretched(depth, deeper, **fields)
    images = torch.randn(5, 1, 8, 8)
    with torch.no_grad():
        expected = small(images)
        torch.testing.assert_close(large(images), expected, rtol=0, atol=2e-5 * float(expected.abs().max()))
    assert len(list(large.blocks())) >= len(list(small.blocks()))


def test_new_plain_layers_are_dirac_deltas_with_matching_bn():
    small, large = stretched(8, 20, network="plain")
    block = large.stages[0][1]
    expected = torch.zeros(16, 16, 3, 3)
    expected[range(16), range(16), 1, 1] = 1
    assert torch.equal(block.conv1.weight, expected) and torch.equal(block.conv2.weight, expected)
    with torch.no_grad():
        seen = torch.cat([small.stages[0](small.stem(images)) for images in BATCHES])
    torch.testing.assert_close(block.bn1.running_mean, seen.mean((0, 2, 3)))
    torch.testing.assert_close(block.bn1.running_var, seen.var((0, 2, 3), correction=0))
    torch.testing.assert_close(block.bn2.weight, (seen.var((0, 2, 3), correction=0) + 1e-5).sqrt())


@pytest.mark.parametrize(
    "small, large, message",
    [
        ({"depth": 20}, {"depth": 8}, "depth: 8 cannot start from 20"),
        ({"depth": 8}, {"depth": 20, "network": "plain"}, "network: plain cannot start from residual"),
        *(
            ({"depth": 8, **PLAIN, field: name}, {"depth": 14, **PLAIN, field: name}, message)
            for field, name, message in (
                ("norm", "group", "norm: group: no plain block"), ("convolution", "dirac", "convolution: dirac is never"),
                ("block", "repvgg", "no plain repvgg block"),
            )
        ),
        ({"depth": 8}, {"depth": 20, "family.width": 2}, "family.width: 2 cannot start from 1"),
        ({"depth": 8, "shortcut": "scaled"}, {"depth": 14, "shortcut": "scaled"}, "shortcut: scaled passes on something"),
        ({"depth": 11, **PLAIN, "block": "bottleneck"}, {"depth": 20, **PLAIN, "block": "bottleneck"},
         "no plain bottleneck block is an identity"),
        ({"depth": 11, **PLAIN, "family": "vgg"}, {"depth": 19, **PLAIN, "family": "vgg"}, "a VGG has no blocks"),
    ],
)  # fmt: skip
def test_impossible_stretching_is_refused(small, large, message):
    with pytest.raises(StudyError, match=f"^{message}"):
        check_stretch(make_spec(**small), make_spec(**large))


def test_stretching_handles_dead_maps():
    small = build(make_spec(network="plain", depth=8), 1, 10).eval()
    with torch.no_grad():
        for module in (small.stages[0][-1].bn2,):
            module.bias[3] = -100.0  # dead after ReLU
    large = build(make_spec(network="plain", depth=14), 1, 10)
    stretch(small, large, BATCHES)
    images = torch.randn(4, 1, 8, 8)
    torch.testing.assert_close(large.eval()(images), small(images), rtol=0, atol=1e-4)
    assert all(torch.isfinite(p).all() for p in large.parameters())
    assert isinstance(large.stages[0][-1].bn1, nn.BatchNorm2d)

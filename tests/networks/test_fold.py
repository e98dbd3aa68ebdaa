"""Networks that compute what another does: folded at its present weights, or deeper."""

from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from study.config import components
from study.config.differences import check_stretch
from study.config.registry import BLOCKS
from study.errors import StudyError
from study.networks import fold as module
from study.networks import network as networks
from study.networks.blocks import BasicBlock
from study.networks.fold import Folded
from study.networks.network import build, structure
from study.networks.stretch import stretch
from tests.helpers import make_spec, random_bn, randomise, slow

ORDERS = ["original", "bn_after_add", "relu_before_add", "relu_only_pre", "pre"]
SHORTCUTS = [None, "A", "B", "C", "projection", "scaled", "exclusive_gate", "shortcut_gate", "dropout"]
DEPTHS = {"basic": 8, "bottleneck": 11, "single": 8}
FAMILIES = [
    {"family": "vgg", "depth": 11, "network": "plain", "block": "single"},
    {"family": "vgg", "depth": 11, "network": "plain", "block": "single", "family.head": "imagenet"},
    {"family": "imagenet", "depth": 18, "family.stem": "imagenet"},
    {"family": "imagenet", "depth": 18, "network": "plain", "family.stem": "imagenet"},
    {"family": "imagenet", "depth": 50, "family.stem": "cifar", "shortcut": "B", "block.stride_in": "3x3"},
]
needs_onednn = pytest.mark.skipif(not module.ONEDNN, reason="torch is without oneDNN's fused convolutions")


def made(channels=3, **fields):
    torch.manual_seed(0)
    return randomise(structure(make_spec(**fields), channels, 10)).eval()


def made_with_shortcut(shortcut, **fields):
    return made(**({"network": "plain"} if shortcut is None else {"shortcut": shortcut}), **fields)


def pictures(count=4, channels=3, size=8, seed=1):
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def expected(network, images):
    """The logits in float64."""
    return deepcopy(network).double().eval()(images.double())


def off(logits, exact):
    """The largest difference over the largest logit."""
    assert logits.dtype == torch.float32 and logits.shape == exact.shape
    return float((logits - exact).abs().max() / exact.abs().max())


def assert_equal(network, images):
    exact = expected(network, images)
    assert off(Folded(network)(images), exact) < 1e-5
    assert off(Folded(network, torch.bfloat16)(images), exact) < 0.06


# Every shortcut with every order, and both with every block.
@pytest.mark.parametrize(
    "shortcut, order, block, size",
    [
        (shortcut, order, [*DEPTHS][(i + j) % 3], 7 + (i + j) % 2)
        for i, shortcut in enumerate(SHORTCUTS)
        for j, order in enumerate(ORDERS)
    ],
)
def test_folded_network_gives_logits_of_evaluation_mode(shortcut, order, block, size, monkeypatch):
    network = made_with_shortcut(shortcut, block=block, depth=DEPTHS[block], order=order)
    assert_equal(network, pictures(size=size))
    monkeypatch.setattr(module, "ONEDNN", False)
    assert_equal(network, pictures(size=size))


@pytest.mark.parametrize("fields", [FAMILIES[0], *map(slow, FAMILIES[1:])], ids=str)
def test_every_family_can_be_folded(fields, monkeypatch):
    monkeypatch.setattr(networks, "VGG_HEAD", (3, 24))  # a hundred million weights less
    assert_equal(made(**fields), pictures(2, size=17))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shortcut", [None, "exclusive_gate"])
def test_nan_and_infinity_reach_the_logits(shortcut, dtype):
    """oneDNN's ReLU makes zeros of NaN: a network with a NaN loss would get a finite one."""
    network, images = made_with_shortcut(shortcut, depth=14), pictures(2)
    fused = Folded(network, dtype)
    for layer in ("stem.0", "stages.1.0.conv1", "stages.2.1.conv2"):
        weight = network.get_submodule(layer).weight.data
        before = weight.clone()
        for value in (float("nan"), 3e38):  # the second overflows, and infinities meet
            weight.fill_(value)
            fused.renew()
            assert not network(images).isfinite().all()
            assert not fused(images).isfinite().any(), (layer, value)
        weight.copy_(before)
    fused.renew()
    assert fused(images).isfinite().all()


# -- blocks with code of their own -------------------------------------------------------------------------------------


class Twice(BasicBlock):
    """BN does not get what the convolution gives, though it follows it in the order's text."""

    def branch(self, x):
        return self.bn2(self.conv2(F.relu(self.bn1(2 * self.conv1(x)))) - 1)


class Leaky(BasicBlock):
    """No ReLU after the addition."""

    def after(self, y):
        return F.leaky_relu(y, 0.1)


class Circular(BasicBlock):
    """A convolution that oneDNN has not."""

    def convolutions(self, in_maps, maps, stride):
        return [
            nn.Conv2d(in_maps, maps, 3, stride, padding=1, padding_mode="circular", bias=False),
            nn.Conv2d(maps, maps, 3, padding="same"),
        ]


@pytest.mark.parametrize("shortcut", [None, "B"])
@pytest.mark.parametrize("kind", [Twice, Leaky, Circular])
def test_block_with_its_own_code_keeps_it(kind, shortcut, monkeypatch):
    monkeypatch.setitem(BLOCKS, "basic", components.Block("basic", "", f"{__name__}:{kind.__name__}", kernels=(3, 3)))
    network = made_with_shortcut(shortcut)
    assert sum(type(part) is kind for part in network.modules()) == 3
    assert_equal(network, pictures())


def test_bias_before_bn_and_bn_that_cannot_be_folded():
    network = made()
    network.stem[0] = nn.Conv2d(3, 16, 3, padding=1)
    nn.init.uniform_(network.stem[0].bias, -1, 1)
    network.stages[0][0].bn1 = nn.BatchNorm2d(16, affine=False)
    network.stages[1][0].bn1 = nn.BatchNorm2d(32, track_running_stats=False)
    assert sum(type(part) is nn.BatchNorm2d for part in Folded(network).modules()) == 2
    assert_equal(network, pictures())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shortcut, order", [("B", "original"), ("scaled", "pre")])
def test_renewal_follows_weights_and_statistics_in_place(dtype, shortcut, order):
    network, images = made_with_shortcut(shortcut, order=order), pictures()
    fused = Folded(network, dtype)
    before, tensors = fused(images), [tensor.data_ptr() for tensor in fused.state_dict().values()]
    randomise(network)
    assert torch.equal(fused(images), before)  # not before it is told
    fused.renew()
    assert [tensor.data_ptr() for tensor in fused.state_dict().values()] == tensors
    assert off(fused(images), expected(network, images)) < (1e-5 if dtype is torch.float32 else 0.06)


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_cuda_graph_records_renewal_and_pass(dtype):
    network, images = made().cuda(), pictures().cuda()
    fused, graph = Folded(network, dtype), torch.cuda.CUDAGraph()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        fused(images)
    torch.cuda.synchronize()
    with torch.cuda.graph(graph):
        fused.renew()
        logits = fused(images)
    randomise(network)
    graph.replay()
    assert off(logits, expected(network, images)) < (1e-3 if dtype is torch.float32 else 0.06)  # TF32


@pytest.mark.parametrize("onednn", [pytest.param(True, marks=needs_onednn), False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("fields", [{"order": "relu_only_pre"}, {"block": "single"}], ids=str)
def test_images_stay_and_passes_are_equal(fields, dtype, onednn, monkeypatch):
    monkeypatch.setattr(module, "ONEDNN", onednn)
    network = made(**fields)
    network.stem = nn.Sequential()  # as VGG, whose first block gets the images
    images = pictures(channels=16).to(dtype, memory_format=torch.channels_last)
    before, fused = images.clone(), Folded(network, dtype)
    first = fused(images)
    kept = first.clone()
    assert torch.equal(fused(images), kept)
    assert torch.equal(images, before) and torch.equal(first, kept)


# -- deeper networks ---------------------------------------------------------------------------------------------------

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

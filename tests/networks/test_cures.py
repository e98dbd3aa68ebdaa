"""What papers other than He et al.'s propose for deep networks: against its formula, and what its paper predicts at step 0."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from study.measure.probes import Subject, measure
from study.networks.convolutions import Dirac, Standardised
from study.networks.fold import Folded
from study.networks.merge import merge
from study.networks.network import build
from study.networks.shape import layers, macs
from study.training.feeds.images import Images
from study.training.start import begun
from tests.helpers import make_spec, random_bn, slow, tiny_images

NO_NORM = {"network": "plain", "norm": "none"}
FIXUP = {"block": "fixup"}
TAILORED = NO_NORM | {"activation": "tailored", "initialisation": "scaled_orthogonal"}
CURES = [
    {"shortcut": "layer_scale"}, {"shortcut": "skipinit", "norm": "none"}, {"shortcut": "rezero", "order": "pre"},
    {"shortcut": "by_depth", "norm": "none"}, FIXUP, FIXUP | {"order": "pre"}, {"block": "repvgg", "network": "plain"},
    {"block": "repvgg", "network": "plain", "norm": "group"}, {"convolution": "dirac", "network": "plain"},
    {"convolution": "dirac", "shortcut": "B", "block": "bottleneck", "depth": 20},
    {"convolution": "standardised", "norm": "group"}, {"network": "plain", "activation": "crelu"}, TAILORED,
    NO_NORM | {"activation": "crelu", "initialisation": "delta_orthogonal"}, NO_NORM | {"initialisation": "lsuv"},
     NO_NORM | {"activation": "tanh", "initialisation": "delta_orthogonal"},
]  # fmt: skip


def made(spec, dtype=torch.float64):
    """A network with values other than those of the start in each parameter, in evaluation mode."""
    torch.manual_seed(0)
    network = build(spec, 1, 10).to(dtype)
    random_bn(network)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, dtype=dtype))
    return network.eval()


def pictures(count=4, channels=1, size=8):
    return torch.randn(count, channels, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


# -- in every path of the house -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fields", CURES, ids=str)
def test_it_is_counted_folded_for_surfaces_and_probed(fields):
    from torch.utils.flop_counter import FlopCounterMode

    spec = make_spec(**{"depth": 14} | fields)
    network, images = made(spec), pictures()
    assert sum(p.numel() for p in network.parameters()) == sum(layer.parameters for layer in layers(spec, 1, 10, 8))
    assert sum(not layer.beside for layer in layers(spec)) == spec.depth
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        exact = network(images)
    assert counter.get_total_flops() == 2 * macs(spec, 1, 10, 8) * len(images)
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.bfloat16, 0.06)):
        logits = Folded(network.float(), dtype)(images.float())
        assert float((logits - exact).abs().max() / exact.abs().max()) < tolerance
    subject = Subject(spec, network, Images(tiny_images(), torch.device("cpu")), 16)
    for measured in measure(("responses", "gradients", "identity", "weights", "paths", "batch_norm"), subject):
        none = measured.probe == "batch_norm" and spec.norm.name != "batch"
        assert measured.lacking == ("the network has no BN" if none else "") and bool(measured.values) != none
        assert all(math.isfinite(value.value) for value in measured.values)


@pytest.mark.parametrize("fields", CURES, ids=str)
def test_layers_of_the_shape_of_a_basic_network_start_with_its_weights(fields):
    """Up to a factor: Fixup, LSUV."""
    spec = make_spec(**{"depth": 14} | fields)
    block = spec.block.name if spec.block.name == "bottleneck" else "basic"
    twin = make_spec(depth=spec.depth, network="plain", block=block, initialisation=spec.initialisation)
    ours, theirs = (dict(build(s, 1, 10).named_parameters()) for s in (spec, twin))
    common = [name for name, value in theirs.items() if value.ndim > 1 and ours[name].any()]
    assert len(common) >= 7
    for name in common:
        half = ours[name][:, : theirs[name].shape[1]]  # of a mirrored layer
        torch.testing.assert_close(half / half.norm(), theirs[name] / theirs[name].norm(), rtol=1e-5, atol=1e-7)


# -- with a shortcut ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shortcut, size", [("layer_scale", 64), ("skipinit", 1), ("rezero", 1), ("by_depth", 0)])
def test_a_weighed_branch_is_the_formula(shortcut, size):
    join = build(make_spec(depth=56, shortcut=shortcut), 1, 10).stages[2][1].shortcut.double()
    weight = torch.full((1,), 27**-0.5) if size == 0 else nn.init.normal_(join.weight)  # of 27 blocks
    assert size == 0 or weight.shape == (size,)
    x, branch = torch.randn(2, 2, 64, 4, 4).double()
    torch.testing.assert_close(
        join.join(x, branch.clone()), x + branch * weight[:, None, None].double(), rtol=1e-7, atol=1e-7
    )


@pytest.mark.parametrize("depth, initial", [(38, 0.1), (50, 1e-5), (56, 1e-6), (8, None)])
def test_layer_scale_starts_by_depth(depth, initial):
    """0.1 up to 18 blocks, 38 layers; 1e-5 up to 24, 50 layers; or as it is told."""
    shortcut = {"name": "layer_scale"} | ({"initial": 0.3} if initial is None else {})
    weight = build(make_spec(depth=depth, shortcut=shortcut), 1, 10).stages[0][0].shortcut.weight
    torch.testing.assert_close(weight, torch.full((16,), initial or 0.3))


@pytest.mark.parametrize("fields", [
    {"shortcut": "skipinit"}, {"shortcut": "rezero", "norm": "none"}, FIXUP, {"zero_gamma": True},
], ids=str)  # fmt: skip
def test_at_the_start_the_network_is_the_identity_path(fields):
    network = build(make_spec(depth=20, **fields), 1, 10).double()
    x = network.stem(pictures())
    for part in network.parts():
        expected = part.shortcut(x)
        assert torch.equal(part(x), expected)
        x = expected
    if fields is FIXUP:
        assert not network(pictures()).any()


def test_fixup_is_the_formula_and_starts_by_its_rules():
    network = build(make_spec(depth=20, **FIXUP), 1, 10).double()
    usual = build(make_spec(depth=20, norm="none"), 1, 10).double()
    block, other = network.stages[1][1], usual.stages[1][1]
    torch.testing.assert_close(block.conv1.weight, other.conv1.weight * 9**-0.5, rtol=1e-6, atol=0)  # L = 9, m = 2
    assert not block.conv2.weight.any() and not network.head.weight.any()
    assert not block.before.any() and not block.behind.any() and block.multiplier.tolist() == [1]
    assert block.conv1.bias is None
    for parameter in block.parameters():
        nn.init.normal_(parameter)
    (b1, b2), (b3, b4), scale = block.before, block.behind, block.multiplier
    x = torch.randn(2, 32, 4, 4).double()
    y = F.relu(F.conv2d(x + b1, block.conv1.weight, padding=1) + b3)
    y = F.conv2d(y + b2, block.conv2.weight, padding=1) * scale + b4
    torch.testing.assert_close(block(x), F.relu(x + y), rtol=1e-10, atol=1e-10)


# -- without a shortcut, with BN ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_maps, maps", [(6, 6), (3, 5), (5, 3)])
def test_a_dirac_convolution_is_the_formula(in_maps, maps):
    conv = Dirac(in_maps, maps, 3, padding=1, bias=False).double()
    torch.testing.assert_close(conv.a.detach(), torch.ones(maps).double())
    torch.testing.assert_close(conv.b.detach(), torch.full((maps,), 0.1).double(), rtol=1e-6, atol=0)
    nn.init.normal_(conv.a)
    nn.init.normal_(conv.b)
    identity = nn.init.dirac_(torch.empty(maps, in_maps, 3, 3)).double()
    normed = torch.stack([filter / filter.norm() for filter in conv.weight])
    weight = conv.a.view(-1, 1, 1, 1) * identity + conv.b.view(-1, 1, 1, 1) * normed
    x = torch.randn(2, in_maps, 5, 5).double()
    torch.testing.assert_close(conv(x), F.conv2d(x, weight, padding=1), rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(lambda *_: conv(x), (conv.weight, conv.a, conv.b))


def test_a_standardised_convolution_has_filters_of_mean_0_and_variance_1():
    conv = Standardised(4, 6, 3, padding=1).double()
    kernel = conv.kernel()
    torch.testing.assert_close(kernel.mean((1, 2, 3)), torch.zeros(6).double(), rtol=0, atol=1e-12)
    var = conv.weight.var((1, 2, 3), correction=0)
    torch.testing.assert_close(kernel.var((1, 2, 3), correction=0), var / (var + 1e-5), rtol=1e-10, atol=0)
    x = torch.randn(2, 4, 5, 5).double()
    torch.testing.assert_close(conv(x), F.conv2d(x, kernel, conv.bias, padding=1), rtol=1e-12, atol=1e-12)


def test_a_repvgg_layer_is_the_sum_of_three():
    block = made(make_spec(depth=14, block="repvgg", network="plain")).stages[1][1]
    x = y = pictures(channels=32)
    for i in (1, 2):
        side = block.sides[f"conv{i}"]
        three = block.get_submodule(f"bn{i}")(block.get_submodule(f"conv{i}")(y))
        y = F.relu(three + side.bn(F.conv2d(y, side.conv.weight)) + side.same(y))
    torch.testing.assert_close(block(x.clone()), y, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("fields", [
    {"block": "repvgg", "network": "plain"}, {"convolution": "dirac", "network": "plain"}, {"network": "plain"}, {},
], ids=str)  # fmt: skip
def test_merged_it_is_an_ordinary_network_without_norm(fields, dtype, tolerance):
    network = made(make_spec(depth=20, **fields), dtype)
    merged, images = merge(network), pictures().to(dtype)
    expected = network(images)
    assert (merged(images) - expected).abs().max() < tolerance * expected.abs().max()
    ordinary = build(make_spec(depth=20, network=fields.get("network", "residual"), norm="none"), 1, 10).to(dtype)
    ordinary.load_state_dict(merged.state_dict())
    assert torch.equal(ordinary.eval()(images), merged(images))


# -- without a shortcut, without norm -----------------------------------------------------------------------------------


def test_delta_orthogonal_layers_have_jacobians_with_singular_values_1():
    spec = make_spec(**NO_NORM, activation="tanh", initialisation="delta_orthogonal")
    network = build(spec, 1, 10).double()
    for conv, maps in ((network.stages[0][0].conv1, 16), (network.stages[1][0].conv2, 32)):
        jacobian = torch.autograd.functional.jacobian(conv, torch.randn(1, maps, 3, 3).double())
        values = torch.linalg.svdvals(jacobian.reshape(9 * maps, 9 * maps))
        torch.testing.assert_close(values, torch.ones_like(values), rtol=0, atol=1e-6)


@pytest.mark.parametrize("depth, random", [(14, False), (14, True), slow(56, False)])
def test_a_network_that_looks_linear_is_linear(depth, random):
    activation = {"name": "crelu", "random": random}
    spec = make_spec(**NO_NORM, depth=depth, activation=activation, initialisation="delta_orthogonal")
    network, x, y = build(spec, 1, 10).double(), pictures(), pictures().flip(0)
    combined, expected = network(2 * x - 3 * y), 2 * network(x) - 3 * network(y)
    off = (combined - expected).abs().max() / combined.abs().max()
    assert off > 1e-2 if random else off < 1e-9


@pytest.mark.parametrize("fields", [NO_NORM, {"norm": "none"}, NO_NORM | {"activation": "tanh"}], ids=str)
def test_lsuv_layers_have_outputs_of_variance_1(fields):
    spec = make_spec(depth=20, initialisation="lsuv", recipe__batch_size=32, **fields)
    feed = Images(tiny_images(), torch.device("cpu"))
    network, again = begun(spec, feed), begun(spec, feed)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))
    assert not torch.equal(begun(spec.model_copy(update={"seed": 1}), feed).head.weight, network.head.weight)
    variances = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(lambda m, given, out: variances.append(float(out.detach().var(correction=0))))
    numbers = np.random.RandomState(spec.seed).permutation(40)[:32]
    network(feed.at("train", torch.from_numpy(numbers))[0])
    assert len(variances) == 20 and variances == pytest.approx([1.0] * 20, abs=1e-4)


@pytest.mark.parametrize("depth, eta", [(20, 0.9), slow(56, 0.9), (20, 0.7)])
def test_the_c_map_of_a_tailored_network_at_0_is_eta(depth, eta):
    """Measured: orthogonal inputs of each pixel, of equal length, leave a wide network with this cosine."""
    width = 4 if depth > 20 else 8
    spec = make_spec(**TAILORED | {"activation": {"name": "tailored", "eta": eta}}, depth=depth, family__width=width)
    channels = 16 * width
    network = build(spec, channels, 10)
    ends, draw = [], torch.Generator().manual_seed(0)
    one, other = torch.linalg.qr(torch.randn(24, 64, channels, 2, generator=draw))[0].unbind(-1)
    for inputs in (one, other):
        x = network.stem(inputs.transpose(1, 2).reshape(24, channels, 8, 8))
        for part in network.parts():
            x = part(x)
        ends.append(x.flatten(2).transpose(1, 2))
    measured = F.cosine_similarity(*ends, dim=-1)
    assert measured.mean().item() == pytest.approx(eta, abs=0.02)
    if width == 8:  # inputs have length 1, and keep the mean square, as wide layers do
        assert ends[0].square().mean().item() * channels == pytest.approx(1.0, abs=0.1)


def test_a_network_too_shallow_for_eta_has_relu():
    network = build(make_spec(**TAILORED), 1, 10)
    assert network.stem[2].slope < 1e-12 and network.stem[2].scale == pytest.approx(math.sqrt(2))

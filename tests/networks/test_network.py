"""Whole networks: against torchvision's, their plain twins and formulas; norms, activations and initialisations."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from study.networks.fold import Folded
from study.networks.network import build, structure
from study.networks.shape import layers
from tests.helpers import long, make_spec, randomise, slow

CIFAR = {"data": "cifar10", "recipe": "he2015_cifar"}


def drawn(spec, classes, dtype=torch.float32):
    with torch.device("meta"):
        network = structure(spec, 3, classes).to(dtype)
    return randomise(network.to_empty(device="cpu"))


def torchvisions(name, network, **options):
    """Its network with copies of this one's weights, and zeros for the biases of convolutions, where it has any."""
    from torchvision import models  # late: it brings a compiler, and who collects tests need not wait for that

    with torch.device("meta"):
        theirs = getattr(models, name)(**options)
    biases = {f"{name}.bias": m.bias for name, m in theirs.named_modules() if isinstance(m, torch.nn.Conv2d)}
    zeros = {name: torch.zeros(bias.shape) for name, bias in biases.items() if bias is not None}
    names = [name for name in theirs.state_dict() if name not in zeros]
    values = [value.clone() for value in network.state_dict().values()]
    theirs.load_state_dict(zeros | dict(zip(names, values, strict=True)), assign=True)
    return theirs


@pytest.mark.parametrize("depth", [18, slow(50), long(34), long(101), long(152)])
def test_imagenet_network_equals_torchvision(depth):
    stride = {"block.stride_in": "3x3"} if depth >= 50 else {}
    spec = make_spec(**CIFAR, family="imagenet", network="residual", shortcut="B", depth=depth, **stride)
    ours = drawn(spec, 1000, torch.float64)
    theirs = torchvisions(f"resnet{depth}", ours)
    images = torch.randn(2, 3, 48, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for mode in (False, True):
        ours.train(mode)
        theirs.train(mode)
        with torch.no_grad():
            torch.testing.assert_close(ours(images), theirs(images), rtol=0, atol=1e-10)
    # Training mode has moved the running statistics, of both in the same way.
    for value, other in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
        torch.testing.assert_close(value, other, rtol=0, atol=1e-10)


@pytest.mark.parametrize("depth", [slow(11), long(19)])
def test_vgg_equals_torchvision_without_biases_and_dropout(depth):
    ours = drawn(make_spec(**CIFAR, network="plain", family="vgg", depth=depth), 10).eval()
    theirs = torchvisions(f"vgg{depth}_bn", ours, num_classes=10, init_weights=False).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = theirs(images)
        torch.testing.assert_close(ours(images), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_plain_network_is_its_twin_without_shortcuts():
    plain = build(make_spec(**CIFAR, network="plain", depth=14), 3, 10)
    residual = build(make_spec(**CIFAR, network="residual", depth=14), 3, 10)
    for stage in residual.stages:
        for block in stage:
            block.shortcut = None
    images = torch.randn(4, 3, 16, 16)
    assert torch.equal(plain(images), residual(images))


# -- norms, activations and initialisations other than the papers' -----------------------------------------------------


def by_hand(network, images, norm, activation):
    """ResNet-8 or plain-8 of basic blocks in float64, from its weights alone."""
    p = {name: value.double() for name, value in network.state_dict().items()}

    def conv(x, name, stride=1):
        return F.conv2d(x, p[f"{name}.weight"], p.get(f"{name}.bias"), stride, padding=1)

    x = activation(norm(conv(images.double(), "stem.0"), p, "stem.1"))
    for s in range(3):
        name, stride = f"stages.{s}.0", 1 if s == 0 else 2
        y = activation(norm(conv(x, f"{name}.conv1", stride), p, f"{name}.bn1"))
        y = norm(conv(y, f"{name}.conv2"), p, f"{name}.bn2")
        if s:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, y.shape[1] - x.shape[1]))
        x = activation(x + y if network.stages[s][0].shortcut is not None else y)
    return F.linear(x.mean((2, 3)), p["head.weight"], p["head.bias"])


def grouped(groups):
    def norm(x, p, name):
        parts = x.view(len(x), groups, -1)
        mean, variance = parts.mean(2, keepdim=True), parts.var(2, keepdim=True, unbiased=False)
        x = ((parts - mean) / (variance + 1e-5).sqrt()).view(x.shape)
        return x * p[f"{name}.weight"].view(-1, 1, 1) + p[f"{name}.bias"].view(-1, 1, 1)

    return norm


NORMS = {"batch": None, "group": grouped(8), "layer": grouped(1), "none": lambda x, p, name: x}
GELU = lambda x: x * 0.5 * (1 + torch.erf(x / 2**0.5))  # noqa: E731


@pytest.mark.parametrize("network", ["plain", "residual"])
@pytest.mark.parametrize("norm, activation, formula", [
    ("group", "relu", lambda x: x.clamp(min=0)), ("layer", "silu", lambda x: x / (1 + torch.exp(-x))),
    ("none", {"name": "leaky_relu", "slope": 0.2}, lambda x: torch.where(x > 0, x, 0.2 * x)),
    ("none", "tanh", torch.tanh), ("group", "gelu", GELU),
])  # fmt: skip
def test_logits_are_those_of_the_formula(network, norm, activation, formula):
    spec = make_spec(network=network, norm=norm, activation=activation)
    made, images = build(spec, 1, 10), torch.randn(4, 1, 8, 8)
    with torch.no_grad():  # scales and biases other than 1 and 0
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    expected = by_hand(made, images, NORMS[norm], formula)
    torch.testing.assert_close(made(images).double(), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(Folded(made)(images).double(), expected, atol=1e-4, rtol=1e-4)
    assert sum(p.numel() for p in made.parameters()) == sum(layer.parameters for layer in layers(spec, 1, 10, 8))


@pytest.mark.parametrize("initialisation", ["orthogonal", "delta_orthogonal"])
def test_orthogonal_layers_keep_lengths(initialisation):
    spec = make_spec(network="plain", norm="none", initialisation={"name": initialisation, "gain": 1.5})
    network = build(spec, 1, 10)
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d) and initialisation == "delta_orthogonal":
            centre = module.weight[:, :, 1, 1].detach()
            assert torch.equal(module.weight.detach().abs().sum((2, 3)), centre.abs())
            matrix = centre
        elif isinstance(module, nn.Conv2d | nn.Linear):
            matrix = module.weight.detach().flatten(1)
        else:
            continue
        np.testing.assert_allclose(torch.linalg.svdvals(matrix.double()), 1.5, rtol=1e-5, err_msg=name)


def test_stochastic_depth_skips_branches_as_often_as_it_says():
    """Of each image by itself, more often the deeper the block; in evaluation none, and means stay."""
    network = build(make_spec(depth=20, recipe__stochastic_depth=0.5), 1, 10)
    blocks = [block for _, block in network.blocks()]
    assert [block.skipping.rate for block in blocks] == pytest.approx([0.5 * i / 9 for i in range(1, 10)])
    block, x = blocks[-1].train(), torch.rand(4000, 1, 1, 1).expand(4000, 64, 2, 2)
    network.set_keys(torch.randint(0, 2**31 - 1, (4000,), generator=torch.Generator().manual_seed(0)))
    branch = torch.ones(4000, 64, 2, 2)
    added = block.join(x, branch.clone()) - x
    each = added.flatten(1)
    skipped = each[:, 0] < 1e-3
    assert float(skipped.float().mean()) == pytest.approx(0.5, abs=0.03)
    torch.testing.assert_close(each, torch.where(skipped, 0.0, 2.0)[:, None].expand_as(each))
    other = blocks[-2].train().join(x, branch.clone()) - x
    assert not torch.equal(other.flatten(1)[:, 0] < 1e-3, skipped)
    torch.testing.assert_close(block.eval().join(x, branch.clone()) - x, branch)

"""Whole networks: against torchvision's, against their plain twins, and their gradients."""

import pytest
import torch

from study.networks.network import build, structure
from tests.helpers import long, make_spec, slow

CIFAR = {"data": "cifar10", "recipe": "he2015_cifar"}


def random_bn(network):
    """BN parameters and statistics other than those of the start, so that each of them matters."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(std=0.1)
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.5, 1.5)


def randomise(network):
    """Draw weights of He's variance, by torch: a seed's own take seconds for a hundred million; and BN at random."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
                module.weight.normal_(std=(2 / module.weight[0].numel()) ** 0.5)
                if module.bias is not None:
                    module.bias.normal_(std=0.1)
            elif isinstance(module, torch.nn.BatchNorm2d):
                module.reset_running_stats()
    random_bn(network)
    return network


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

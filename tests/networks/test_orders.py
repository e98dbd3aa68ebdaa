"""The orders of He et al. 2016, figure 4, each against its formula written out, and the network that they trained best."""

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from study.config.registry import ORDERS
from study.networks.blocks import Block
from study.networks.network import build
from tests.helpers import make_spec, slow
from tests.networks.test_network import random_bn

CIFAR = {"data": "cifar10", "recipe": "he2015_cifar"}


def bn(layer, x):
    return F.batch_norm(x, layer.running_mean, layer.running_var, layer.weight, layer.bias, eps=1e-5)


def conv(layer, x):
    return F.conv2d(x, layer.weight, stride=layer.stride, padding=layer.padding)


def block_a(b, x, s, first):
    return F.relu(bn(b.bn2, conv(b.conv2, F.relu(bn(b.bn1, conv(b.conv1, x))))) + s)


def block_b(b, x, s, first):
    return F.relu(bn(b.bn2, conv(b.conv2, F.relu(bn(b.bn1, conv(b.conv1, x)))) + s))


def block_c(b, x, s, first):
    return F.relu(bn(b.bn2, conv(b.conv2, F.relu(bn(b.bn1, conv(b.conv1, x)))))) + s


def block_d(b, x, s, first):
    return bn(b.bn2, conv(b.conv2, F.relu(bn(b.bn1, conv(b.conv1, F.relu(x)))))) + s


def block_e(b, x, s, first):
    y = conv(b.conv1, x if first else F.relu(bn(b.bn1, x)))
    y = conv(b.conv2, F.relu(bn(b.bn2, y)))
    return (conv(b.conv3, F.relu(bn(b.bn3, y))) if hasattr(b, "conv3") else y) + s


FORMULAS = {
    "original": (block_a, lambda network, x: x),
    "bn_after_add": (block_b, lambda network, x: x),
    "relu_before_add": (block_c, lambda network, x: x),
    "relu_only_pre": (block_d, lambda network, x: F.relu(x)),
    "pre": (block_e, lambda network, x: F.relu(bn(network.tail[0], x))),
}


def reference(network, order, x):
    """The network's output in evaluation mode, computed from its parameters."""
    formula, tail = FORMULAS[order]
    x = F.relu(bn(network.stem[1], conv(network.stem[0], x)))
    first = True
    for stage in network.stages:
        for b in stage:
            if not isinstance(b, Block):  # before both paths, with a projection: BN, if any, and ReLU
                x, first = F.relu(bn(b[0], x) if order == "pre" else x), True
                continue
            x, first = formula(b, x, b.shortcut(x), first), False
    return tail(network, x).mean((2, 3)) @ network.head.weight.T + network.head.bias


AUTHORS = {"block": "bottleneck", "recipe": "he2016_cifar"}
"""ResNet-164 and -1001, with full pre-activation and projections."""


@pytest.mark.parametrize("order, fields", [
    *((order, {"depth": 14, "shortcut": shortcut}) for order in ORDERS for shortcut in ("A", "projection")),
    ("pre", AUTHORS | {"depth": 11, "shortcut": "projection"}), slow("pre", AUTHORS | {"depth": 29, "shortcut": "projection"}),
], ids=str)  # fmt: skip
def test_order_computes_its_formula(order, fields):
    network = build(make_spec(**CIFAR | fields, order=order), 3, 10).double().eval()
    random_bn(network)
    images = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    torch.testing.assert_close(network(images), reference(network, order, images), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("block, depth", [("basic", 8), ("bottleneck", 11)])
def test_every_order_has_gradients_and_keeps_its_input(order, block, depth):
    network = build(make_spec(**CIFAR, depth=depth, order=order, block=block), 3, 10)
    images = torch.randn(4, 3, 16, 16)
    before = images.clone()
    network(images).logsumexp(1).sum().backward()
    assert torch.equal(images, before)
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []

"""Shortcuts of He et al. 2015, section 3.3, and 2016, section 3; the orders of 2016, figure 4, against their formulas."""

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from study.config.registry import ORDERS
from study.networks.blocks import Block
from study.networks.network import build
from study.networks.shortcuts import (
    Dropout,
    ExclusiveGate,
    Scaled,
    ShortcutGate,
    ZeroPad,
    dropout_mask,
    option_a,
    option_b,
)
from tests.helpers import make_spec, random_bn, slow


def test_zero_pad_takes_every_second_pixel_and_adds_maps_of_zeros():
    x = torch.arange(2 * 3 * 5 * 4, dtype=torch.float32).reshape(2, 3, 5, 4)
    out = ZeroPad(3, 8, 2)(x)
    assert out.shape == (2, 8, 3, 2)
    assert torch.equal(out[:, :3], x[:, :, [0, 2, 4]][..., [0, 2]])
    assert not out[:, 3:].any()


@pytest.mark.parametrize("option", [option_a, option_b])
def test_a_and_b_are_the_identity_where_the_shape_stays(option):
    x = torch.randn(2, 4, 5, 5)
    shortcut = option(4, 4, 1)
    assert shortcut(x) is x
    assert not list(shortcut.parameters())


@pytest.mark.parametrize("maps, stride", [(4, 1), (8, 2)])
def test_constant_scaling_scales_both(maps, stride):
    x, branch = torch.randn(2, 4, 6, 6), torch.randn(2, maps, 6 // stride, 6 // stride)
    expected = 0.25 * option_a(4, maps, stride)(x) + 0.75 * branch
    torch.testing.assert_close(Scaled(4, maps, stride, 0.25, 0.75).join(x, branch.clone()), expected)


@pytest.mark.parametrize("maps, stride", [(4, 1), (8, 2)])
@pytest.mark.parametrize("kind, scales_the_branch", [(ShortcutGate, False), (ExclusiveGate, True)])
def test_gates_weight_shortcut_and_branch(maps, stride, kind, scales_the_branch):
    shortcut = kind(4, maps, stride, -1.5)
    with torch.no_grad():
        shortcut.gate.bias.fill_(shortcut.gate.initial_bias)
    x, branch = torch.randn(2, 4, 6, 6), torch.randn(2, maps, 6 // stride, 6 // stride)
    weight = shortcut.gate.weight[:, :, 0, 0]
    g = torch.sigmoid(torch.einsum("om,nmhw->nohw", weight, x[:, :, ::stride, ::stride]) - 1.5)
    carried = (1 - g) * option_a(4, maps, stride)(x)
    torch.testing.assert_close(shortcut(x), carried)
    torch.testing.assert_close(shortcut.join(x, branch.clone()), carried + (g if scales_the_branch else 1) * branch)


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_dropout_keeps_its_share_and_the_mean(share):
    shortcut = Dropout(16, 16, 1, share)
    shortcut.keys = torch.randint(0, 2**31 - 1, (64,), generator=torch.Generator().manual_seed(0))
    out = shortcut(torch.ones(64, 16, 8, 8))
    assert set(out.unique().tolist()) == {0.0, torch.tensor(1 / (1 - share)).item()}
    n = out.numel()
    assert abs(float((out > 0).float().mean()) - (1 - share)) < 5 * (share * (1 - share) / n) ** 0.5
    assert shortcut.eval()(torch.ones(1, 16, 8, 8)).eq(1).all()


def mixed(x):
    """The hash "lowbias32" on Python's numbers."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1)):
        x = ((x ^ (x >> shift)) * factor) & 0xFFFFFFFF
    return x


def test_dropout_mask_is_a_hash_of_key_layer_and_position():
    keys, salt, dropout = [1, 2**31 - 2], 0x5EED, 0.3
    mask = dropout_mask(torch.tensor(keys), salt, (2, 3, 4), dropout)
    for n, key in enumerate(keys):
        image = mixed(key ^ mixed(salt))
        for place in range(24):
            row, column, channel = place // 8, place // 2 % 4, place % 2
            number = mixed((image + place * 0x9E3779B9) & 0xFFFFFFFF) & 0x7FFFFFFF
            assert mask[n, channel, row, column].item() == (number >= int(dropout * 2**31))


# -- orders ------------------------------------------------------------------------------------------------------------

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

"""ResNet-164 and -1001 with full pre-activation, as He et al. (2016) trained them."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from study.networks.network import build, structure
from tests.helpers import make_spec, slow
from tests.networks.test_network import random_bn
from tests.networks.test_shape import listed

PRE = {"data": "cifar10", "recipe": "he2016_cifar", "block": "bottleneck", "order": "pre", "shortcut": "projection"}


@pytest.mark.parametrize("depth, parameters", [(164, 1_703_258), slow(1001, 10_327_706)])
def test_parameter_counts_equal_the_authors_code(depth, parameters):
    spec = make_spec(**PRE, depth=depth)
    with torch.device("meta"):
        network = structure(spec, 3, 10)
    assert sum(p.numel() for p in network.parameters()) == listed(spec) == parameters


def authors(weights, blocks, images):
    """The authors' network in evaluation mode, from its weights in the order of the data's way.

    A stem that is a convolution alone. A unit that changes the number of maps has BN and ReLU before both paths, and a 1x1
    convolution without BN as its shortcut; any other has them in its branch, and the identity.
    """
    convs, bns = iter(weights["convs"]), iter(weights["bns"])

    def activated(x):
        mean, var, scale, shift = next(bns)
        return F.relu(scale * (x - mean) / (var + 1e-5).sqrt() + shift)

    x = F.conv2d(images, next(convs), padding=1)
    for stage in range(3):
        for unit in range(blocks):
            stride = 2 if stage > 0 and unit == 0 else 1
            y = activated(x)
            if unit == 0:
                x = y  # before both paths
            y = activated(F.conv2d(y, next(convs), stride=stride))
            y = activated(F.conv2d(y, next(convs), padding=1))
            y = F.conv2d(y, next(convs))
            x = y + (F.conv2d(x, next(convs), stride=stride) if unit == 0 else x)
    return activated(x).mean((2, 3)) @ weights["head"].T + weights["bias"]


@pytest.mark.parametrize("depth", [11, slow(29)])
def test_logits_equal_the_authors_network(depth):
    network = build(make_spec(**PRE, depth=depth), 3, 10).double().eval()
    random_bn(network)
    columns = [
        tuple(v.view(1, -1, 1, 1) for v in (bn.running_mean, bn.running_var, bn.weight, bn.bias))
        for bn in network.modules()
        if isinstance(bn, torch.nn.BatchNorm2d)
    ]
    convs = [m.weight for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    weights = {"convs": convs, "bns": columns, "head": network.head.weight, "bias": network.head.bias}
    images = torch.randn(2, 3, 12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(network(images), authors(weights, (depth - 2) // 9, images), rtol=1e-12, atol=1e-12)

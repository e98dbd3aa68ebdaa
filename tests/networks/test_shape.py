"""Counts: parameters and multiply-adds, as the papers have them and as PyTorch counts them."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from study.networks import shape
from study.networks.network import Network, build
from tests.helpers import make_spec

CIFAR = {"data": "cifar10", "recipe": "he2015_cifar"}
IMAGENET = CIFAR | {"family": "imagenet", "network": "residual", "shortcut": "B"}

PARAMETERS = {20: 269_722, 32: 464_154, 44: 658_586, 56: 853_018, 110: 1_727_962, 1202: 19_421_274}
"""Plain and option A, 10 classes (counted from He et al. 2015, section 4.2)."""


def counted(network):
    """Trained parameters of a built network."""
    return sum(parameter.numel() for parameter in network.parameters())


def empty(spec, channels=3, classes=10):
    """A network of the right shape without memory behind it."""
    with torch.device("meta"):
        return Network(spec, channels, classes)


@pytest.mark.parametrize("network", ["plain", "residual"])
@pytest.mark.parametrize("depth", PARAMETERS)
def test_cifar_networks_have_the_papers_parameters(network, depth):
    spec = make_spec(**CIFAR, network=network, depth=depth)
    assert counted(empty(spec)) == shape.parameters(spec) == PARAMETERS[depth]


@pytest.mark.parametrize("depth, parameters", [(18, 11_689_512), (34, 21_797_672)])
def test_imagenet_networks_have_torchvisions_parameters(depth, parameters):
    spec = make_spec(**IMAGENET, depth=depth)
    assert counted(empty(spec, classes=1000)) == shape.parameters(spec, classes=1000) == parameters


@pytest.mark.parametrize("depth, millions", [(20, 40.6), (56, 125.5), (110, 252.9)])
def test_cifar_networks_have_the_papers_multiply_adds(depth, millions):
    for network in ("plain", "residual"):
        spec = make_spec(**CIFAR, network=network, depth=depth)
        assert round(shape.macs(spec) / 1e6, 1) == millions


@pytest.mark.parametrize("depth, millions", [(18, 555), (34, 1159)])
def test_imagenet_networks_on_small_images_have_the_papers_multiply_adds(depth, millions):
    spec = make_spec(**IMAGENET, stem="cifar", depth=depth)  # with option B
    assert int(shape.macs(spec) / 1e6) == millions


@pytest.mark.parametrize("depth, billions", [(18, 1.8), (34, 3.6)])
def test_imagenet_networks_have_the_papers_multiply_adds(depth, billions):
    spec = make_spec(**IMAGENET, depth=depth)
    assert shape.macs(spec, classes=1000, size=224) / 1e9 == pytest.approx(billions, abs=0.08)


NETWORKS = [
    {"network": "plain"},
    {"network": "residual", "shortcut": "A"},
    {"network": "residual", "shortcut": "B"},
    {"network": "residual", "shortcut": "C"},
    {"network": "residual", "width": 2},
]
FAMILIES = [
    {"depth": 14},
    {"depth": 18, "family": "imagenet", "stem": "cifar"},
    {"depth": 18, "family": "imagenet", "stem": "imagenet"},
]


@pytest.mark.parametrize("network", NETWORKS, ids=str)
@pytest.mark.parametrize("family", FAMILIES, ids=str)
@pytest.mark.parametrize("size, channels, classes", [(32, 3, 10), (28, 1, 7), (8, 1, 10), (9, 3, 2)])
def test_counts_agree_with_pytorch(network, family, size, channels, classes):
    spec = make_spec(**CIFAR | network | family)
    built = empty(spec, channels, classes)
    assert counted(built) == shape.parameters(spec, channels, classes)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        built.eval()(torch.empty(1, channels, size, size, device="meta"))
    assert counter.get_total_flops() == 2 * shape.macs(spec, channels, classes, size)


@pytest.mark.parametrize("family", FAMILIES, ids=str)
@pytest.mark.parametrize("shortcut", ["A", "B", "C"])
def test_the_listed_layers_are_those_built_and_their_number_is_the_depth(family, shortcut):
    spec = make_spec(**CIFAR | family, network="residual", shortcut=shortcut)
    listed = list(shape.layers(spec))
    assert sum(not layer.name.endswith("shortcut") for layer in listed) == spec.depth
    weights = [p for name, p in build(spec, 3, 10).named_parameters() if p.ndim > 1]
    assert [(layer.out_maps, layer.in_maps) for layer in listed] == [tuple(w.shape[:2]) for w in weights]
    assert [layer.kernel for layer in listed] == [w.shape[-1] if w.ndim == 4 else 1 for w in weights]
    assert len({layer.name for layer in listed}) == len(listed)

"""Counts: parameters and multiply-adds, as the papers have them and as PyTorch counts them."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from study.config.registry import ORDERS
from study.networks import shape
from study.networks.network import structure
from tests.helpers import make_spec, slow

CIFAR = {"data": "cifar10", "recipe": "he2015_cifar"}
IMAGENET = CIFAR | {"family": "imagenet", "shortcut": "B"}

PARAMETERS = {20: 269_722, 32: 464_154, 44: 658_586, 56: 853_018, 110: 1_727_962, 1202: 19_421_274}
"""Plain and option A, 10 classes (counted from He et al. 2015, section 4.2)."""


def listed(spec, channels=3, classes=10):
    return sum(layer.parameters for layer in shape.layers(spec, channels, classes))


def counted(network):
    return sum(parameter.numel() for parameter in network.parameters())


def empty(spec, channels=3, classes=10):
    with torch.device("meta"):
        return structure(spec, channels, classes)


@pytest.mark.parametrize("network", ["plain", "residual"])
@pytest.mark.parametrize("depth", [*list(PARAMETERS)[:-1], slow(1202)])
def test_cifar_parameters_equal_the_paper(network, depth):
    spec = make_spec(**CIFAR, network=network, depth=depth)
    assert counted(empty(spec)) == listed(spec) == PARAMETERS[depth]


@pytest.mark.parametrize("depth, parameters", [(164, 1_703_258), slow(1001, 10_327_706)])
def test_preactivation_parameters_equal_the_authors_code(depth, parameters):
    """Of He et al. 2016."""
    fields = {"recipe": "he2016_cifar", "block": "bottleneck", "order": "pre", "shortcut": "projection"}
    spec = make_spec(**CIFAR | fields, depth=depth)
    assert counted(empty(spec)) == listed(spec) == parameters


@pytest.mark.parametrize(
    "depth, parameters",
    [(18, 11_689_512), (34, 21_797_672), (50, 25_557_032), (101, 44_549_160), (152, 60_192_808)],
)
def test_imagenet_parameters_equal_torchvision(depth, parameters):
    spec = make_spec(**IMAGENET, depth=depth)
    assert counted(empty(spec, classes=1000)) == listed(spec, classes=1000) == parameters


@pytest.mark.parametrize("depth, millions", [(20, 40.6), (56, 125.5), (110, 252.9)])
def test_cifar_multiply_adds_equal_the_paper(depth, millions):
    for network in ("plain", "residual"):
        spec = make_spec(**CIFAR, network=network, depth=depth)
        assert round(shape.macs(spec) / 1e6, 1) == millions


@pytest.mark.parametrize("depth, billions", [(18, 1.8), (34, 3.6), (50, 3.8), (101, 7.6), (152, 11.3)])
def test_imagenet_multiply_adds_equal_the_paper(depth, billions):
    spec = make_spec(**IMAGENET, depth=depth)
    assert shape.macs(spec, classes=1000, size=224) / 1e9 == pytest.approx(billions, abs=0.08)


def test_stride_of_bottleneck_changes_cost_but_not_parameters():
    paper, theirs = (make_spec(**IMAGENET, depth=50, block__stride_in=which) for which in ("1x1", "3x3"))
    assert listed(paper) == listed(theirs)
    assert shape.macs(theirs, classes=1000, size=224) / 1e9 == pytest.approx(4.09, abs=0.01)  # torchvision's count
    assert shape.macs(paper, classes=1000, size=224) < shape.macs(theirs, classes=1000, size=224)


def test_vgg_19_parameters_equal_torchvision_without_biases():
    convolutions = 2 * 64 + 2 * 128 + 4 * 256 + 8 * 512
    spec = make_spec(**CIFAR, network="plain", family="vgg", depth=19)
    assert counted(empty(spec, classes=1000)) == listed(spec, classes=1000) == 143_678_248 - convolutions
    assert shape.macs(spec, classes=1000, size=224) / 1e9 == pytest.approx(19.6, abs=0.1)  # He et al. 2015, figure 3


NETWORKS = [
    {"network": "plain"},
    {"family.width": 2},
    *({"shortcut": name} for name in ("A", "B", "C", "scaled", "exclusive_gate", "shortcut_gate", "dropout")),
    *({"order": order} for order in ORDERS if order != "original"),
    *({"order": order, "shortcut": "projection"} for order in ORDERS),
    *({"norm": norm, "shortcut": "C"} for norm in ("group", "none")),
]
FAMILIES = [
    {"depth": 14},
    {"depth": 18, "family": "imagenet", "family.stem": "cifar"},
    {"depth": 18, "family": "imagenet", "family.stem": "imagenet"},
    {"depth": 11, "block": "bottleneck"},
    {"depth": 20, "block": "bottleneck", "block.stride_in": "3x3"},
    {"depth": 8, "block": "single"},
    {"depth": 50, "family": "imagenet"},
]


IMAGES = [(32, 3, 10), (28, 1, 7), (8, 1, 10), (9, 3, 2)]
"""Size, channels, classes. Each kind of network and each family is in one case."""
COUNTED = [
    (network, family, *images)
    for i, network in enumerate(NETWORKS)
    for j, family in enumerate(FAMILIES)
    for k, images in enumerate(IMAGES)
    if (i + j + k) % (3 * len(IMAGES)) == 0
]


@pytest.mark.parametrize("network, family, size, channels, classes", COUNTED, ids=str)
def test_counts_agree_with_pytorch(network, family, size, channels, classes):
    spec = make_spec(**CIFAR | network | family)
    built = empty(spec, channels, classes)
    assert counted(built) == listed(spec, channels, classes)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        built.eval()(torch.empty(1, channels, size, size, device="meta"))
    assert counter.get_total_flops() == 2 * shape.macs(spec, channels, classes, size)


@pytest.mark.parametrize("family", FAMILIES, ids=str)
@pytest.mark.parametrize("shortcut", ["A", "C"])
def test_listed_layers_match_built_network_and_depth(family, shortcut):
    spec = make_spec(**CIFAR | family, shortcut=shortcut)
    listed = list(shape.layers(spec))
    assert sum(not layer.beside for layer in listed) == spec.depth
    weights = [p for name, p in empty(spec).named_parameters() if p.ndim > 1]
    assert [(layer.out_maps, layer.in_maps) for layer in listed] == [tuple(w.shape[:2]) for w in weights]
    assert [layer.kernel for layer in listed] == [w.shape[-1] if w.ndim == 4 else 1 for w in weights]
    assert len({layer.name for layer in listed}) == len(listed)

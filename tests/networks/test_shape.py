"""What is known of a network without training it: parameters, multiply-adds, depth and shortcuts, as the papers have them."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models

from study.config.registry import ORDERS
from study.config.use import use
from study.networks import shape
from study.networks.count import counted, macs, measured, needed
from study.networks.describe import describe, run_of
from study.networks.graph import depth_and_sum
from study.networks.network import build, structure
from tests.helpers import make_spec, slow

CIFAR = {"data": "cifar10", "recipe": "he2015_cifar"}
IMAGENET = CIFAR | {"family": "imagenet", "shortcut": "B"}

PARAMETERS = {20: 269_722, 32: 464_154, 44: 658_586, 56: 853_018, 110: 1_727_962, 1202: 19_421_274}
"""Plain and option A, 10 classes (counted from He et al. 2015, section 4.2)."""


def listed(spec, channels=3, classes=10):
    return sum(layer.parameters for layer in shape.layers(spec, channels, classes))


def total(network):
    return sum(parameter.numel() for parameter in network.parameters())


def empty(spec, channels=3, classes=10):
    with torch.device("meta"):
        return structure(spec, channels, classes)


@pytest.mark.parametrize("network", ["plain", "residual"])
@pytest.mark.parametrize("depth", [*list(PARAMETERS)[:-1], slow(1202)])
def test_cifar_parameters_equal_the_paper(network, depth):
    spec = make_spec(**CIFAR, network=network, depth=depth)
    assert total(empty(spec)) == listed(spec) == PARAMETERS[depth]


@pytest.mark.parametrize("depth, parameters", [(164, 1_703_258), slow(1001, 10_327_706)])
def test_preactivation_parameters_equal_the_authors_code(depth, parameters):
    """Of He et al. 2016."""
    fields = {"recipe": "he2016_cifar", "block": "bottleneck", "order": "pre", "shortcut": "projection"}
    spec = make_spec(**CIFAR | fields, depth=depth)
    assert total(empty(spec)) == listed(spec) == parameters


@pytest.mark.parametrize(
    "depth, parameters",
    [(18, 11_689_512), (34, 21_797_672), (50, 25_557_032), (101, 44_549_160), (152, 60_192_808)],
)
def test_imagenet_parameters_equal_torchvision(depth, parameters):
    spec = make_spec(**IMAGENET, depth=depth)
    assert total(empty(spec, classes=1000)) == listed(spec, classes=1000) == parameters


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
    assert total(empty(spec, classes=1000)) == listed(spec, classes=1000) == 143_678_248 - convolutions
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
    assert total(built) == listed(spec, channels, classes)
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


# -- counted on tensors without values: networks that have no closed form ----------------------------------------------

MIXER = """
from torch import nn
import study

@study.family
def perceptron(depth: int, residual: bool, channels: int, classes: int, size: int, *, width: int = 12) -> nn.Module:
    hidden = [part for _ in range(depth - 2) for part in (nn.Linear(width, width), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size**2, width), nn.ReLU(), *hidden, nn.Linear(width, classes))
"""

REAL = """
import torch

@study.family
class Vit(nn.Module):
    def __init__(self, depth, residual, channels, classes, size):
        super().__init__()
        rates = [rate.item() for rate in torch.linspace(0, 0.1, depth)]
        self.embed = nn.Conv2d(channels, 16, 2, 2)
        self.token, self.places = nn.Parameter(torch.zeros(1, 1, 16)), nn.Parameter(torch.zeros(1, (size // 2) ** 2 + 1, 16))
        self.layers = nn.ModuleList([nn.MultiheadAttention(16, 2, dropout=rate, batch_first=True) for rate in rates])
        self.norms = nn.ModuleList([nn.LayerNorm(16) for _ in rates])
        self.residual, self.head = residual, nn.Linear(16, classes)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.places
        for norm, layer in zip(self.norms, self.layers):
            y = norm(x)
            y = layer(y, y, y, need_weights=False)[0]
            x = x + y if self.residual else y
        return self.head(x[:, 0])

@study.family
def convmixer(depth, residual, channels, classes, size):
    layers = [nn.Sequential(nn.Conv2d(8, 8, 5, groups=8, padding="same"), nn.GELU(), nn.BatchNorm2d(8)) for _ in range(depth)]
    return nn.Sequential(nn.Conv2d(channels, 8, 2, 2), *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes))

@study.family
class OfValues(nn.Sequential):
    def __init__(self, depth, residual, channels, classes, size):
        super().__init__(nn.Flatten(), nn.Linear(channels * size**2, classes))

    def forward(self, x):
        return super().forward(x if x.mean() > 0 else -x)
"""
TOKENS = 17  # 4 x 4 patches of 2 x 2 pixels, and one more


@pytest.mark.parametrize("fields", [
    {}, {"network": "plain", "depth": 20}, {"block": "bottleneck", "depth": 29, "shortcut": "B"}, {"norm": "none"},
    {"family": "imagenet", "depth": 18}, {"family": "vgg", "network": "plain", "depth": 11}, {"order": "pre", "shortcut": "C"},
], ids=str)  # fmt: skip
def test_counts_are_those_of_the_shape(fields):
    spec = make_spec(**fields)
    found, layers = counted(spec, 3, 10, 32), list(shape.layers(spec, 3, 10, 32))
    assert found.macs == shape.macs(spec, 3, 10, 32) and found.parameters == sum(layer.parameters for layer in layers)
    assert not measured(spec) and needed(spec, 3, 10, 32) == shape.needed(spec, 3, 10, 32)
    assert 0.3 < found.kept * 4 * spec.recipe.batch_size / shape.activations(spec, 3, 10, 32) <= 1.05


@pytest.mark.parametrize("family, expected, bn", [
    ("vit", 16 * 16 * 4 + 3 * (4 * TOKENS * 16 * 16 + 2 * TOKENS * TOKENS * 16) + 16 * 10, False),
    ("convmixer", 16 * 8 * 4 + 3 * 16 * 8 * 25 + 8 * 10, True),
    ("of_values", 64 * 10, False), ("perceptron", 64 * 12 + 12 * 12 + 12 * 10, False),
])  # fmt: skip
def test_families_of_the_users_own_are_counted_and_described(tmp_path, family, expected, bn):
    (tmp_path / "mine.py").write_text(MIXER + REAL)
    use("mine.py", tmp_path)
    spec = make_spec(family=family, depth=3)
    found = counted(spec, 1, 10, 8)
    assert found.macs == expected and found.normalised == bn
    assert found.parameters == sum(own for *_, own in found.layers)
    assert found.parameters == sum(p.numel() for p in build(spec, 1, 10, 8).parameters())
    assert needed(spec, 1, 10, 8) > shape.WORKSPACE and f"{found.parameters:,} parameters" in describe(spec)
    assert measured(spec) and macs(spec, 1, 10, 8) == expected


# -- depth and shortcuts, from the graph alone -------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [
    {"network": "plain"}, {"shortcut": "A", "depth": 20}, {"shortcut": "B"}, {"shortcut": "exclusive_gate"},
    {"block": "bottleneck", "depth": 11, "shortcut": "C"}, {"network": "plain", "family": "vgg", "depth": 11},
])  # fmt: skip
def test_built_in_networks(fields):
    spec, images = make_spec(**fields), torch.zeros(2, 3, 32, 32, requires_grad=True, device="meta")
    assert depth_and_sum(images, empty(spec).eval()(images)) == (spec.depth, spec.network == "residual")


@pytest.mark.parametrize("name, depth, residual", [
    ("alexnet", 8, False), ("resnet18", 18, True), ("densenet121", 121, False), ("mobilenet_v2", 53, True),
])  # fmt: skip
def test_networks_of_torchvision(name, depth, residual):
    images = torch.zeros(1, 3, 64, 64, requires_grad=True)
    assert depth_and_sum(images, models.get_model(name).eval()(images)) == (depth, residual)


# -- in words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words, lines", [
    (["depth=56", "shortcut=B"], [
        "stage2  16x16   [3x3, 32; 3x3, 32] x 9 /2       163,008        41.42 M",
        "56 weighted layers, 855,770 parameters, 125.75 M multiply-adds for an image",
        "27 shortcuts: 25 of unchanged shape (identity)",
        "  stage2.block1: 16 to 32 maps, stride 2 (1x1 convolution, BN)",
    ]),
    (["family=imagenet", "depth=50", "shortcut=B"], [
        "stem    112x112  7x7, 64 /2, 3x3 max pool /2                  9,536       118.01 M",
        "50 weighted layers, 25,557,032 parameters, 3.86 G multiply-adds for an image",
    ]),
    (["network=plain", "family=vgg", "depth=19"], ["stage3  56x56    [3x3, 256] x 4; 2x2 max pool"]),
    (["depth=164", "block=bottleneck", "order=pre", "shortcut=projection"], [
        "164 weighted layers, 1,703,258 parameters",
        "  stage2.block1: 64 to 128 maps, stride 2 (BN, ReLU before both paths, 1x1 convolution)",
    ]),
])  # fmt: skip
def test_description_has_expected_lines(words, lines):
    text = describe(run_of(words))
    for line in lines:
        assert line in text

"""The shape of a network without building it: its stages, layers, parameters and multiply-adds. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from study.config.registry import BLOCKS, IMAGENET_BLOCKS, ORDERS, SHORTCUTS, VGG_CONVOLUTIONS
from study.config.run import RunSpec

VGG_HEAD = (7, 4096)
"""Height and width of the maps that a VGG's first linear layer gets at ImageNet size, and its outputs."""


class Stage(NamedTuple):
    """Blocks that share a resolution; `stride` is that of the first."""

    blocks: int
    maps: int
    stride: int


def stages(spec: RunSpec) -> list[Stage]:
    """The stages of a network (He et al. 2015, table 1 and section 4.2; Simonyan & Zisserman 2014, table 1).

    `maps` are those of a block's first convolutions: a bottleneck's last has four times as many.
    """
    width: int = spec.family.width
    if spec.family.name == "vgg":
        maps = (64, 128, 256, 512, 512)
        return [Stage(n, width * m, 1) for n, m in zip(VGG_CONVOLUTIONS[spec.depth], maps, strict=True)]
    imagenet, layers = spec.family.name == "imagenet", len(BLOCKS[spec.block.name].kernels)
    counts = IMAGENET_BLOCKS[spec.depth] if imagenet else ((spec.depth - 2) // (3 * layers),) * 3
    first = 64 if imagenet else 16
    return [Stage(n, width * first * 2**i, 1 if i == 0 else 2) for i, n in enumerate(counts)]


def large_stem(spec: RunSpec) -> bool:
    """Whether a network begins with a 7x7 convolution and a max pool."""
    return spec.family.options.get("stem") == "imagenet"


class Layer(NamedTuple):
    """A convolution, or a fully connected layer (`kernel` 1 and `size` 1, on pooled maps)."""

    name: str
    in_maps: int
    out_maps: int
    kernel: int
    size: int
    """Height and width of its output."""
    per_map: int = 2
    """Parameters of each output map beside its weights: BN's scale and shift, wherever in the chain that BN stands; 1 is a
    bias, and 0 neither."""

    @property
    def macs(self) -> int:
        """Multiply-adds for one image."""
        return self.in_maps * self.out_maps * self.kernel**2 * self.size**2

    @property
    def parameters(self) -> int:
        """Weights, and BN's scale and shift or the bias."""
        return self.in_maps * self.out_maps * self.kernel**2 + self.out_maps * self.per_map

    @property
    def beside(self) -> bool:
        """Whether it stands beside the chain of layers that depth counts: on a shortcut, or on a pooled branch."""
        return self.name.rpartition(".")[2] in ("shortcut", "gate") or ".pooled" in self.name


def layers(spec: RunSpec, channels: int = 3, classes: int = 10, size: int = 32) -> Iterator[Layer]:
    """Every weighted layer, in order, for images of `size` x `size` pixels."""
    if spec.family.name == "vgg":
        yield from _vgg(spec, channels, classes, size)
        return
    plan = stages(spec)
    maps = plan[0].maps
    if large_stem(spec):
        size = _halve(size)
        yield Layer("stem", channels, maps, 7, size)
        size = _halve(size)
    else:
        yield Layer("stem", channels, maps, 3, size)
    for s, stage in enumerate(plan):
        for b in range(stage.blocks):
            stride = stage.stride if b == 0 else 1
            block = list(_block(spec, f"stage{s + 1}.block{b + 1}", maps, stage.maps, stride, size))
            yield from block
            maps = stage.maps * BLOCKS[spec.block.name].expansion
            size = _halve(size) if stride == 2 else size
    yield Layer("head", maps, classes, 1, 1, per_map=1)


def _block(spec: RunSpec, name: str, in_maps: int, maps: int, stride: int, size: int) -> Iterator[Layer]:
    entry = BLOCKS[spec.block.name]
    out_maps, out_size = maps * entry.expansion, _halve(size) if stride == 2 else size
    kernels, before = entry.kernels, in_maps
    # R15's stride is in the first convolution, whatever its size; a bottleneck's `stride_in: 3x3` has it in the first 3x3.
    strided = kernels.index(3) if spec.block.options.get("stride_in") == "3x3" else 0
    for i, kernel in enumerate(kernels):
        after = out_maps if i == len(kernels) - 1 else maps
        yield Layer(f"{name}.conv{i + 1}", before, after, kernel, out_size if i >= strided else size)
        before = after
    for i, ratio in enumerate(entry.pooled):
        after = max(1, round(ratio * out_maps))
        yield Layer(f"{name}.pooled{i + 1}", before, after, 1, 1, per_map=1)
        before = after
    projects = "" if spec.shortcut is None else SHORTCUTS[spec.shortcut.name].projects
    if projects == "gate":
        yield Layer(f"{name}.gate", in_maps, out_maps, 1, out_size, per_map=1)
    elif projects == "every" or (projects in ("change", "order") and (stride != 1 or in_maps != out_maps)):
        normalised = projects != "order" or ORDERS[spec.order.name].load()(len(kernels)).normalised
        yield Layer(f"{name}.shortcut", in_maps, out_maps, 1, out_size, per_map=2 if normalised else 0)


def _vgg(spec: RunSpec, channels: int, classes: int, size: int) -> Iterator[Layer]:
    maps = channels
    for s, stage in enumerate(stages(spec)):
        for b in range(stage.blocks):
            yield Layer(f"stage{s + 1}.block{b + 1}.conv1", maps, stage.maps, 3, size)
            maps = stage.maps
        size = _halve(size)
    if spec.family.head == "imagenet":
        side, width = VGG_HEAD
        yield Layer("head1", side**2 * maps, width, 1, 1, per_map=1)
        yield Layer("head2", width, width, 1, 1, per_map=1)
        maps = width
    yield Layer("head", maps, classes, 1, 1, per_map=1)


def _halve(size: int) -> int:
    """The output size of a stride-2 layer with padding: it rounds up."""
    return (size + 1) // 2


def parameters(spec: RunSpec, channels: int = 3, classes: int = 10) -> int:
    """Trained parameters of a network."""
    return _total(spec, lambda network: sum(layer.parameters for layer in layers(network, channels, classes)))


def macs(spec: RunSpec, channels: int = 3, classes: int = 10, size: int = 32) -> int:
    """Multiply-adds of a forward pass for one image; BN, ReLU, pooling and additions are not counted."""
    return _total(spec, lambda network: sum(layer.macs for layer in layers(network, channels, classes, size)))


def _total(spec: RunSpec, count: Callable[[RunSpec], int]) -> int:
    """What is counted of a network, in the CIFAR family from its two shallowest ones: each further block of a stage is as
    the one before, and depths of 100,000 layers are not counted layer by layer."""
    if spec.family.name != "cifar":
        return count(spec)
    each = 3 * len(BLOCKS[spec.block.name].kernels)  # layers that one more block in each stage adds
    one, two = (count(spec.model_copy(update={"depth": 2 + blocks * each})) for blocks in (1, 2))
    return one + (two - one) * ((spec.depth - 2) // each - 1)

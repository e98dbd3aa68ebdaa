"""The shape of a network without building it: its stages, layers, parameters and multiply-adds. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from study.spec.run import RunSpec

IMAGENET_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
"""Basic blocks in each stage (He et al. 2015, table 1)."""


class Stage(NamedTuple):
    """Blocks that share a resolution; `stride` is that of the first."""

    blocks: int
    maps: int
    stride: int


def stages(spec: RunSpec) -> list[Stage]:
    """The stages of a network (He et al. 2015, table 1 and section 4.2)."""
    imagenet = spec.family == "imagenet"
    counts = IMAGENET_BLOCKS[spec.depth] if imagenet else ((spec.depth - 2) // 6,) * 3
    maps = 64 if imagenet else 16
    return [Stage(n, spec.width * maps * 2**i, 1 if i == 0 else 2) for i, n in enumerate(counts)]


class Layer(NamedTuple):
    """A convolution with its BN, or the last linear layer (`kernel` 1, `size` 1, a bias and no BN)."""

    name: str
    in_maps: int
    out_maps: int
    kernel: int
    size: int
    """Height and width of its output."""

    @property
    def macs(self) -> int:
        """Multiply-adds for one image."""
        return self.in_maps * self.out_maps * self.kernel**2 * self.size**2

    @property
    def parameters(self) -> int:
        """Weights, and BN's scale and shift or the linear layer's bias."""
        affine = self.out_maps if self.name == "head" else 2 * self.out_maps
        return self.in_maps * self.out_maps * self.kernel**2 + affine


def layers(spec: RunSpec, channels: int = 3, classes: int = 10, size: int = 32) -> Iterator[Layer]:
    """Every weighted layer, in order, for images of `size` x `size` pixels."""
    plan = stages(spec)
    maps = plan[0].maps
    if spec.stem == "imagenet":
        size = _halve(size)
        yield Layer("stem", channels, maps, 7, size)
        size = _halve(size)
    else:
        yield Layer("stem", channels, maps, 3, size)
    for s, stage in enumerate(plan):
        for b in range(stage.blocks):
            changes = b == 0 and (stage.stride != 1 or stage.maps != maps)
            size = _halve(size) if b == 0 and stage.stride == 2 else size
            name = f"stage{s + 1}.block{b + 1}"
            yield Layer(f"{name}.conv1", maps, stage.maps, 3, size)
            yield Layer(f"{name}.conv2", stage.maps, stage.maps, 3, size)
            if spec.shortcut == "C" or (spec.shortcut == "B" and changes):
                yield Layer(f"{name}.shortcut", maps, stage.maps, 1, size)
            maps = stage.maps
    yield Layer("head", maps, classes, 1, 1)


def _halve(size: int) -> int:
    """The output size of a stride-2 layer with padding: it rounds up."""
    return (size + 1) // 2


def parameters(spec: RunSpec, channels: int = 3, classes: int = 10) -> int:
    """Trained parameters of a network."""
    return sum(layer.parameters for layer in layers(spec, channels, classes))


def macs(spec: RunSpec, channels: int = 3, classes: int = 10, size: int = 32) -> int:
    """Multiply-adds of a forward pass for one image; BN, ReLU, pooling and additions are not counted."""
    return sum(layer.macs for layer in layers(spec, channels, classes, size))

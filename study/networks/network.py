"""A whole network: stem, stages of blocks, global average pool and a linear layer (He et al. 2015)."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import groupby
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from study.config.registry import (
    ACTIVATIONS,
    BLOCKS,
    CONVOLUTIONS,
    FAMILIES,
    INITIALISATIONS,
    NORMS,
    ORDERS,
    SHORTCUTS,
)
from study.config.run import RunSpec
from study.networks.blocks import Block, SingleBlock
from study.networks.initialise import constructing, initialise, own_values, seeded
from study.networks.layers import Chosen, activation, behind, choose, norm, stem
from study.networks.orders import Steps
from study.networks.shape import VGG_HEAD, Place, doubles, large_stem, layers, places, stages
from study.networks.shortcuts import Keyed, Projection


class Network(nn.Module):
    """`stem`, `stages` (lists of blocks), `tail` and `head`, in the order of the forward pass."""

    stem: nn.Module
    stages: nn.ModuleList
    tail: nn.Module
    head: nn.Module

    def blocks(self) -> Iterator[tuple[str, Block]]:
        """Yield every block with its name, in order."""
        for name, module in self.named_modules():
            if isinstance(module, Block):
                yield name, module

    def parts(self) -> Iterator[nn.Module]:
        """Yield the blocks and what stands between them, from stem to tail."""
        return (part for stage in self.stages for part in stage.children())

    def pool(self, x: Tensor) -> Tensor:
        """Pool the last maps for the head: means over all positions."""
        return x.mean((2, 3))

    def classify(self, x: Tensor) -> Tensor:
        """Turn the last block's output into logits."""
        return self.head(self.pool(self.tail(x)))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to logits (N, classes)."""
        x = self.stem(x)
        for part in self.parts():
            x = part(x)
        return self.classify(x)

    def placed(self, device: torch.device) -> Self:
        """Move to a device, in channels-last layout; in place."""
        return self.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def set_keys(self, keys: Tensor) -> None:
        """Set the keys of the next step's images, int64 (N,), from which dropout draws its masks; on a CPU torch's own, too."""
        for module in self._dropouts:
            module.keys = keys
        if type(keys) is Tensor and keys.device.type == "cpu":
            torch.default_generator.manual_seed(int(keys.sum()))

    def drop(self, rate: float) -> None:
        """Note the layers that drop values; branch l of L is skipped with `rate` l / L (Huang et al. 2016, eq. 4)."""
        blocks = [block for _, block in self.blocks()]
        for place, block in enumerate(blocks, 1):
            block.skipping.rate = rate * place / len(blocks)
        self._dropouts: list[Keyed] = []
        for name, module in self.named_modules():
            if isinstance(module, Keyed) and module.rate:
                module.salt = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little") >> 1
                self._dropouts.append(module)


class ResNet(Network):
    """A residual network of the CIFAR or the ImageNet family, or its plain twin.

    A plain network and its twin with option-A shortcuts have the same parameters in the same order.
    """

    def __init__(self, spec: RunSpec, channels: int, classes: int) -> None:
        super().__init__()
        entry, order = BLOCKS[spec.block.name], ORDERS[spec.order.name].load()
        steps = order(len(entry.kernels))
        maps = stages(spec)[0].maps
        self.stem = _stem(spec, channels, maps)
        self.stages = nn.ModuleList()
        for stage, members in groupby(places(spec), key=lambda place: place.stage):
            parts: dict[str, nn.Module] = {}
            for place in members:
                maps, number = place.out_maps, place.number - 1
                # Blocks and shortcuts draw the same values in plain networks and their twins.
                with seeded(spec.seed, f"stages.{stage - 1}.{number}.shortcut"):
                    shortcut = _shortcut(spec, place, steps)
                begun = stage == place.number == 1  # by the stem
                if not begun and steps.before and isinstance(shortcut, Projection) and _follows_order(spec):
                    parts["before"], begun = _activation(steps.before, place.in_maps), True
                with seeded(spec.seed, f"stages.{stage - 1}.{number}"):
                    shape = (place.in_maps, place.maps, place.stride)
                    block = entry.make(*shape, shortcut, order, begun, **spec.block.options)
                    parts[str(number)] = block
            self.stages.append(nn.Sequential(OrderedDict(parts)))
        # What each branch begins with also follows the last addition.
        self.tail = _activation(steps.before, maps)
        self.head = behind(nn.Linear, maps, classes)
        self.head.initial_scale = block.head_scale


class Vgg(Network):
    """The plain baseline of He et al. 2015, figure 3 left: the networks of Simonyan & Zisserman (2014, table 1).

    As torchvision's with BN, but without biases before BN and without dropout. With the CIFAR stem it has one linear
    layer, on the pooled last maps.
    """

    def __init__(self, spec: RunSpec, channels: int, classes: int) -> None:
        super().__init__()
        self.large = spec.family.head == "imagenet"
        self.stem = nn.Sequential()
        self.stages = nn.ModuleList()
        for _, members in groupby(places(spec, channels), key=lambda place: place.stage):
            blocks = [SingleBlock(place.in_maps, place.maps, 1, None) for place in members]
            # Round up, so that images too small for five halvings end as one pixel.
            self.stages.append(nn.Sequential(*blocks, nn.MaxPool2d(2, ceil_mode=True)))
        self.tail = nn.Sequential()
        maps = stages(spec)[-1].maps
        if self.large:
            side, width = VGG_HEAD
            first, second = nn.Linear(side**2 * maps, width), nn.Linear(width, width)
            self.head = nn.Sequential(first, activation(), second, activation(), nn.Linear(width, classes))
        else:
            self.head = nn.Linear(maps, classes)

    def pool(self, x: Tensor) -> Tensor:
        if not self.large:
            return super().pool(x)
        return F.adaptive_avg_pool2d(x, VGG_HEAD[0]).flatten(1)


def _shortcut(spec: RunSpec, place: Place, steps: Steps) -> nn.Module | None:
    if spec.shortcut is None:
        return None
    entry, options = SHORTCUTS[spec.shortcut.name], spec.shortcut.options
    if _follows_order(spec):
        options["normalised"] = steps.normalised
    made: nn.Module = entry.make(place.in_maps, place.out_maps, place.stride, **options)
    return made


def _follows_order(spec: RunSpec) -> bool:
    return spec.shortcut is not None and SHORTCUTS[spec.shortcut.name].projects == "order"


def _activation(letters: str, maps: int) -> nn.Sequential:
    """Make BN and ReLU outside of blocks."""
    return nn.Sequential(*[norm(maps) if letter == "B" else activation() for letter in letters])


def _stem(spec: RunSpec, channels: int, maps: int) -> nn.Sequential:
    if large_stem(spec):
        pool = nn.MaxPool2d(3, 2, padding=1)
        return nn.Sequential(stem(7, channels, maps, 2), norm(maps), activation(inplace=True), pool)
    return nn.Sequential(stem(3, channels, maps), norm(maps), activation(inplace=True))


class Own(Network):
    """A network of a family of the user's own: any module from images to logits."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        if not isinstance(module, nn.Module):
            raise ValueError(f"is a {type(module).__name__}, not an nn.Module")
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        return self.module(x.contiguous())  # type: ignore[no-any-return]  # so that `view` works


def structure(spec: RunSpec, channels: int, classes: int, size: int = 32) -> Network:
    """Make the network of a run with arbitrary weights, for a data set's channels, classes and size (CIFAR-10: 3, 10, 32)."""
    family = FAMILIES[spec.family.name]
    with choose(_chosen(spec)):
        if family.source is not None:
            given = (spec.depth, spec.network == "residual", channels, classes, size)
            module = family.make(*given, **spec.family.options)
            if not isinstance(module, nn.Module):
                raise TypeError(f"returns {module!r:.60}, not a torch.nn.Module")
            made: Network = Own(module)
        else:
            made = family.load()(spec, channels, classes)
    made.drop(spec.recipe.stochastic_depth or 0.0)
    return made


def _chosen(spec: RunSpec) -> Chosen:
    norms, activations = NORMS[spec.norm.name], ACTIVATIONS[spec.activation.name]
    known = FAMILIES[spec.family.name].source is None

    def make_norm(maps: int) -> nn.Module:
        return norms.make(maps, **spec.norm.options)  # type: ignore[no-any-return]

    return Chosen(
        norm=make_norm,
        activation=lambda: activations.make(**spec.activation.options),
        convolution=nn.Conv2d if spec.convolution is None else CONVOLUTIONS[spec.convolution.name].load(),
        biased=isinstance(make_norm(16), nn.Identity),
        doubles=doubles(spec),
        mirrored=doubles(spec) and not spec.activation.random,
        blocks=len(list(places(spec))) if known else 1,
        activations=sum(not layer.beside for layer in layers(spec)) - 1 if known else 1,
    )


def loaded(spec: RunSpec, state: Mapping[str, Tensor], channels: int, classes: int, size: int = 32) -> Network:
    """Make the network of a run with the state of a checkpoint. Raises `ValueError` for another network's state."""
    network = structure(spec, channels, classes, size)
    try:
        missing, unexpected = network.load_state_dict(dict(state), strict=False)
    except RuntimeError as error:  # of another shape
        raise ValueError(f"not the state of {spec.title}: {' '.join(str(error).split()):.200}") from None
    wrong = [name for name in missing if not name.endswith("num_batches_tracked")] + list(unexpected)
    if wrong:
        raise ValueError(f"not the state of {spec.title}: {', '.join(wrong[:3])}")
    return network


def build(spec: RunSpec, channels: int, classes: int, size: int = 32) -> Network:
    """Make the network of a run with the weights of its seed; keep what a block set in `__init__`. As `structure`."""
    with seeded(spec.seed, ""), constructing() as states:
        network = structure(spec, channels, classes, size)
    draw = partial(INITIALISATIONS[spec.initialisation.name].make, **spec.initialisation.options)
    initialise(network, spec.seed, draw, own_values(network, states))
    if spec.zero_gamma:
        zero_gamma(network)
    return network


@torch.no_grad()
def zero_gamma(network: Network) -> None:
    """Start the last norm of each branch at 0: each block is its shortcut (Goyal et al. 2017, arXiv 1706.02677, section 5.1)."""
    for _, block in network.blocks():
        for name in block.names("bn")[-1:]:
            getattr(block, name).weight.zero_()

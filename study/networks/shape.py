"""The shape of a network without building it: its stages, layers, parameters, multiply-adds and memory. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from study.config.registry import BLOCKS, IMAGENET_BLOCKS, ORDERS, SHORTCUTS, VGG_CONVOLUTIONS
from study.config.run import RunSpec

VGG_HEAD = (7, 4096)
"""Height and width of the maps before a VGG's first linear layer at ImageNet size, and its outputs."""


class Count(NamedTuple):
    """The cost of a network for one image."""

    parameters: int
    macs: int
    """Multiply-adds of a forward pass."""
    kept: int
    """Values that a training step keeps for the backward pass."""
    largest: int
    """Values of the largest output of a layer."""
    normalised: bool
    """Whether it has BN."""
    layers: tuple[tuple[str, str, tuple[int, ...], int], ...]
    """Each module with parameters of its own: name, type, shape of its output without the batch, parameters.

    The shape is empty where a module is not called, but its parameters are used by another.
    """


class Stage(NamedTuple):
    """Blocks of one resolution; `stride` is that of the first."""

    blocks: int
    maps: int
    stride: int


def stages(spec: RunSpec) -> list[Stage]:
    """List the stages of a network (He et al. 2015, table 1 and section 4.2; Simonyan & Zisserman 2014, table 1).

    `maps` are those of a block's first convolutions; a bottleneck's last has four times as many.
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
    """Parameters of each output map besides its weights: 2 for a norm's scale and shift, 1 for a bias."""
    others: int = 0
    """Further parameters, such as the weights of a branch after its last convolution."""

    @property
    def macs(self) -> int:
        """Multiply-adds for one image."""
        return self.in_maps * self.out_maps * self.kernel**2 * self.size**2

    @property
    def parameters(self) -> int:
        """Weights, and BN's scale and shift or the bias."""
        return self.in_maps * self.out_maps * self.kernel**2 + self.out_maps * self.per_map + self.others

    @property
    def beside(self) -> bool:
        """Whether depth does not count it: it is on a shortcut or a pooled branch."""
        return self.name.rpartition(".")[2] in ("shortcut", "gate") or ".pooled" in self.name or ".side" in self.name


def _normed(spec: RunSpec) -> int:
    """Parameters of each output map of a convolution and its norm besides the weights: a bias where there is no norm."""
    return 1 if spec.norm.name == "none" else 2


class Place(NamedTuple):
    """A block's place in a network, and its shape."""

    stage: int
    """Counted from 1, as `number`."""
    number: int
    in_maps: int
    maps: int
    out_maps: int
    stride: int

    @property
    def name(self) -> str:
        return f"stage{self.stage}.block{self.number}"

    @property
    def changes(self) -> bool:
        """Whether the shortcut changes the shape."""
        return self.stride != 1 or self.in_maps != self.out_maps


def places(spec: RunSpec, channels: int = 3) -> Iterator[Place]:
    """Yield the place of every block, in order."""
    plan, expansion = stages(spec), BLOCKS[spec.block.name].expansion
    in_maps = channels if spec.family.name == "vgg" else plan[0].maps
    for s, stage in enumerate(plan, 1):
        for b in range(1, stage.blocks + 1):
            place = Place(s, b, in_maps, stage.maps, stage.maps * expansion, stage.stride if b == 1 else 1)
            yield place
            in_maps = place.out_maps


def layers(spec: RunSpec, channels: int = 3, classes: int = 10, size: int = 32) -> Iterator[Layer]:
    """Yield every weighted layer, in order, for images of `size` x `size` pixels."""
    vgg, maps = spec.family.name == "vgg", stages(spec)[0].maps
    if large_stem(spec):
        size = _halve(size)
        yield Layer("stem", channels, maps, 7, size, _normed(spec))
        size = _halve(size)
    elif not vgg:
        yield Layer("stem", channels, maps, 3, size, _normed(spec))
    for place in places(spec, channels):
        if vgg and place.number == 1 and place.stage > 1:  # a max pool ends each stage
            size = _halve(size)
        yield from _block(spec, place, size)
        size = _halve(size) if place.stride == 2 else size
        maps = place.out_maps
    if vgg and spec.family.head == "imagenet":
        side, width = VGG_HEAD
        yield Layer("head1", side**2 * maps, width, 1, 1, per_map=1)
        yield Layer("head2", width, width, 1, 1, per_map=1)
        maps = width
    yield Layer("head", maps * (1 + doubles(spec)), classes, 1, 1, per_map=1)


def doubles(spec: RunSpec) -> bool:
    """Whether the activation makes two maps of each."""
    return spec.activation.name == "crelu"


def _block(spec: RunSpec, place: Place, size: int) -> Iterator[Layer]:
    entry, name, out_size = BLOCKS[spec.block.name], place.name, _halve(size) if place.stride == 2 else size
    kernels, before = entry.kernels, place.in_maps
    # The papers' stride is in the first convolution; a bottleneck's `stride_in: 3x3` has it in the first 3x3.
    strided = kernels.index(3) if spec.block.options.get("stride_in") == "3x3" else 0
    per_map = 0 if entry.scalars else _normed(spec)
    per_map += 2 if spec.convolution is not None and spec.convolution.name == "dirac" else 0
    weighs = "" if spec.shortcut is None else SHORTCUTS[spec.shortcut.name].weighs
    for i, kernel in enumerate(kernels):
        last = i == len(kernels) - 1
        after, inputs = place.out_maps if last else place.maps, before * (1 + doubles(spec))
        others = 2 + last if entry.scalars else 0
        others += {"": 0, "branch": 1, "maps": after}[weighs] if last else 0
        at = out_size if i >= strided else size
        yield Layer(f"{name}.conv{i + 1}", inputs, after, kernel, at, per_map, others)
        if entry.sides:
            same = inputs == after and (i > strided or place.stride == 1)
            norms = (1 + same) * (2 if _normed(spec) == 2 else 0)
            yield Layer(f"{name}.side{i + 1}", inputs, after, 1, at, norms)
        before = after
    for i, ratio in enumerate(entry.pooled):
        after = max(1, round(ratio * place.out_maps))
        yield Layer(f"{name}.pooled{i + 1}", before, after, 1, 1, per_map=1)
        before = after
    projects = "" if spec.shortcut is None else SHORTCUTS[spec.shortcut.name].projects
    if projects == "gate":
        yield Layer(f"{name}.gate", place.in_maps, place.out_maps, 1, out_size, per_map=1)
    elif projects == "every" or (projects in ("change", "order") and place.changes):
        normalised = projects != "order" or ORDERS[spec.order.name].load()(len(kernels)).normalised
        yield Layer(
            f"{name}.shortcut", place.in_maps, place.out_maps, 1, out_size, 2 * (normalised and _normed(spec) == 2)
        )


def _halve(size: int) -> int:
    """Return the output size of a stride-2 layer with padding, which rounds up."""
    return (size + 1) // 2


def macs(spec: RunSpec, channels: int = 3, classes: int = 10, size: int = 32) -> int:
    """Count the multiply-adds of a forward pass for one image, without BN, ReLU, pooling and additions.

    In the CIFAR family extrapolate from its two shallowest networks: listing 100,000 layers would take too long.
    """

    def count(network: RunSpec) -> int:
        return sum(layer.macs for layer in layers(network, channels, classes, size))

    if spec.family.name != "cifar":
        return count(spec)
    each = 3 * len(BLOCKS[spec.block.name].kernels)  # layers that one more block in each stage adds
    one, two = (count(spec.model_copy(update={"depth": 2 + blocks * each})) for blocks in (1, 2))
    return one + (two - one) * ((spec.depth - 2) // each - 1)


# -- memory --------------------------------------------------------------------------------------------------------------

WORKSPACE = 128 << 20
"""Bytes for each network's scratch space (cuBLAS has 32 MiB a stream and thread on a Hopper) and the allocator's rounding."""
EVALUATED = 500
"""Images in a batch of an evaluation."""


def activations(spec: RunSpec, channels: int = 3, classes: int = 10, size: int = 32) -> int:
    """Estimate, on the safe side, the bytes that a training step keeps from the forward for the backward pass.

    They are the input, each layer's output (for BN) and the ReLU's (for the next layer), and a third value where a max
    pool, a gate, a mask or a ReLU before the addition keeps one.
    """
    batch, itemsize = spec.recipe.batch_size // spec.recipe.bn_groups, 2 if spec.precision == "bf16" else 4
    shortcut = spec.shortcut and SHORTCUTS[spec.shortcut.name]
    pooled = large_stem(spec) or spec.family.name == "vgg"
    weighted = shortcut is not None and (shortcut.changes_input or shortcut.weighs != "")
    more = (
        pooled or weighted or doubles(spec) or BLOCKS[spec.block.name].scalars or spec.order.name == "relu_before_add"
    )
    maps = sum(layer.out_maps * layer.size**2 for layer in layers(spec, channels, classes, size))
    return batch * (channels * size**2 + (3 if more else 2) * maps) * itemsize


def needed(spec: RunSpec, channels: int = 3, classes: int = 10, size: int = 32) -> int:
    """Estimate, on the safe side, the bytes that a run takes on a device at its peak, without the data set."""
    shape = list(layers(spec, channels, classes, size))
    itemsize = 2 if spec.precision == "bf16" else 4
    # Weights, momentum, gradients; in bf16 also copies of weights and gradients; what weights are computed from others.
    each = 12 + (4 if itemsize == 2 else 0) + (12 if spec.convolution is not None else 0)
    state = sum(layer.parameters for layer in shape) * each
    largest = max(layer.out_maps * layer.size**2 for layer in shape) * itemsize
    step = activations(spec, channels, classes, size) + 4 * largest * spec.recipe.batch_size
    # What a graph has allocated is its own while it exists; recording the evaluation needs its maps beside it.
    return state + step + 4 * largest * EVALUATED + WORKSPACE

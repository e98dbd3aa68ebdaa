"""How much memory a network in training takes, and how much it moves, from its shape alone. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence

from study.config.registry import BLOCKS
from study.config.run import RunSpec
from study.networks.shape import large_stem, layers

WORKSPACE = 128 << 20
"""Bytes allowed to each network for the libraries' scratch space (cuBLAS has 32 MiB a stream and thread on a Hopper) and the
allocator's rounding."""
EVALUATED = 500
"""Images in a batch of an evaluation."""


def activations(spec: RunSpec, channels: int = 3, classes: int = 10, size: int = 32) -> int:
    """Bytes that a training step keeps from the forward pass for the backward pass.

    The input; of each convolution with its BN the output, which BN needs, and what follows it (ReLU's output, which the
    next convolution needs), in the precision's type; and what else a pooling, an order or a shortcut keeps.
    """
    batch, itemsize = spec.recipe.batch_size // spec.recipe.bn_groups, 2 if spec.precision == "bf16" else 4
    elements = channels * size**2
    chain = [layer for layer in layers(spec, channels, classes, size) if not layer.name.startswith("head")]
    shortcut = spec.shortcut.name if spec.shortcut else ""
    last = f".conv{len(BLOCKS[spec.block.name].kernels)}"
    for layer, following in zip(chain, [*chain[1:], None], strict=True):
        output = layer.out_maps * layer.size**2
        # A projection is followed by no ReLU of its own, and maybe not by BN; a gate keeps what it multiplies by, and with.
        kept = min(1, layer.per_map) if layer.name.endswith("shortcut") else 2
        if layer.name.endswith("gate"):
            kept = 3 if shortcut == "exclusive_gate" else 1
        if layer.name.endswith(last) and spec.order.name == "relu_before_add":
            kept += 1  # ReLU's output is not the sum
        elements += kept * output
        if layer.name.endswith(last) and shortcut == "dropout":
            elements += output // itemsize  # the mask, a byte for each value
        if _pooled(spec, layer.name, following and following.name):
            elements += output // 4 + 8 // itemsize * output // 4  # the pooled maps, and where each maximum was (int64)
    return batch * elements * itemsize


def _pooled(spec: RunSpec, name: str, following: str | None) -> bool:
    """Whether a max pool follows a layer."""
    if spec.family.name == "vgg":
        return following is None or following.partition(".")[0] != name.partition(".")[0]
    return name == "stem" and large_stem(spec)


def needed(spec: RunSpec, channels: int = 3, classes: int = 10, size: int = 32) -> int:
    """Bytes that a run takes on a device at its peak, the data set left out: an estimate on the safe side."""
    shape = list(layers(spec, channels, classes, size))
    itemsize = 2 if spec.precision == "bf16" else 4
    # Weights, momentum, gradients; in bf16 also copies of weights and gradients.
    state = sum(layer.parameters for layer in shape) * (12 + (4 if itemsize == 2 else 0))
    largest = max(layer.out_maps * layer.size**2 for layer in shape) * itemsize
    step = activations(spec, channels, classes, size) + 4 * largest * spec.recipe.batch_size
    # What a graph has allocated is its own while it exists; recording the evaluation needs its maps beside it.
    return state + step + 4 * largest * EVALUATED + WORKSPACE


def traffic(spec: RunSpec, channels: int = 3, classes: int = 10, size: int = 32) -> int:
    """Bytes that a training step reads and writes, when each of its operations does so once.

    With I and O the elements before and after a convolution: forward, the convolution I + O, BN's statistics O, its
    normalisation 2 O, ReLU 2 O; backward, the convolution 2 (I + O), ReLU 3 O, BN's sums 2 O and its gradient 3 O. An
    addition has 3 O forward, and 3 O backward where the gradients meet.
    """
    itemsize = 2 if spec.precision == "bf16" else 4
    elements, before = 0, channels * size**2
    for layer in layers(spec, channels, classes, size):
        if layer.name.startswith("head"):
            continue
        output = layer.out_maps * layer.size**2
        elements += 3 * before + 16 * output
        if spec.network == "residual" and layer.name.endswith(f".conv{len(BLOCKS[spec.block.name].kernels)}"):
            elements += 6 * output
        before = output
    return elements * spec.recipe.batch_size * itemsize


def parts(needs: Sequence[int], room: int) -> list[list[int]]:
    """The places of `needs` put together so that each part fits into `room`, in order, by first fit.

    What does not fit alone is a part of its own: the estimate is on the safe side.
    """
    filled: list[tuple[int, list[int]]] = []
    for place, need in enumerate(needs):
        for i, (taken, places) in enumerate(filled):
            if taken + need <= room:
                filled[i] = (taken + need, [*places, place])
                break
        else:
            filled.append((need, [place]))
    return [places for _, places in filled]

"""How far each block is from the identity, and how much its last ReLU cuts off."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from study.measure.probes.subject import Subject, Value
from study.networks.blocks import Block


def measure(subject: Subject) -> Iterator[Value]:
    """Three numbers a block, without unit, in evaluation mode.

    x is the block's input, F(x) its branch, s(x) its shortcut, y its output. ||.|| is the L2 norm over all images,
    positions and maps.

    `ratio`: ||F(x)|| / ||x||. In a plain network F(x) is the whole block up to the last ReLU.
    `change`: ||y - s(x)|| / ||s(x)||: how much the block changes its input. In a plain network s(x) is x, and blocks
    that change the shape are left out.
    `truncated`: the share of negative elements at the ReLU after the addition, which sets them to 0; 0 in an order
    without that ReLU. In a plain network it is the block's last ReLU.

    Source: He et al. 2016, section 4.2, on what that ReLU does to the signal; De & Smith 2020 (arXiv 2002.10444): with BN
    the branches of deep residual networks are small beside their shortcuts. Cost: one forward pass.
    """
    blocks = dict(subject.network.blocks())
    sums: dict[nn.Module, dict[str, Tensor]] = {b: defaultdict(lambda: torch.zeros(())) for b in blocks.values()}
    with torch.no_grad():
        for images, _ in subject.batches():
            x = subject.network.stem(images)
            for part in subject.network.parts():
                x = _note(part, x, sums[part]) if isinstance(part, Block) else part(x)
    found = {name: _measures(sums[block]) for name, block in blocks.items()}
    for measured in ("ratio", "change", "truncated"):
        for place, (name, values) in enumerate(found.items(), 1):
            if measured in values:
                yield Value(measured, name, place, values[measured])


def _note(block: Block, x: Tensor, sums: dict[str, Tensor]) -> Tensor:
    """Return the block's output; add its sums of squares and counts to `sums`."""
    branch = block.branch(x)
    sums["x"] = sums["x"] + _squared(x)
    sums["branch"] = sums["branch"] + _squared(branch)
    y = block.join(x, branch)
    given = block.rectified(y)
    if given is not None:
        sums["negative"] = sums["negative"] + (given < 0).sum()
    sums["elements"] = sums["elements"] + y.numel()
    y = block.after(y)
    carried = x if block.shortcut is None else block.shortcut(x)
    if carried.shape == y.shape:
        sums["carried"] = sums["carried"] + _squared(carried)
        sums["changed"] = sums["changed"] + _squared(y - carried)
    return y


def _squared(x: Tensor) -> Tensor:
    return x.double().square().sum()


def _measures(sums: dict[str, Tensor]) -> dict[str, float]:
    """Divide as tensors do: by 0 gives infinity, 0 by 0 gives NaN."""
    found = {"ratio": (sums["branch"] / sums["x"]).sqrt(), "truncated": sums["negative"] / sums["elements"]}
    if "carried" in sums:
        found["change"] = (sums["changed"] / sums["carried"]).sqrt()
    return {name: float(value) for name, value in found.items()}

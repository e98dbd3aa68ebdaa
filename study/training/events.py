"""When the network of a run is kept, so that its way through the space of weights can be drawn (`snapshot_every`)."""

from __future__ import annotations

from typing import Literal

Period = int | Literal["epoch"] | None
"""Of a spec's `snapshot_every`."""


def next_snapshot(every: int | Literal["epoch"], iteration: int, batch_size: int, images: int) -> int:
    """The first iteration after this one at which a snapshot is due, but for the end's.

    `epoch` is after each step that completes one: where iteration * batch_size // images rises. Batches run on across
    epochs, so that is up to a step late; of a set smaller than a batch, every step completes one.
    """
    if every != "epoch":
        return iteration + every - iteration % every
    epoch = iteration * batch_size // images + 1
    return -(-epoch * images // batch_size)


def snapshot_at(every: Period, iteration: int, iterations: int, batch_size: int, images: int) -> bool:
    """Whether a snapshot is due at this iteration: the first, the last, and those in between that `every` names."""
    if every is None:
        return False
    return iteration in (0, iterations) or next_snapshot(every, iteration - 1, batch_size, images) == iteration

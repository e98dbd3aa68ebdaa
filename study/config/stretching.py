"""Which network a trained one can be stretched into by exact identity layers."""

from __future__ import annotations

from study.config.registry import BLOCKS
from study.config.run import RunSpec
from study.errors import StudyError

SAME = ("data", "folder", "image_size", "network", "family", "block", "stride_in", "shortcut", "order", "stem", "width")
"""Fields in which the two must agree."""


def check(small: RunSpec, large: RunSpec) -> None:
    """Whether a trained `small` can be stretched into `large`.

    Raises
    ------
    StudyError
        It can't; says why, and what would be right.
    """
    for field in SAME:
        ours, theirs = getattr(large, field), getattr(small, field)
        if ours != theirs:
            raise StudyError(f"{field}: {ours} cannot start from {theirs}; identity layers change the depth alone")
    if large.family == "vgg":
        raise StudyError("a VGG has no blocks of unchanged shape to put in")
    if large.depth < small.depth:
        raise StudyError(f"depth: {large.depth} cannot start from {small.depth} layers; only deeper ones can")
    if large.network == "residual" and large.shortcut not in ("A", "B", "C", "projection"):
        raise StudyError(
            f"shortcut: {large.shortcut} passes on something else than its input, so no block is an identity"
        )
    entry = BLOCKS[large.block]
    if large.network == "plain" and (entry.expansion > 1 or entry.pooled):
        raise StudyError(
            f"no plain {large.block} block passes on just what it gets, so only residual ones can be stretched"
        )

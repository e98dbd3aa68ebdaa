"""Which network a trained one can be stretched into by exact identity layers."""

from __future__ import annotations

from study.config.registry import BLOCKS, FAMILIES, SHORTCUTS
from study.config.run import RunSpec
from study.config.stored import flat
from study.errors import StudyError

SAME = ("data", "network", "family", "block", "shortcut", "order", "norm", "activation")
"""Fields in which the two must agree, with their options."""


def check(small: RunSpec, large: RunSpec) -> None:
    """Raise StudyError, with the reason, if a trained `small` cannot be stretched into `large`."""
    ours, theirs = (flat(spec.model_dump(mode="json", include=set(SAME))) for spec in (large, small))
    for field in dict.fromkeys([*ours, *theirs]):
        if ours.get(field) != theirs.get(field):
            raise StudyError(
                f"{field}: {ours.get(field)} cannot start from {theirs.get(field)}; identity layers change the depth alone"
            )
    if FAMILIES[large.family.name].plain_only:
        raise StudyError(f"a {FAMILIES[large.family.name].title} has no blocks of unchanged shape to insert")
    if large.depth < small.depth:
        raise StudyError(f"depth: {large.depth} cannot start from {small.depth} layers; only deeper ones can")
    if large.shortcut is not None and SHORTCUTS[large.shortcut.name].changes_input:
        raise StudyError(
            f"shortcut: {large.shortcut.name} passes on something else than its input, so no block is an identity"
        )
    block = BLOCKS[large.block.name]
    if large.network == "plain" and (block.expansion > 1 or block.pooled):
        raise StudyError(f"no plain {block.name} block is an identity, so only residual ones can be stretched")

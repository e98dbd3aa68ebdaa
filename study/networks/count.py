"""What a network costs: by its shape where that is known, else by tracing it (`study.networks.traced`)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from traceback import extract_tb
from typing import Any

from study.config.registry import BLOCKS, FAMILIES, NORMS, SHORTCUTS
from study.config.run import RunSpec
from study.errors import StudyError
from study.networks import shape
from study.networks.shape import Count

__all__ = ["Count", "counted", "macs", "measured", "needed"]


def measured(spec: RunSpec) -> bool:
    """Whether a network has a part of the user's own, whose shape is unknown."""
    return bool(_sources(spec))


def _sources(spec: RunSpec) -> set[str]:
    """The files of the parts of a network that are the user's own."""
    parts: list[tuple[Any, Any]] = [
        (FAMILIES, spec.family), (BLOCKS, spec.block), (NORMS, spec.norm), (SHORTCUTS, spec.shortcut),
    ]  # fmt: skip
    sources = [table[chosen.name].source for table, chosen in parts if chosen is not None]
    return {source.name for source in sources if source is not None}


def macs(spec: RunSpec, channels: int = 3, classes: int = 10, size: int = 32) -> int:
    """Count the multiply-adds of a forward pass for one image. Arguments as for `study.networks.network.build`."""
    if measured(spec):
        return counted(spec, channels, classes, size).macs
    return shape.macs(spec, channels, classes, size)


def needed(spec: RunSpec, channels: int = 3, classes: int = 10, size: int = 32) -> int:
    """Estimate, on the safe side, the bytes that a run takes on a device at its peak, without the data set."""
    if not measured(spec):
        return shape.needed(spec, channels, classes, size)
    count, itemsize = counted(spec, channels, classes, size), 2 if spec.precision == "bf16" else 4
    work = spec.recipe.batch_size * (count.kept + 4 * count.largest) + 4 * count.largest * shape.EVALUATED
    return 20 * count.parameters + itemsize * work + shape.WORKSPACE


@lru_cache(maxsize=1000)
def _counted(text: str, channels: int, classes: int, size: int) -> Count:
    from study.networks.initialise import seeded  # late: networks of built-in parts are planned without torch
    from study.networks.network import structure
    from study.networks.traced import traced

    spec = RunSpec.model_validate_json(text)
    with seeded(spec.seed, ""):
        return traced(structure(spec, channels, classes, size), channels, classes, size)


def counted(spec: RunSpec, channels: int = 3, classes: int = 10, size: int = 32) -> Count:
    """Count on tensors without values. Raises `StudyError` for a mistake of the user's code, with its last line there."""
    try:
        return _counted(spec.model_copy(update={"seed": 0}).model_dump_json(), channels, classes, size)
    except Exception as error:
        kind = "family" if FAMILIES[spec.family.name].source else "block"
        trace = [frame for frame in extract_tb(error.__traceback__) if frame.filename in _sources(spec)]
        line = f"{Path(trace[-1].filename).name}:{trace[-1].lineno}, " if trace else ""
        what = str(error) if isinstance(error, StudyError | ValueError) else f"{type(error).__name__}: {error}"
        raise StudyError(f"{kind} {getattr(spec, kind).name}: {what} ({line}{spec.title})") from error

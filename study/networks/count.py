"""What a network costs: by its shape where that is known, else by tracing it (`study.networks.traced`)."""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from study.config.components import Component, Registry
from study.config.fields import Model
from study.config.own import places, told
from study.config.recipes import Recipe
from study.config.run import RunSpec
from study.config.stored import registry
from study.errors import StudyError
from study.networks import shape
from study.networks.shape import Count

__all__ = ["SHAPING", "Count", "counted", "macs", "measured", "mistake", "needed", "own_parts"]


SHAPING = ("family", "block", "shortcut", "order", "norm", "activation")
"""Fields of a network's layers."""


@cache
def _tables() -> list[tuple[bool, str, Registry[Any]]]:
    """Each field that takes a component: whether it is the recipe's, its name, and the components."""
    models: list[tuple[bool, type[Model]]] = [(False, RunSpec), (True, Recipe)]
    return [
        (of, name, found) for of, model in models for name in model.model_fields if (found := registry(model, name))
    ]


def own_parts(spec: RunSpec) -> dict[str, Component]:
    """The components of the user's own in a run, by field."""
    chosen = ((name, table, getattr(spec.recipe if of_recipe else spec, name)) for of_recipe, name, table in _tables())
    return {
        name: table[own.name] for name, table, own in chosen if own is not None and table[own.name].source is not None
    }


def measured(spec: RunSpec) -> bool:
    """Whether a network has a part of the user's own, whose shape is unknown."""
    return any(field in SHAPING for field in own_parts(spec))


def mistake(spec: RunSpec, error: BaseException, field: str = "") -> StudyError:
    """What to say of an exception in the user's code of a run, in a field if it is known, with its last line there."""
    parts = own_parts(spec)
    files = {file for component in parts.values() for file in component.source.files}
    lines = [f"{Path(place).name}, " for place in places(error, files)]
    field = field if field in parts else next(iter(parts), "network")
    name = f" {parts[field].name}" if parts else ""
    return StudyError(f"{field}{name}: {told(error)} ({''.join(lines[-1:])}{spec.title})")


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
    except (Exception, SystemExit) as error:
        raise mistake(spec, error) from error

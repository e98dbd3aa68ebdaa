"""The surfaces that a sweep file, or a command, asks for: entries, spread over the sweep's runs."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from study.config.fields import ALIASES, flat, reasons, shown, wrong
from study.config.identity import run_id
from study.config.registry import FAMILIES, NORMS
from study.config.run import RunSpec
from study.config.stored import FieldName, columns, nested
from study.config.surface import Settings, Surface, surface_id
from study.config.yaml import Document, Keys
from study.errors import nearest

MAX_SURFACES = 100_000
MAX_PLANES = 1000

_Changes = Annotated[dict[FieldName, Any], Field(min_length=1)]


def _changes(value: Any) -> Any:
    items = value if isinstance(value, list | tuple) else [None]
    if not all((isinstance(item, dict) and item) or isinstance(item, str) for item in items):
        raise wrong(f"must be a list of mappings of a run's field: value, such as [{{seed: 1}}], not {shown(value)}")
    known = columns()
    for name in (name for item in items if isinstance(item, dict) for name in item if name not in known):
        raise wrong(f"'{name}' is unknown{nearest(name, known, ALIASES)}")
    return tuple(items)


class SurfaceEntry(Settings):
    """An entry of a sweep file's `surfaces`: settings, and which runs they are for."""

    of: dict[FieldName, Any] | None = Field(
        default=None, min_length=1, description="fields of runs, with a value or a list: which runs; default: all"
    )
    to: Annotated[tuple[Any, ...], BeforeValidator(_changes, json_schema_input_type=list[_Changes])] = Field(
        default=(),
        max_length=2,
        validate_default=True,
        description="runs to interpolate to, given by the fields in which they differ from each run, or by their ids",
    )
    planes: int = Field(default=1, ge=1, le=MAX_PLANES, description="how many random planes")

    def surface(self, run: str, to: tuple[str, ...] = (), number: int = 0) -> Surface:
        """The surface of one run."""
        settings = self.model_dump(exclude={"of", "planes", "to"})
        return Surface(run=run, to=to, number=number, **settings)


def expand(
    document: Document,
    entries: Sequence[SurfaceEntry],
    runs: Mapping[str, RunSpec],
    others: Mapping[str, RunSpec] | None = None,
    overridden: bool = False,
) -> dict[str, Surface]:
    """The surfaces of these entries, by id. Mistakes are noted in the document; if it has any already, nothing is expanded.

    `others` are the runs in which those named by `to` are searched; default: `runs`. If fields were `overridden`, an entry may be
    about none of the runs.
    """
    found: dict[str, Surface] = {}
    if document.mistakes:
        return found
    rows = {name: flat(spec.model_dump(mode="json")) for name, spec in runs.items()} if entries else {}
    for i, entry in enumerate(entries):
        path: Keys = ("surfaces", i)
        chosen = _with_bn(document, entry, path, _chosen(document, entry.of, (*path, "of"), rows, overridden), runs)
        if (count := len(found) + len(chosen) * entry.planes) > MAX_SURFACES:
            document.wrong(path, f"{count:,} surfaces so far; a sweep has at most {MAX_SURFACES:,}")
            return {}
        for surface in _of_entry(document, entry, path, runs, chosen, runs if others is None else others):
            found[surface_id(surface)] = surface
        if document.full:
            break
    return found


def _with_bn(
    document: Document, entry: SurfaceEntry, path: Keys, chosen: Sequence[str], runs: Mapping[str, RunSpec]
) -> list[str]:
    """The chosen runs; for an entry about BN's statistics those with BN, and those of which only the built network tells."""

    def has(spec: RunSpec) -> bool:
        own = FAMILIES[spec.family.name].source or NORMS[spec.norm.name].source
        return bool(own) or spec.norm.name == "batch"

    found = [name for name in chosen if entry.bn == "frozen" or has(runs[name])]
    if chosen and not found:
        spec = runs[chosen[0]]
        document.wrong(
            (*path, "bn"), f"bn: {entry.bn} needs BN, and {spec.title} has norm: {spec.norm.name}; leave bn out"
        )
    return found


def _of_entry(
    document: Document,
    entry: SurfaceEntry,
    path: Keys,
    runs: Mapping[str, RunSpec],
    chosen: Sequence[str],
    others: Mapping[str, RunSpec],
) -> Iterator[Surface]:
    for name in chosen:
        to = _others(document, entry.to, (*path, "to"), runs[name], others)
        if to is not None and len({name, *to}) <= len(to):
            mistake = "is the centre itself" if name in to else "is named twice"
            hint = "" if entry.of or name not in to else ", or one run as the centre"
            document.wrong((*path, "to"), f"to: {name if name in to else to[0]} {mistake}; name another run{hint}")
            return
        for number in range(entry.planes if to is not None else 0):
            yield entry.surface(name, to or (), number)


def _chosen(
    document: Document, of: dict[str, Any] | None, path: Keys, rows: Mapping[str, dict[str, Any]], overridden: bool
) -> list[str]:
    if of is None:
        return list(rows)
    wanted = {f: set(map(_same, value if isinstance(value, list) else [value])) for f, value in of.items()}
    found = [name for name, row in rows.items() if all(_same(row.get(f)) in values for f, values in wanted.items())]
    if not found and rows and not overridden:
        document.wrong(path, f"of: no run of this sweep has {', '.join(f'{k}: {v}' for k, v in of.items())}")
    return found


def _same(value: Any) -> Hashable:
    """A key that is equal for equal values: 1 and 1.0 are equal, `true` is not a number."""
    if isinstance(value, list | tuple):
        return tuple(map(_same, value))
    return (isinstance(value, bool), value) if isinstance(value, Hashable) else repr(value)


def _others(
    document: Document, to: Sequence[Any], path: Keys, spec: RunSpec, runs: Mapping[str, RunSpec]
) -> tuple[str, ...] | None:
    """The ids of the runs that differ from `spec` as each mapping of `to` says; None if one cannot be found."""
    found = []
    for i, changes in enumerate(to):
        if isinstance(changes, str):
            found.append(changes)
            continue
        row = flat(spec.model_dump(mode="json"))
        for name in changes:  # a component that changes loses its options
            row = {key: value for key, value in row.items() if name == "recipe" or not key.startswith(f"{name}.")}
        try:
            other = run_id(RunSpec.model_validate(nested(row | changes)))
        except ValidationError as error:
            location, message = next(reasons(error, {}))
            document.wrong((*path, i), f"to: {'.'.join(map(str, location))}: {message}")
            return None
        if other not in runs:
            text = ", ".join(f"{k}: {v}" for k, v in changes.items())
            document.wrong((*path, i), f"to: no run of this sweep is as {spec.title} seed {spec.seed} with {text}")
            return None
        found.append(other)
    return tuple(found)

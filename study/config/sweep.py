"""A sweep file: fixed fields, grids and zips, expanded to run specs, every mistake with its place in the file."""

from __future__ import annotations

import copy
import itertools
import math
import shlex
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, ValidationInfo, field_validator

from study.config import recipes
from study.config.fields import ALIASES, NAME_RULE, Model, reasons, shown, sweep_name, wrong
from study.config.identity import run_id
from study.config.registry import FIGURES
from study.config.run import RunSpec
from study.config.schema import FieldSchemas
from study.config.spread import expand as expand_surfaces
from study.config.stored import columns
from study.config.surface import Surface, SurfaceEntry
from study.config.yaml import Document, Keys, read, scalar
from study.errors import StudyError, nearest, printable

MAX_RUNS = 100_000

# -- the file ---------------------------------------------------------------------------------------------------------------


def _known_field(name: str) -> str:
    if name not in (known := columns()):
        raise wrong(f"is unknown{nearest(name, known, ALIASES, 'fields')}")
    return name


def _name(value: str) -> str:
    if (name := sweep_name(value)) is None:
        raise wrong(f"{shown(value)} must be text of {NAME_RULE}")
    return name


def _words(text: str) -> str:
    words = " ".join(text.split())
    if printable(words) != words:
        raise wrong(f"must be text without control characters, not {shown(text)}")
    return words


def _figure(name: Any) -> Any:
    if not isinstance(name, str) or name not in FIGURES:
        known = nearest(name if isinstance(name, str) else "", FIGURES, listing="figures")
        raise wrong(f"no figure {shown(name)}{known}")
    return name


def _or(empty: Any) -> BeforeValidator:
    """Null stands for nothing."""
    return BeforeValidator(lambda value: copy.copy(empty) if value is None else value)


FieldName = Annotated[str, AfterValidator(_known_field)]
Fixed = Annotated[dict[FieldName, Any], FieldSchemas(), _or({})]
Axes = Annotated[dict[FieldName, Annotated[list[Any], Field(min_length=1)]], FieldSchemas(lists=True)]


class Part(Model):
    """A block of a sweep file."""

    fixed: Fixed = Field(default={}, description="fields with one value")
    grid: Axes = Field(default={}, min_length=1, description="fields with a list of values: every combination")
    zip: Axes = Field(
        default={}, min_length=1, description="fields with lists of equal length, stepped through together"
    )

    @field_validator("zip")
    @classmethod
    def _columns(cls, zipped: dict[str, list[Any]], above: ValidationInfo) -> dict[str, list[Any]]:
        if len({len(column) for column in zipped.values()}) > 1:
            lengths = ", ".join(f"{key}: {len(column)}" for key, column in zipped.items())
            raise wrong(f"lists of unequal length ({lengths})")
        if twice := zipped.keys() & above.data.get("grid", {}).keys():
            raise wrong(f"'{min(twice)}' stands in both grid and zip")
        return zipped


class SweepFile(Part):
    """A sweep file."""

    name: Annotated[str, AfterValidator(_name)] | None = Field(
        default=None, description="name of the results folder; default: the file's name"
    )
    description: Annotated[str, AfterValidator(_words), _or("")] = ""
    blocks: Annotated[list[Part], Field(min_length=1)] | None = Field(
        default=None, description="the sweep is the union of its blocks"
    )
    surfaces: Annotated[list[SurfaceEntry], _or([])] = Field(
        default=[], description="error surfaces around the trained networks (docs/surfaces.md)"
    )
    figures: Annotated[
        list[Annotated[str, BeforeValidator(_figure, json_schema_input_type=typing.Literal[tuple(FIGURES)])]], _or([])
    ] = Field(default=[], description="figures that `study figure` without a name draws, and the report shows")

    @field_validator("blocks")
    @classmethod
    def _alone(cls, blocks: Any, above: ValidationInfo) -> Any:
        for axes in ("grid", "zip"):
            if blocks is not None and above.data.get(axes):
                raise wrong(f"'{axes}' beside 'blocks': move it into a block")
        return blocks


_KNOWN = {"": SweepFile.model_fields, "blocks": Part.model_fields, "surfaces": SurfaceEntry.model_fields}


def sweep_schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of a sweep file, for editors that complete and check YAML."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **SweepFile.model_json_schema(),
        "title": "study sweep",
    }


def _checked(document: Document) -> SweepFile:
    """The file as a model; raises StudyError with all mistakes of its shape."""
    try:
        return SweepFile.model_validate(document.data)
    except ValidationError as error:
        document.explain(error, _KNOWN)
        document.check()
        raise


# -- points -----------------------------------------------------------------------------------------------------------------


class Value(NamedTuple):
    """A field's value and the place that set it: a path in the file, or words for messages."""

    value: Any
    place: Keys | str


Point = dict[str, Value]


@dataclass(frozen=True)
class Sweep:
    """A named set of runs: what to run, never where. `runs` maps each run id to its spec, in the file's order.

    If overrides such as `seed=0` choose some of the file's runs, these are `runs`, and `whole` has all of them.
    """

    name: str
    description: str
    runs: dict[str, RunSpec]
    figures: tuple[str, ...]
    surfaces: dict[str, Surface] = field(default_factory=dict)
    """Those of the whole sweep, by id."""
    chosen_from: dict[str, RunSpec] | None = None
    command: str = ""
    """The command that trains all of it; `file` is the text of its file."""
    file: str = ""

    @property
    def whole(self) -> dict[str, RunSpec]:
        """All runs that the sweep names, by id."""
        return self.runs if self.chosen_from is None else self.chosen_from


@dataclass
class _Block:
    path: Keys
    fixed: Point
    grid: dict[str, list[Value]]
    zip: dict[str, list[Value]]

    @property
    def size(self) -> int:
        """The number of its points, without making them."""
        return math.prod(len(axis) for axis in self.grid.values()) * len(self._rows())

    def _rows(self) -> list[tuple[Value, ...]]:
        return list(zip(*self.zip.values(), strict=False)) if self.zip else [()]

    def points(self) -> Iterator[Point]:
        """Every combination; the last axis of the grid changes fastest, the zip slowest."""
        for row in self._rows():
            for corner in itertools.product(*self.grid.values()):
                yield self.fixed | dict(zip(self.grid, corner, strict=True)) | dict(zip(self.zip, row, strict=True))


def load(path: Path, overrides: Sequence[str] = ()) -> Sweep:
    """Read a sweep file, apply overrides such as `recipe.iterations=1000` or `seed=0,1`, and expand it.

    Raises StudyError with a line for each mistake: first those of the file's shape, then those of the fields' values.
    """
    document = read(path)
    if not isinstance(document.data, dict):
        raise StudyError(f"{path}:1: a sweep file is a mapping with the keys {', '.join(SweepFile.model_fields)}")
    file = _checked(document)
    settings, fields = _split_overrides(document, overrides)
    name = _called(document, file, settings, path)
    blocks = _blocks(file)
    changed = copy.deepcopy(blocks)
    for key, values in fields.items():
        _override(changed, key, values)
    runs = _expand(document, changed, merge_duplicates=bool(fields))
    renamed = "name" in settings and settings["name"] != (file.name or path.stem)
    chosen_from = _chosen_from(document, blocks, runs) if fields and not renamed else None
    surfaces = expand_surfaces(document, file.surfaces, runs if chosen_from is None else chosen_from)
    document.check()
    command = shlex.join(["study", "sweep", path.name, *(overrides if chosen_from is None else ())])
    return Sweep(name, file.description, runs, tuple(file.figures), surfaces, chosen_from, command, document.text)


def _called(document: Document, file: SweepFile, settings: dict[str, str], path: Path) -> str:
    """The sweep's name: the override's, the file's `name`, or that of the file itself."""
    name = sweep_name(settings.get("name", file.name or path.stem))
    if name is None and "name" in settings:
        document.note(f"override: name: {shown(settings['name'])} must be text of {NAME_RULE}")
    elif name is None and "name" not in document.data:
        document.wrong((), f"name: {shown(path.stem)} (the file's; set `name:` in it) must be text of {NAME_RULE}")
    return name or ""


def _blocks(file: SweepFile) -> list[_Block]:
    shared = _fixed(file.fixed, ("fixed",))
    if file.blocks is None:
        return [_Block((), shared, _axes(file.grid, ("grid",)), _axes(file.zip, ("zip",)))]
    found = []
    for i, part in enumerate(file.blocks):
        path: Keys = ("blocks", i)
        fixed = shared | _fixed(part.fixed, (*path, "fixed"))
        found.append(_Block(path, fixed, _axes(part.grid, (*path, "grid")), _axes(part.zip, (*path, "zip"))))
    return found


def _fixed(mapping: dict[str, Any], path: Keys) -> Point:
    """Fields by dotted name. A mapping without a name, as in `recipe: {iterations: 5}`, changes options of another choice."""
    point: Point = {}
    for key, value in mapping.items():
        if isinstance(value, dict) and value and "name" not in value:
            point |= {f"{key}.{k}": Value(v, (*path, key, k)) for k, v in value.items()}
        else:
            point[key] = Value(value, (*path, key))
    return point


def _axes(axes: dict[str, list[Any]], path: Keys) -> dict[str, list[Value]]:
    return {key: [Value(value, (*path, key, i)) for i, value in enumerate(values)] for key, values in axes.items()}


def resolve(point: Point, place: str = "", *, document: Document | None = None) -> RunSpec:
    """The full spec of one point: its recipe's preset, then the point's own fields.

    Raises StudyError with a line for each wrong field, with the place that set it; missing fields are reported at `place`.
    """
    try:
        return RunSpec.model_validate(_assembled(point, document))
    except ValidationError as error:
        missing, mistakes = [], []
        for path, message in reasons(error, {}):
            if message == "is missing" and path[0] not in point and len(path) == 1:
                missing.append(str(path[0]))
            else:
                mistakes.append(_mistake(point, path, message, place, document))
        if missing:
            mistakes.insert(0, f"{place}: missing: {', '.join(missing)} (in fixed, grid or zip)")
        raise StudyError(*dict.fromkeys(mistakes)) from None


def _mistake(point: Point, path: Keys, message: str, place: str, document: Document | None) -> str:
    """One line about a wrong field, with the place of the most specific key that sets it, or of the block."""
    name = ".".join(str(part) for part in path)
    if message == "is unknown":
        message += nearest(name, columns(), ALIASES, "fields")
    source = max((key for key in point if f"{name}.".startswith(f"{key}.")), key=len, default=None)
    if source is not None:
        place = _where(point[source], path[len(source.split(".")) :], document)
    return f"{place}: {name}: {message}"


def _where(value: Value, inside: Keys, document: Document | None) -> str:
    if isinstance(value.place, str) or document is None:
        return str(value.place)
    return document.place((*value.place, *inside))


def _assembled(point: Point, document: Document | None) -> dict[str, Any]:
    """Nest the fields of a point: a component's name first, then its options."""
    fields: dict[str, Any] = {}
    for key in sorted(point, key=lambda key: key.count(".")):
        *outer, name = key.split(".")
        holder = fields
        for part in outer:
            inner = holder.get(part, {})
            holder[part] = holder = {"name": inner} if isinstance(inner, str) else dict(inner)
        value = point[key].value
        if key == "recipe":
            try:
                value = _with_preset(value)
            except StudyError as error:
                raise StudyError(f"{_where(point[key], (), document)}: recipe: {error}") from None
        holder[name] = _overlaid(holder.get(name), value)
    return fields


def _with_preset(value: Any) -> dict[str, Any]:
    """A named recipe, with the fields that a mapping changes."""
    given = value if isinstance(value, Mapping) else {"name": value}
    if not isinstance(given.get("name"), str):
        raise StudyError(
            f"must be the name of a recipe, or a mapping with one, not {shown(value)}{nearest('', recipes.names())}"
        )
    fields = recipes.preset(given["name"])
    return {**fields, **{key: _overlaid(fields.get(key), inner) for key, inner in given.items()}}


def _overlaid(before: Any, value: Any) -> Any:
    """Merge a component's new options into its present ones; another component replaces it."""
    if not isinstance(before, Mapping):
        return value
    new = {"name": value} if isinstance(value, str) else value
    if not isinstance(new, Mapping) or new.get("name", before.get("name")) != before.get("name"):
        return value
    return {**before, **new}


def one(words: Sequence[str], defaults: dict[str, Any]) -> RunSpec:
    """The run that `field=value` words name, with the other fields from `defaults`."""
    document = Document("the command line")
    settings, fields = _split_overrides(document, words)
    for setting in settings:
        document.note(f"override '{setting}=': a run has no {setting}; it names a sweep")
    for values in fields.values():
        if len(values) > 1:
            document.note(f"{values[0].place}: give one value, not {len(values)}: this is about a single run")
    document.check()
    given = {field: Value(value, "default") for field, value in defaults.items()}
    return resolve(given | {field: values[0] for field, values in fields.items()}, "the command line")


# -- overrides and expansion ------------------------------------------------------------------------------------------------


def _split_overrides(document: Document, overrides: Sequence[str]) -> tuple[dict[str, str], dict[str, list[Value]]]:
    """Separate the sweep's own settings (`name=`) from the values of each field."""
    settings: dict[str, str] = {}
    fields: dict[str, list[Value]] = {}
    known = columns()
    for text in overrides:
        key, equals, raw = text.partition("=")
        if key == "name" and equals:
            settings["name"] = raw
            continue
        try:
            if not equals:
                raise StudyError("write it as field=value, e.g. seed=0,1 or recipe.iterations=1000")
            if key not in known:
                raise StudyError(f"unknown field '{key}'{nearest(key, known, ALIASES, 'fields')}")
            is_list = any(typing.get_origin(kind) is tuple for kind in (known[key], *typing.get_args(known[key])))
            fields[key] = [Value(item, f"override '{text}'") for item in _values(raw, is_list)]
        except StudyError as error:
            document.note(*(f"override '{text}': {mistake}" for mistake in error.args))
    return settings, fields


def _values(raw: str, is_list: bool) -> list[Any]:
    """Split `0,1` or `[0, 1]` into values, except for a field whose value is itself a list."""
    value = scalar(f"[{raw}]" if "," in raw and not raw.startswith("[") else raw)
    values = value if isinstance(value, list) and not is_list else [value]
    if not values:
        raise StudyError("gives no value")
    return values


def _override(blocks: list[_Block], field: str, values: list[Value]) -> None:
    """Set a field in every block: one value fixes it, several become an axis of the grid.

    A new component drops the options that the file gave the old one; fields of the recipe apply to any recipe.
    """
    for block in blocks:
        for fields in (block.grid, block.zip, block.fixed):
            for key in list(fields):
                if key == field or (key.startswith(f"{field}.") and field != "recipe"):
                    del fields[key]
        if len(values) == 1:
            block.fixed[field] = values[0]
        else:
            block.grid[field] = values


def _expand(document: Document, blocks: list[_Block], *, merge_duplicates: bool) -> dict[str, RunSpec]:
    total = sum(block.size for block in blocks)
    if total > MAX_RUNS:
        count = f"{total:,}" if total < 10**15 else f"{total:.0e}"
        document.note(f"{document.file}: {count} runs; a sweep has at most {MAX_RUNS:,}")
        return {}
    runs: dict[str, RunSpec] = {}
    places: dict[str, str] = {}
    for block, point in ((b, p) for b in blocks for p in b.points()):
        if document.full:
            break
        try:
            spec = resolve(point, document.place(block.path), document=document)
        except StudyError as error:
            document.note(*error.args)
            continue
        key = run_id(spec)
        place = _where(next(reversed(point.values())), (), document)
        if key in runs and not merge_duplicates:
            first = f", first at {places[key]}" if places[key] != place else ""
            run = f"{spec.title}, seed {spec.seed}, on {spec.dataset}"
            document.note(f"{place}: duplicate run: {run} is named twice{first}{_why_one(spec, point)}")
        runs.setdefault(key, spec)
        places.setdefault(key, place)
    return runs


def _chosen_from(document: Document, blocks: list[_Block], runs: dict[str, RunSpec]) -> dict[str, RunSpec] | None:
    """All runs of the file, if the overrides only chose some of them; None if they made others."""
    alone = Document(document.file)  # mistakes that the overrides mend do not count
    named = _expand(alone, blocks, merge_duplicates=True)
    return named if not alone.mistakes and runs.keys() <= named.keys() else None


def _why_one(spec: RunSpec, point: Point) -> str:
    """Say why points that differ are one run."""
    lost = [field for field in ("shortcut", "order") if any(f"{key}.".startswith(f"{field}.") for key in point)]
    return f" (a plain network has no {' and no '.join(lost)})" if lost and spec.network == "plain" else ""

"""Expand a sweep file's fixed fields, grids and zips to run specs, and report each mistake with its place in the file."""

from __future__ import annotations

import itertools
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from study.config import recipes
from study.config.fields import ALIASES, NAME_RULE, reasons, shown, sweep_name
from study.config.identity import run_id
from study.config.run import RunSpec
from study.config.schema import KNOWN, Part, SweepFile
from study.config.spread import expand as expand_surfaces
from study.config.stored import settable
from study.config.surface import Surface
from study.config.use import use
from study.config.yaml import Document, Keys, read, scalar
from study.errors import StudyError, nearest

MAX_RUNS = 100_000


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


class _Block(NamedTuple):
    """A block of the file. Its axes are lists of alternatives; each point combines one of each."""

    path: Keys
    axes: list[list[Point]]

    @property
    def size(self) -> int:
        """The number of its points, without making them."""
        return math.prod(map(len, self.axes))

    def points(self) -> Iterator[Point]:
        """Every combination; the last axis changes fastest."""
        for corner in itertools.product(*self.axes):
            yield {key: value for part in corner for key, value in part.items()}

    def overridden(self, field: str, values: list[Value]) -> _Block:
        """The block with other values of a field: the last axis.

        A new component drops the options that the file gave the old one; fields of the recipe apply to any recipe.
        """

        def stays(key: str) -> bool:
            return key != field and (field == "recipe" or not key.startswith(f"{field}."))

        kept = [[{key: v for key, v in part.items() if stays(key)} for part in axis] for axis in self.axes]
        return _Block(self.path, [*filter(any, kept), [{field: value} for value in values]])


def load(path: Path, overrides: Sequence[str] = ()) -> Sweep:
    """Read a sweep file, apply overrides such as `recipe.iterations=1000` or `seed=0,1`, and expand it."""
    document = read(path)
    if not isinstance(document.data, dict):
        raise StudyError(f"{path}:1: a sweep file is a mapping with the keys {', '.join(SweepFile.model_fields)}")
    _use(document, path.parent)
    file = document.checked(SweepFile, document.data, KNOWN)
    new_name, fields = _split_overrides(document, overrides)
    name = _called(document, file, new_name, path)
    blocks = changed = _blocks(file)
    for key, values in fields.items():
        changed = [block.overridden(key, values) for block in changed]
    runs = _expand(document, changed, merge_duplicates=bool(fields))
    renamed = new_name not in (None, file.name or path.stem)
    chosen_from = _chosen_from(document, blocks, runs) if fields and not renamed else None
    whole = runs if chosen_from is None else chosen_from
    surfaces = expand_surfaces(document, file.surfaces, whole, overridden=bool(fields))
    document.check()
    command = shlex.join(["study", "sweep", path.name, *(overrides if chosen_from is None else ())])
    return Sweep(name, file.description, runs, tuple(file.figures), surfaces, chosen_from, command, document.text)


def _use(document: Document, folder: Path) -> None:
    """Import the user's code before the fields are checked, since it brings names; a wrong list is reported with the rest."""
    names = document.data.get("use")
    for place, name in enumerate(names if isinstance(names, list) else ()):
        if isinstance(name, str):
            try:
                use(name, folder)
            except StudyError as error:
                raise StudyError(f"{document.place(('use', place))}: {error}") from None


def _called(document: Document, file: SweepFile, override: str | None, path: Path) -> str:
    """The sweep's name: the override's, the file's `name`, or that of the file itself."""
    name = sweep_name(override if override is not None else file.name or path.stem)
    if name is None and override is not None:
        document.note(f"override: name: {shown(override)} must be text of {NAME_RULE}")
    elif name is None and "name" not in document.data:
        document.wrong((), f"name: {shown(path.stem)} (the file's; set `name:` in it) must be text of {NAME_RULE}")
    return name or ""


def _blocks(file: SweepFile) -> list[_Block]:
    shared = _fixed(file.fixed, ("fixed",))
    if file.blocks is None:
        return [_block(file, (), shared)]
    return [
        _block(part, ("blocks", i), shared | _fixed(part.fixed, ("blocks", i, "fixed")))
        for i, part in enumerate(file.blocks)
    ]


def _block(part: Part, path: Keys, fixed: Point) -> _Block:
    """The zip changes slowest, the last field of the grid fastest."""
    columns = [_axis(key, values, (*path, "zip")) for key, values in part.zip.items()]
    rows = [{key: value for part in row for key, value in part.items()} for row in zip(*columns, strict=False)]
    grid = [_axis(key, values, (*path, "grid")) for key, values in part.grid.items()]
    return _Block(path, [[fixed], *([rows] if rows else []), *grid])


def _axis(key: str, values: list[Any], path: Keys) -> list[Point]:
    return [{key: Value(value, (*path, key, i))} for i, value in enumerate(values)]


def _fixed(mapping: dict[str, Any], path: Keys) -> Point:
    """Fields by dotted name. A mapping without a name, as in `recipe: {iterations: 5}`, changes options of another choice."""
    point: Point = {}
    for key, value in mapping.items():
        if isinstance(value, dict) and value and "name" not in value:
            point |= {f"{key}.{k}": Value(v, (*path, key, k)) for k, v in value.items()}
        else:
            point[key] = Value(value, (*path, key))
    return point


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
        message += nearest(name, settable(), ALIASES, "fields")
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
            inner = {} if holder.get(part) is None else holder[part]
            holder[part] = holder = dict(inner) if isinstance(inner, Mapping) else {"name": inner}
        value = point[key].value
        if key == "recipe":
            try:
                in_file = document is not None and not isinstance(point[key].place, str)
                value = _with_preset(value, Path(document.file).parent if document and in_file else Path())
            except StudyError as error:
                raise StudyError(f"{_where(point[key], (), document)}: recipe: {error}") from None
        holder[name] = _overlaid(holder.get(name), value)
    return fields


def _with_preset(value: Any, folder: Path) -> dict[str, Any]:
    """A named recipe, or one of a file by its path, with the fields that a mapping changes."""
    given = value if isinstance(value, Mapping) else {"name": value}
    if not isinstance(given.get("name"), str):
        raise StudyError(
            f"must be the name of a recipe, or a mapping with one, not {shown(value)}{nearest('', recipes.names())}"
        )
    fields = recipes.preset(given["name"], folder)
    changed = {key: _overlaid(fields.get(key), inner) for key, inner in given.items() if key != "name"}
    return {**fields, **changed}


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
    name, fields = _split_overrides(document, words)
    if name is not None:
        document.note("override 'name=': a run has no name; it names a sweep")
    for values in fields.values():
        if len(values) > 1:
            document.note(f"{values[0].place}: give one value, not {len(values)}: this is about a single run")
    document.check()
    given = {field: Value(value, "default") for field, value in defaults.items()}
    return resolve(given | {field: values[0] for field, values in fields.items()}, "the command line")


# -- overrides and expansion ------------------------------------------------------------------------------------------------


def _split_overrides(document: Document, overrides: Sequence[str]) -> tuple[str | None, dict[str, list[Value]]]:
    """The sweep's new name (`name=`), and the values of each field."""
    name = None
    fields: dict[str, list[Value]] = {}
    known = settable()
    for text in overrides:
        key, equals, raw = text.partition("=")
        if key == "name" and equals:
            name = raw
            continue
        try:
            if not equals:
                raise StudyError("write it as field=value, e.g. seed=0,1 or recipe.iterations=1000")
            if key not in known:
                raise StudyError(f"unknown field '{key}'{nearest(key, known, ALIASES, 'fields')}")
            fields[key] = [Value(item, f"override '{text}'") for item in _values(raw, known[key].is_list)]
        except StudyError as error:
            document.note(*(f"override '{text}': {mistake}" for mistake in error.args))
    return name, fields


def _values(raw: str, is_list: bool) -> list[Any]:
    """Split `0,1` or `[0, 1]` into values, except for a field whose value is itself a list."""
    value = scalar(f"[{raw}]" if "," in raw and not raw.startswith("[") else raw)
    values = value if isinstance(value, list) and not is_list else [value]
    if not values:
        raise StudyError("gives no value")
    return values


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
    """Why different points are one run."""
    lost = [field for field in ("shortcut", "order") if any(f"{key}.".startswith(f"{field}.") for key in point)]
    return f" (a plain network has no {' and no '.join(lost)})" if lost and spec.network == "plain" else ""

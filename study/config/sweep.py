"""A sweep file: fixed fields, grids and zips, expanded to run specs, every mistake with its place in the file."""

from __future__ import annotations

import copy
import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from study.config import recipes
from study.config.fields import ALIASES
from study.config.identity import run_id
from study.config.names import RULE, sweep_name
from study.config.recipe import Recipe
from study.config.registry import FIGURES
from study.config.run import SHORTCUT_OPTIONS, RunSpec
from study.config.surface import Surface
from study.config.surfaces import expand as expand_surfaces
from study.config.yaml import Document, Keys, read, scalar
from study.errors import StudyError, nearest, printable

MAX_RUNS = 100_000
SWEEP_KEYS = ("name", "description", "fixed", "grid", "zip", "blocks", "surfaces", "figures")
BLOCK_KEYS = ("fixed", "grid", "zip")
FIELDS = (*RunSpec.model_fields, *(f"recipe.{f}" for f in Recipe.model_fields if f != "name"))
"""Everything that a sweep file or an override may set; `recipe` itself is a name or a mapping."""
LIST_FIELDS = ("recipe.milestones", "recipe.scales", "probes")
"""Those whose value is itself a list."""


class Value(NamedTuple):
    """A field's value and the place that set it (`file:line`), for messages."""

    value: Any
    place: str


Point = dict[str, Value]


@dataclass(frozen=True)
class Sweep:
    """A named set of runs: what to run, never where. `runs` maps each run id to its spec, in the file's order.

    Overrides such as `seed=0` may choose some of the file's runs: these are `runs` then, and `whole` has all of the file's.
    """

    name: str
    description: str
    runs: dict[str, RunSpec]
    figures: tuple[str, ...]
    surfaces: dict[str, Surface] = field(default_factory=dict)
    """Of the whole sweep, to be measured once their runs are trained, by id."""
    chosen_from: dict[str, RunSpec] | None = None

    @property
    def whole(self) -> dict[str, RunSpec]:
        """All runs that the sweep names, by id."""
        return self.runs if self.chosen_from is None else self.chosen_from


@dataclass
class _Block:
    place: str
    fixed: Point
    grid: dict[str, list[Value]]
    zip: dict[str, list[Value]]

    @property
    def size(self) -> int:
        """How many points it has, without making them."""
        return math.prod(len(axis) for axis in self.grid.values()) * len(self._rows())

    def _rows(self) -> list[tuple[Value, ...]]:
        return list(zip(*self.zip.values(), strict=False)) if self.zip else [()]

    def points(self) -> Iterator[Point]:
        """Every combination; the last axis of the grid changes fastest, the zip slowest."""
        for row in self._rows():
            for corner in itertools.product(*self.grid.values()):
                yield self.fixed | dict(zip(self.grid, corner, strict=True)) | dict(zip(self.zip, row, strict=True))


_NOTHING: dict[str, list[Value]] = {"": []}
"""An axis without values: a block with it has no points, and so no mistakes that follow from the one noted."""


def load(path: Path, overrides: Sequence[str] = ()) -> Sweep:
    """Read a sweep file, apply overrides such as `recipe.iterations=1000` or `seed=0,1`, and expand it.

    Raises
    ------
    StudyError
        Every mistake of the file in one message, each with its line and what would be right.
    """
    document = read(path)
    if not isinstance(document.data, dict):
        raise StudyError(f"{path}:1: a sweep file is a mapping with the keys {', '.join(SWEEP_KEYS)}")
    data = document.known(document.data, (), SWEEP_KEYS)
    settings, fields = _split_overrides(document, overrides)
    name = _name(document, data, settings, path)
    description = _description(document, data)
    figures = _figures(document, data)
    blocks = _blocks(document, data)
    changed = copy.deepcopy(blocks)
    for key, values in fields.items():
        _override(changed, key, values)
    runs = _expand(document, changed, merge_duplicates=bool(fields))
    renamed = "name" in settings and settings["name"] != data.get("name", path.stem)
    chosen_from = _chosen_from(blocks, runs) if fields and not renamed else None
    surfaces = expand_surfaces(document, data.get("surfaces"), runs if chosen_from is None else chosen_from)
    document.check()
    return Sweep(name, description, runs, figures, surfaces, chosen_from)


def resolve(point: Point, place: str = "", *, partial: bool = False) -> RunSpec:
    """The full spec of one point: its recipe's preset, then the point's own fields.

    Raises
    ------
    StudyError
        One line a wrong field, each with the place that set it. Missing fields are said to be so at `place`; not
        with `partial`, for a file in which they may have been lost by another mistake.
    """
    fields = {key: item.value for key, item in point.items() if not key.startswith("recipe")}
    wrong = []
    if "recipe" in point:
        name, where = point["recipe"]
        changed = {k.removeprefix("recipe."): v.value for k, v in point.items() if k.startswith("recipe.")}
        try:
            if not isinstance(name, str):
                raise StudyError(f"must be a name, not {_short(name)}{nearest('', recipes.names())}")
            fields["recipe"] = recipes.preset(name) | changed | {"name": name}
        except StudyError as error:
            wrong.append(f"{where}: recipe: {error}")
    try:
        spec = RunSpec.model_validate(fields)
    except ValidationError as error:
        missing = [str(item["loc"][-1]) for item in error.errors() if item["type"] == "missing"]
        missing = [field for field in missing if field not in point]
        if missing and not partial:
            wrong.append(f"{place}: missing: {', '.join(missing)} (in fixed, grid or zip)")
        raise StudyError(*dict.fromkeys([*wrong, *_explain(error, point, place)])) from None
    return spec


def one(words: Sequence[str], defaults: dict[str, Any]) -> RunSpec:
    """The run that `field=value` words name, the other fields from `defaults`.

    Raises
    ------
    StudyError
        A wrong word or field, or several values of one.
    """
    document = Document("the command line")
    settings, fields = _split_overrides(document, words)
    for setting in settings:
        document.note(f"override '{setting}=': a run has no {setting}; it names a sweep")
    for values in fields.values():
        if len(values) > 1:
            document.note(f"{values[0].place}: one value, not {len(values)}: this is about a single run")
    document.check()
    given = {field: Value(value, "default") for field, value in defaults.items()}
    return resolve(given | {field: values[0] for field, values in fields.items()}, "the command line")


def _explain(error: ValidationError, point: Point, place: str) -> Iterator[str]:
    """A line for each field that is there and wrong, or, at `place`, whose default is."""
    for item in error.errors():
        if item["type"] == "missing":
            continue
        field = ".".join(str(part) for part in item["loc"])
        message = re.sub(r"^\w+ should ", "must ", item["msg"])
        if item["type"] == "literal_error":
            message = f"must be {item['ctx']['expected']}, not {_short(item['input'])}"
        elif item["type"] != "choice":
            message = f"{message}, not {_short(item['input'])}"
        # The longest key of the point that names the field; a check of a default hangs on the data.
        source = max((key for key in point if f"{field}.".startswith(f"{key}.")), key=len, default="data")
        yield f"{point[source].place if source in point else place}: {field}: {message}"


def _short(value: Any) -> str:
    text = repr(value[:100] if isinstance(value, str) else value)
    return text if len(text) <= 80 else f"{text[:77]}..."


# -- reading the file: mistakes are noted in the document, and the reading goes on ------------------------------------


def _name(document: Document, data: dict[str, Any], settings: dict[str, str], path: Path) -> str:
    name = settings.get("name", data.get("name", path.stem))
    if isinstance(name, str) and (called := sweep_name(name)) is not None:
        return called
    whence = "" if "name" in settings or "name" in data else " (the file's; set `name:` in it)"
    place = "override" if "name" in settings else document.place(("name",))
    document.note(f"{place}: name: {_short(name)}{whence} must be text of {RULE}")
    return ""


def _description(document: Document, data: dict[str, Any]) -> str:
    text = data.get("description")
    if text is None:
        return ""
    words = " ".join(text.split()) if isinstance(text, str) else ""
    if not isinstance(text, str):
        document.wrong(("description",), "description: must be text")
    elif printable(words) != words:
        document.wrong(("description",), f"description: must be text without control characters, not {_short(text)}")
    return words


def _figures(document: Document, data: dict[str, Any]) -> tuple[str, ...]:
    names = data.get("figures")
    names = [] if names is None else names
    if not isinstance(names, list):
        document.wrong(("figures",), f"figures: must be a list of names: {', '.join(FIGURES)}")
        return ()
    for i, name in enumerate(names):
        if not isinstance(name, str) or name not in FIGURES:
            hint = nearest(name if isinstance(name, str) else "", FIGURES, listing="figures")
            document.wrong(("figures", i), f"no figure {_short(name)}{hint}")
    return tuple(name for name in names if isinstance(name, str))


def _blocks(document: Document, data: dict[str, Any]) -> list[_Block]:
    shared = _point(document, data.get("fixed"), ("fixed",))
    if "blocks" not in data:
        return [_block(document, {key: data[key] for key in ("grid", "zip") if key in data}, (), shared)]
    for key in ("grid", "zip"):
        if key in data:
            document.wrong((key,), f"'{key}' beside 'blocks': move it into a block")
    listed = data["blocks"]
    if not isinstance(listed, list) or not listed:
        document.wrong(("blocks",), f"blocks: must be a list of mappings with {', '.join(BLOCK_KEYS)}")
        return []
    return [_block(document, entry, ("blocks", i), shared) for i, entry in enumerate(listed)]


def _block(document: Document, entry: Any, path: Keys, shared: Point) -> _Block:
    if not isinstance(entry, dict):
        document.wrong(path, f"a block is a mapping with {', '.join(BLOCK_KEYS)}")
        return _Block(document.place(path), {}, dict(_NOTHING), {})
    if path:
        entry = document.known(entry, path, BLOCK_KEYS)
    fixed = _point(document, entry.get("fixed"), (*path, "fixed"))
    grid = _axes(document, entry, (*path, "grid"))
    columns = _axes(document, entry, (*path, "zip"))
    if len({len(column) for column in columns.values()}) > 1:
        lengths = ", ".join(f"{key}: {len(column)}" for key, column in columns.items())
        document.wrong((*path, "zip"), f"zip: lists of unequal length ({lengths})")
    for key in grid.keys() & columns.keys():
        document.wrong((*path, "zip", key), f"'{key}' stands in both grid and zip")
        del grid[key]
    return _Block(document.place(path), shared | fixed, grid, columns)


def _point(document: Document, mapping: Any, path: Keys) -> Point:
    """The `fixed` part of a file or block; a `recipe:` mapping is spread into `recipe` and `recipe.*`."""
    if mapping is None:
        return {}
    if not isinstance(mapping, dict):
        document.wrong(path, f"{path[-1]}: must be a mapping of field: value")
        return {}
    point: Point = {}
    for key, value in document.known(mapping, path, FIELDS, "fields").items():
        point |= _spread(document, key, value, (*path, key))
    return point


def _spread(document: Document, key: str, value: Any, path: Keys) -> Point:
    place = document.place(path)
    if key != "recipe" or not isinstance(value, dict):
        return {key: Value(value, place)}
    fields = document.known(value, path, tuple(Recipe.model_fields), "fields")
    spread = {f"recipe.{k}": Value(v, document.place((*path, k))) for k, v in fields.items() if k != "name"}
    return spread | ({"recipe": Value(fields["name"], place)} if "name" in fields else {})


def _axes(document: Document, entry: dict[str, Any], path: Keys) -> dict[str, list[Value]]:
    kind = str(path[-1])
    if kind not in entry:
        return {}
    mapping = entry[kind]
    if not isinstance(mapping, dict) or not mapping:
        document.wrong(path, f"{kind}: is empty; give it fields with lists, or leave it out")
        return dict(_NOTHING)
    axes: dict[str, list[Value]] = {}
    for key, values in document.known(mapping, path, FIELDS, "fields").items():
        here = (*path, key)
        if not isinstance(values, list):
            document.wrong(here, f"{kind}.{key}: must be a list such as [{'...' if values is None else values}]")
            values = [] if values is None else [values]
        elif not values:
            document.wrong(here, f"{kind}.{key}: is an empty list, so there is nothing to run")
        if key == "recipe" and any(isinstance(value, dict) for value in values):
            document.wrong(here, f"{kind}.recipe: is a list of names; vary a field as `recipe.learning_rate: [...]`")
            values = []
        axes[key] = [Value(value, document.place((*here, i))) for i, value in enumerate(values)]
    return axes


# -- overrides and expansion ------------------------------------------------------------------------------------------


def _split_overrides(document: Document, overrides: Sequence[str]) -> tuple[dict[str, str], dict[str, list[Value]]]:
    """The settings of the sweep itself (`name=`), and the values of each field."""
    settings: dict[str, str] = {}
    fields: dict[str, list[Value]] = {}
    for text in overrides:
        key, equals, raw = text.partition("=")
        if key == "name" and equals:
            settings["name"] = raw
            continue
        try:
            if not equals:
                raise StudyError("write it as field=value, e.g. seed=0,1 or recipe.iterations=1000")
            if key not in FIELDS:
                raise StudyError(f"unknown field '{key}'{nearest(key, FIELDS, ALIASES, 'fields')}")
            fields[key] = [Value(item, f"override '{text}'") for item in _values(key, raw)]
        except StudyError as error:
            document.note(*(f"override '{text}': {mistake}" for mistake in error.args))
    return settings, fields


def _values(key: str, raw: str) -> list[Any]:
    """`0,1` and `[0, 1]` are two values, except of a field whose value is itself a list."""
    value = scalar(f"[{raw}]" if "," in raw and not raw.startswith("[") else raw)
    values = value if isinstance(value, list) and key not in LIST_FIELDS else [value]
    if not values:
        raise StudyError("gives no value")
    return values


def _override(blocks: list[_Block], field: str, values: list[Value]) -> None:
    """Set a field in every block: one value fixes it, several make it an axis of the grid."""
    for block in blocks:
        block.grid.pop(field, None)
        block.zip.pop(field, None)
        block.fixed.pop(field, None)
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
    partial = bool(document.mistakes)
    runs: dict[str, RunSpec] = {}
    places: dict[str, str] = {}
    for block, point in ((b, p) for b in blocks for p in b.points()):
        if document.full:
            break
        try:
            spec = resolve(point, block.place, partial=partial)
        except StudyError as error:
            document.note(*error.args)
            continue
        key = run_id(spec)
        place = next(reversed(point.values())).place
        if key in runs and not merge_duplicates:
            first = f", first at {places[key]}" if places[key] != place else ""
            why = _forgotten(point) if spec.network == "plain" else ""
            run = f"{spec.title}, seed {spec.seed}, on {spec.dataset}"
            document.note(f"{place}: duplicate run: {run} is named twice{first}{why}")
        runs.setdefault(key, spec)
        places.setdefault(key, place)
    return runs


def _chosen_from(blocks: list[_Block], runs: dict[str, RunSpec]) -> dict[str, RunSpec] | None:
    """The runs of a file as it stands, where overrides only chose some of them; None where they made others."""
    alone = Document("")  # what only the overrides put right is no mistake of this call
    named = _expand(alone, blocks, merge_duplicates=True)
    return named if not alone.mistakes and runs.keys() <= named.keys() else None


def _forgotten(point: Point) -> str:
    """Why points of plain networks that differ may be one run."""
    fields = [field for field in ("shortcut", *SHORTCUT_OPTIONS, "order") if field in point]
    return f" (a plain network has no {' and no '.join(fields)})" if fields else ""

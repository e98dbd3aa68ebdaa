"""A sweep file: fixed fields, grids and zips, expanded to run specs, every mistake with its place in the file."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from study.errors import StudyError, nearest
from study.spec import recipes
from study.spec.identity import run_id
from study.spec.registry import FIGURES
from study.spec.run import Recipe, RunSpec
from study.spec.yaml import Document, Path_, read, scalar

MAX_RUNS = 100_000
SWEEP_KEYS = ("name", "description", "fixed", "grid", "zip", "blocks", "figures")
BLOCK_KEYS = ("fixed", "grid", "zip")
FIELDS = (*(f for f in RunSpec.model_fields), *(f"recipe.{f}" for f in Recipe.model_fields if f != "name"))
"""Everything that a sweep file or an override may set; `recipe` itself is a name or a mapping."""

_NAME = re.compile(r"\w[\w.\-]{0,99}")


class Value(NamedTuple):
    """A field's value and the place that set it (`file:line`), for messages."""

    value: Any
    place: str


Point = dict[str, Value]


@dataclass(frozen=True)
class Sweep:
    """A named set of runs: what to run, never where. `runs` maps each run id to its spec, in the file's order."""

    name: str
    description: str
    runs: dict[str, RunSpec]
    figures: tuple[str, ...]


@dataclass
class _Block:
    fixed: Point
    grid: dict[str, list[Value]]
    zip: dict[str, list[Value]]

    def __len__(self) -> int:
        rows = [len(column) for column in self.zip.values()]
        return math.prod(len(axis) for axis in self.grid.values()) * (rows[0] if rows else 1)

    def points(self) -> Iterator[Point]:
        rows = list(zip(*self.zip.values(), strict=True)) if self.zip else [()]
        for row in rows:
            for corner in itertools.product(*self.grid.values()):
                yield (self.fixed | dict(zip(self.grid, corner, strict=True)) | dict(zip(self.zip, row, strict=True)))


def load(path: Path, overrides: Sequence[str] = ()) -> Sweep:
    """Read a sweep file, apply overrides such as `recipe.iterations=1000` or `seed=0,1`, and expand it.

    Raises
    ------
    StudyError
        Every mistake of the file in one message, each with its line and what would be right.
    """
    document = read(path)
    if not isinstance(document.data, dict):
        raise StudyError(f"{path}: a sweep file is a mapping with the keys {', '.join(SWEEP_KEYS)}")
    _check_keys(document, document.data, (), SWEEP_KEYS)
    settings, fields = _split_overrides(overrides)
    name = _name(document, settings.get("name", document.data.get("name", path.stem)))
    blocks = _blocks(document)
    for field, values in fields.items():
        _override(blocks, field, values)
    runs = _expand(document, blocks, merge_duplicates=bool(fields))
    return Sweep(name, _description(document), runs, _figures(document))


def resolve(point: Point) -> RunSpec:
    """The full spec of one point: its recipe's preset, then the point's own fields.

    Raises
    ------
    StudyError
        One line a wrong field, each with the place that set it.
    """
    named = point.get("recipe")
    try:
        fields = {key: item.value for key, item in point.items() if not key.startswith("recipe")}
        if named is not None:
            if not isinstance(named.value, str):
                raise StudyError(f"recipe: give a name: {', '.join(recipes.names())}")
            changed = {k.removeprefix("recipe."): v.value for k, v in point.items() if k.startswith("recipe.")}
            fields["recipe"] = recipes.preset(named.value) | changed | {"name": named.value}
        return RunSpec.model_validate(fields)
    except StudyError as error:
        raise StudyError(f"{named.place if named else ''}: {error}") from None
    except ValidationError as error:
        raise StudyError("\n".join(dict.fromkeys(_explain(error, point)))) from None


def _explain(error: ValidationError, point: Point) -> Iterator[str]:
    everywhere = next(iter(point.values())).place if point else ""
    for item in error.errors():
        context = item.get("ctx", {})
        field = context.get("field") or ".".join(str(part) for part in item["loc"])
        message = item["msg"]
        if item["type"] == "missing":
            message = "is missing"
        elif item["type"] == "literal_error":
            message = f"must be {context['expected']}, not {item['input']!r}"
        elif item["type"] not in ("field", "choice"):
            message = f"{message[0].lower()}{message[1:]}, not {item['input']!r}"
        known = [key for key in point if field == key or field.startswith(f"{key}.")]
        place = point[max(known, key=len)].place if known else everywhere
        yield f"{place}: {field}: {message}"


# -- reading the file -------------------------------------------------------------------------------------------------


def _check_keys(document: Document, mapping: dict[str, Any], path: Path_, known: Sequence[str]) -> None:
    wrong = [
        f"{document.place((*path, key))}: unknown key '{key}'{nearest(key, known)}"
        for key in mapping
        if key not in known
    ]
    if wrong:
        raise StudyError("\n".join(wrong))


def _name(document: Document, name: Any) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name) or ".." in name:
        raise StudyError(
            f"{document.place(('name',))}: name: {name!r} must be letters, digits, '_', '-' and '.', without '/' or '..'"
        )
    return name


def _description(document: Document) -> str:
    text = document.data.get("description") or ""
    if not isinstance(text, str):
        raise StudyError(f"{document.place(('description',))}: description: must be text")
    return " ".join(text.split())


def _figures(document: Document) -> tuple[str, ...]:
    names = document.data.get("figures") or []
    if not isinstance(names, list):
        raise StudyError(f"{document.place(('figures',))}: figures: must be a list of names: {', '.join(FIGURES)}")
    for i, name in enumerate(names):
        if name not in FIGURES:
            raise StudyError(f"{document.place(('figures', i))}: no figure {name!r}{nearest(str(name), FIGURES)}")
    return tuple(names)


def _blocks(document: Document) -> list[_Block]:
    data = document.data
    shared = _point(document, data.get("fixed"), ("fixed",))
    if "blocks" not in data:
        return [_block(document, {k: v for k, v in data.items() if k in ("grid", "zip")}, (), shared)]
    for key in ("grid", "zip"):
        if key in data:
            raise StudyError(f"{document.place((key,))}: '{key}' beside 'blocks': move it into a block")
    listed = data["blocks"]
    if not isinstance(listed, list) or not listed:
        raise StudyError(
            f"{document.place(('blocks',))}: blocks: must be a list of mappings with {', '.join(BLOCK_KEYS)}"
        )
    return [_block(document, entry, ("blocks", i), shared) for i, entry in enumerate(listed)]


def _block(document: Document, entry: Any, path: Path_, shared: Point) -> _Block:
    if not isinstance(entry, dict):
        raise StudyError(f"{document.place(path)}: a block is a mapping with {', '.join(BLOCK_KEYS)}")
    _check_keys(document, entry, path, BLOCK_KEYS)
    fixed = _point(document, entry.get("fixed"), (*path, "fixed"))
    grid = _axes(document, entry, (*path, "grid"))
    columns = _axes(document, entry, (*path, "zip"))
    if len({len(column) for column in columns.values()}) > 1:
        lengths = ", ".join(f"{key}: {len(column)}" for key, column in columns.items())
        raise StudyError(f"{document.place((*path, 'zip'))}: zip: lists of unequal length ({lengths})")
    twice = grid.keys() & columns.keys()
    if twice:
        raise StudyError(f"{document.place((*path, 'zip'))}: '{min(twice)}' stands in both grid and zip")
    return _Block(shared | fixed, grid, columns)


def _point(document: Document, mapping: Any, path: Path_) -> Point:
    """The `fixed` part of a file or block; a `recipe:` mapping is spread into `recipe` and `recipe.*`."""
    if mapping is None:
        return {}
    if not isinstance(mapping, dict):
        raise StudyError(f"{document.place(path)}: '{path[-1]}' is a mapping of field: value")
    _check_keys(document, mapping, path, FIELDS)
    point: Point = {}
    for key, value in mapping.items():
        point |= _spread(document, key, value, (*path, key))
    return point


def _spread(document: Document, key: str, value: Any, path: Path_) -> Point:
    place = document.place(path)
    if key != "recipe" or not isinstance(value, dict):
        return {key: Value(value, place)}
    _check_keys(document, value, path, tuple(Recipe.model_fields))
    spread = {f"recipe.{k}": Value(v, document.place((*path, k))) for k, v in value.items() if k != "name"}
    return spread | ({"recipe": Value(value["name"], place)} if "name" in value else {})


def _axes(document: Document, entry: dict[str, Any], path: Path_) -> dict[str, list[Value]]:
    kind = str(path[-1])
    if kind not in entry:
        return {}
    mapping = entry[kind]
    if not isinstance(mapping, dict) or not mapping:
        raise StudyError(f"{document.place(path)}: {kind}: is empty; give it fields with lists, or leave it out")
    _check_keys(document, mapping, path, FIELDS)
    axes: dict[str, list[Value]] = {}
    for key, values in mapping.items():
        here = (*path, key)
        if not isinstance(values, list):
            raise StudyError(f"{document.place(here)}: {kind}.{key}: must be a list such as [{values}]")
        if not values:
            raise StudyError(f"{document.place(here)}: {kind}.{key}: is an empty list, so there is nothing to run")
        if key == "recipe" and any(isinstance(value, dict) for value in values):
            raise StudyError(
                f"{document.place(here)}: {kind}.recipe: is a list of names; vary a field as `recipe.learning_rate: [...]`"
            )
        axes[key] = [Value(value, document.place((*here, i))) for i, value in enumerate(values)]
    return axes


# -- overrides and expansion ------------------------------------------------------------------------------------------


def _split_overrides(overrides: Sequence[str]) -> tuple[dict[str, Any], dict[str, list[Value]]]:
    settings: dict[str, Any] = {}
    fields: dict[str, list[Value]] = {}
    for text in overrides:
        key, equals, raw = text.partition("=")
        if not equals:
            raise StudyError(f"override '{text}': write it as field=value, e.g. seed=0,1 or recipe.iterations=1000")
        if key == "name":
            settings["name"] = raw
            continue
        if key not in FIELDS:
            raise StudyError(f"override '{text}': unknown field '{key}'{nearest(key, FIELDS)}")
        listed = "," in raw and not raw.startswith("[")
        value = scalar(f"[{raw}]" if listed else raw)
        whole = key == "recipe.milestones" or not isinstance(value, list)
        values = [value] if whole else value
        if not values:
            raise StudyError(f"override '{text}': gives no value")
        fields[key] = [Value(item, f"override '{text}'") for item in values]
    return settings, fields


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
    total = sum(len(block) for block in blocks)
    if total > MAX_RUNS:
        raise StudyError(f"{document.file}: {total:,} runs; a sweep has at most {MAX_RUNS:,}")
    runs: dict[str, RunSpec] = {}
    wrong: dict[str, None] = {}
    for block in blocks:
        for point in block.points():
            try:
                spec = resolve(point)
            except StudyError as error:
                wrong |= dict.fromkeys(str(error).splitlines())
                continue
            key = run_id(spec)
            if key in runs and not merge_duplicates:
                place = next(iter(reversed(point.values()))).place
                wrong[f"{place}: duplicate run: {spec.title}, seed {spec.seed}, on {spec.dataset} is named twice"] = (
                    None
                )
            runs.setdefault(key, spec)
    if wrong:
        raise StudyError("\n".join(wrong))
    return runs

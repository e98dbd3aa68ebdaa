"""Entries of `study list`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from study import data
from study.config import recipes
from study.config.ready import ready_sweeps
from study.config.recipe import Recipe
from study.config.registry import BLOCKS, DATA, FIGURES, INITIALISATIONS, ORDERS, PROBES, SHORTCUTS, TABLES, Entry
from study.config.run import FOLDERS, IMAGENET_BLOCKS, VGG_CONVOLUTIONS, RunSpec
from study.config.sweep import load
from study.errors import StudyError
from study.store.runs import sweep_names

Lines = Iterator[tuple[str, str]]


def listing(kind: str, results: Path, data_root: Path) -> Lines:
    """Names and one-line summaries of one kind of thing."""
    kinds: dict[str, Callable[[], Lines]] = {
        "sweeps": lambda: _sweeps(results),
        "data": lambda: _data(data_root),
        "recipes": lambda: ((name, recipes.summary(name)) for name in recipes.names()),
        "networks": _networks,
        "fields": _fields,
        "probes": lambda: ((name, entry.summary) for name, entry in PROBES.items()),
        "figures": lambda: ((name, entry.summary) for name, entry in FIGURES.items()),
        "tables": lambda: ((name, entry.summary) for name, entry in TABLES.items()),
    }
    return kinds[kind]()


def _sweeps(results: Path) -> Lines:
    started = set(sweep_names(results))
    for name, path in sorted(ready_sweeps().items()):
        try:
            sweep = load(path)
            about = f"{sweep.description} ({len(sweep.runs)} runs)"
        except StudyError as error:
            about = f"cannot be read: {str(error).splitlines()[0]}"
        yield name, about + ("; started" if name in started else "")
        started.discard(name)
    for name in sorted(started):
        yield name, f"started; in {results / name}/"


def _data(root: Path) -> Lines:
    for name, entry in DATA.items():
        ready = "" if name in FOLDERS or data.missing(name, root) else " -- ready"
        yield name, entry.summary + ready


def _fields() -> Lines:
    """Fields that a sweep file or an override may set."""
    for before, model in (("", RunSpec), ("recipe.", Recipe)):
        schema = model.model_json_schema()["properties"]
        for name, field in model.model_fields.items():
            if (before, name) == ("recipe.", "name"):
                continue
            told = [_kind(schema[name]) if name != "recipe" else " | ".join(recipes.names())]
            if field.is_required():
                told.append("default: the recipe's" if before else "required")
            elif field.default not in (None, ()):
                told.append(f"default {field.default}".lower())
            yield before + name, "; ".join([*told, *filter(None, [field.description])])


def _kind(schema: Mapping[str, Any]) -> str:
    """Values of a field, from its JSON schema: `plain | residual`, `number`."""
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(_kind(one) for one in schema["anyOf"] if one.get("type") != "null"))
    names = {"integer": "whole number", "boolean": "true | false", "string": "text", "array": "list"}
    kind = schema.get("type", "")
    return " | ".join(map(str, schema.get("enum") or [schema.get("const") or names.get(kind, kind)]))


def _networks() -> Lines:
    yield (
        "family: cifar",
        "depth 6n + 2, such as 20, 56, 110; 9n + 2 with bottlenecks, 3n + 2 with single blocks",
    )
    yield "family: imagenet", f"depth {', '.join(map(str, IMAGENET_BLOCKS))}; stem: imagenet or cifar"
    yield "family: vgg", f"depth {', '.join(map(str, VGG_CONVOLUTIONS))}; stem: imagenet or cifar; plain only"
    yield "network", "plain or residual: the same network without or with shortcuts"
    tables: dict[str, Mapping[str, Entry]] = {
        "block": BLOCKS,
        "shortcut": SHORTCUTS,
        "order": ORDERS,
        "initialisation": INITIALISATIONS,
    }
    for kind, table in tables.items():
        for name, entry in table.items():
            yield f"{kind}: {name}", entry.summary

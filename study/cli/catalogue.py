"""What there is to choose from: `study list`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from study import data
from study.config import recipes
from study.config.components import Component
from study.config.ready import ready_sweeps
from study.config.recipes import Recipe
from study.config.registry import DATA, FAMILIES, FIGURES, PROBES, TABLES
from study.config.run import FOLDERS, RunSpec
from study.config.schema import field_schemas
from study.config.stored import registry, settable
from study.config.sweep import load
from study.errors import StudyError
from study.store.find import sweep_names
from study.text import listed

Lines = Iterator[tuple[str, str]]


def listing(kind: str, results: Path, data_root: Path) -> Lines:
    """Names and one-line summaries of `sweeps`, `data`, `recipes`, `networks`, `fields`, `probes`, `figures` or `tables`."""
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
    schemas = field_schemas()
    for name, column in settable().items():
        told, field = [_kind(schemas[name])], column.field
        outer, _, option = name.removeprefix("recipe.").partition(".")
        in_recipe = name.startswith("recipe.")
        if option and (table := registry(Recipe if in_recipe else RunSpec, outer)):
            told.append("with " + listed(c.name for c in table.values() if option in c.option_names))
        if field.is_required():
            told.append("default: the recipe's" if in_recipe and not option else "needed")
        elif field.default not in (None, ()):
            told.append(f"default {getattr(field.default, 'name', field.default)}".lower())
        yield name, "; ".join([*told, *filter(None, [schemas[name].get("description")])])


def _kind(schema: Mapping[str, Any]) -> str:
    """What values a field takes, from its JSON schema: `plain | residual`, `number`."""
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(_kind(one) for one in schema["anyOf"] if one.get("type") != "null"))
    names = {
        "integer": "whole number",
        "boolean": "true | false",
        "string": "text",
        "array": "list",
        "object": "mapping",
    }
    kind = schema.get("type", "")
    return " | ".join(map(str, schema.get("enum") or [schema.get("const") or names.get(kind, kind)]))


def _networks() -> Lines:
    for name, family in FAMILIES.items():
        yield f"family: {name}", f"{family.summary}; depth {family.depths}{_options(family)}"
    yield "network", "plain or residual: the same network without or with the addition"
    for field in RunSpec.model_fields:
        table = registry(RunSpec, field)
        if table is not None and field not in ("family", "data"):
            for name, component in table.items():
                yield f"{field}: {name}", component.summary + _options(component)


def _options(component: Component) -> str:
    """` (options: scale, branch)`."""
    return f" (options: {', '.join(component.option_names)})" if component.option_names else ""

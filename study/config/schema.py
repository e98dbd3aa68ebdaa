"""The JSON schema of a sweep file, for editors that complete and check YAML."""

from __future__ import annotations

import copy
from typing import Any

from study.config import recipes
from study.config.recipe import Recipe
from study.config.registry import FIGURES
from study.config.run import RunSpec
from study.config.surface import Surface
from study.config.surfaces import SETTINGS


def _fields() -> dict[str, Any]:
    """Schema of every field that a sweep file may set."""
    run = RunSpec.model_json_schema()["properties"]
    recipe = Recipe.model_json_schema()["properties"]
    run["recipe"] = {
        "description": "a named recipe, or a mapping that names one and changes some of its fields",
        "anyOf": [
            {"enum": recipes.names()},
            {"type": "object", "properties": recipe, "additionalProperties": False},
        ],
    }
    dotted = {f"recipe.{key}": value for key, value in recipe.items() if key != "name"}
    recipe["name"]["enum"] = recipes.names()
    for value in (*run.values(), *dotted.values()):
        value.pop("default", None)  # a sweep file leaves out what it does not mean to set
    return {**run, **dotted}


def _surface() -> dict[str, Any]:
    """Schema of an entry of `surfaces`: its settings, which runs, and how many planes."""
    fields = {k: v for k, v in Surface.model_json_schema()["properties"].items() if k in SETTINGS}
    for value in fields.values():
        value.pop("default", None)
    number, pair = {"type": "number"}, {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
    fields["points"] |= {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]}
    fields["range"] |= {"anyOf": [number, pair, {"type": "array", "items": pair}]}
    for name in ("points", "range"):
        fields[name] = {key: value for key, value in fields[name].items() if key in ("anyOf", "description")}
    some_fields = {"type": "object", "minProperties": 1}
    fields["of"] = {**some_fields, "description": "fields of runs, with a value or a list: which runs; default: all"}
    changed = "of each run: the others that it is joined with, by the fields in which they differ"
    fields["to"] = {"type": "array", "items": some_fields, "maxItems": 2, "description": changed}
    fields["planes"] = {"type": "integer", "minimum": 1, "description": "how many random planes; default 1"}
    return {"type": "object", "properties": fields, "additionalProperties": False}


def sweep_schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of a sweep file."""
    fields = _fields()
    lists = {key: {"type": "array", "items": copy.deepcopy(value), "minItems": 1} for key, value in fields.items()}
    lists["recipe"]["items"] = {"enum": recipes.names()}
    fixed = {"type": "object", "properties": fields, "additionalProperties": False}
    axes = {"type": "object", "properties": lists, "additionalProperties": False, "minProperties": 1}
    block = {"fixed": fixed, "grid": axes, "zip": axes}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "study sweep",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "name": {"type": "string", "description": "names the folder of the results; default: the file's name"},
            "description": {"type": "string"},
            **block,
            "blocks": {
                "type": "array",
                "minItems": 1,
                "description": "the sweep is the union of its blocks",
                "items": {"type": "object", "properties": block, "additionalProperties": False},
            },
            "surfaces": {
                "type": "array",
                "description": "error surfaces around the trained networks (docs/surfaces.md)",
                "items": _surface(),
            },
            "figures": {"type": "array", "items": {"enum": sorted(FIGURES)}},
        },
    }

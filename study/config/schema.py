"""The fields of runs as JSON schema, for sweep files."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from study.config import recipes
from study.config.recipe import Recipe
from study.config.run import RunSpec
from study.config.stored import registry


def field_schemas() -> dict[str, Any]:
    """Schema of every field and option that a sweep file may set, by its dotted name."""
    found: dict[str, Any] = {}
    for before, model in (("", RunSpec), ("recipe.", Recipe)):
        for name, schema in model.model_json_schema()["properties"].items():
            schema.pop("default", None)  # a sweep file leaves out what it does not mean to set
            found[before + name] = schema
            table = registry(model, name)
            for option, of_option in table.option_schemas().items() if table else ():
                found[f"{before}{name}.{option}"] = of_option
    named = found.pop("recipe.name") | {"enum": recipes.names()}
    inner = {name.removeprefix("recipe."): schema for name, schema in found.items() if name.startswith("recipe.")}
    fields = {name: schema for name, schema in inner.items() if "." not in name}
    mapping = {"type": "object", "properties": {"name": named, **fields}, "additionalProperties": False}
    found["recipe"] = {
        "description": "a named recipe, or a mapping that names one and changes some of its fields",
        "anyOf": [{"enum": recipes.names()}, mapping],
    }
    return found


@dataclass(frozen=True)
class FieldSchemas:
    """Gives a mapping of fields its schema; with `lists`, of fields to lists of values."""

    lists: bool = False

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        fields = copy.deepcopy(field_schemas())
        if self.lists:
            fields = {key: {"type": "array", "items": value, "minItems": 1} for key, value in fields.items()}
            return {"type": "object", "properties": fields, "additionalProperties": False, "minProperties": 1}
        return {"type": "object", "properties": fields, "additionalProperties": False}

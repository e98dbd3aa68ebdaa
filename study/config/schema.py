"""A sweep file as a model, and its JSON schema."""

from __future__ import annotations

import copy
import typing
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from study.config import recipes
from study.config.components import properties
from study.config.fields import NAME_RULE, Model, shown, sweep_name, wrong
from study.config.registry import FIGURES
from study.config.spread import SurfaceEntry
from study.config.stored import FieldName, settable
from study.errors import nearest, printable


def field_schemas() -> dict[str, Any]:
    """Schema of every field and option that a sweep file may set, by its dotted name."""
    declared = settable()
    models = {column.model: properties(column.model) for column in declared.values()}
    found: dict[str, Any] = {name: models[column.model][column.name] for name, column in declared.items()}
    inner = {name.removeprefix("recipe."): of for name, of in found.items() if name.startswith("recipe.")}
    fields = {name: of for name, of in inner.items() if "." not in name}
    named = {"description": recipes.Recipe.model_fields["name"].description, "enum": recipes.names()}
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
        found = {"type": "object", "properties": fields, "additionalProperties": False}
        return found | ({"minProperties": 1} if self.lists else {})


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
    use: Annotated[list[str], _or([])] = Field(
        default=[],
        description="files with components of your own, beside this one, or names of entry points (docs/your-own.md)",
    )
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


KNOWN = {"blocks": Part.model_fields, "surfaces": SurfaceEntry.model_fields}


def sweep_schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of a sweep file, for editors that complete and check YAML."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **SweepFile.model_json_schema(),
        "title": "study sweep",
    }

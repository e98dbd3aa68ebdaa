"""Specs as they are stored: as columns of a table, from an older version, or with components that are unknown here."""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping
from functools import cache
from typing import Annotated, Any, NamedTuple

import yaml
from pydantic import AfterValidator, ConfigDict, Field
from pydantic.fields import FieldInfo

from study.config.components import Component, Options, Registry
from study.config.fields import ALIASES, OWN, Model, flat, wrong
from study.config.recipes import Recipe
from study.config.run import Kept, RunSpec
from study.errors import nearest

Stored = Mapping[str, Any]
"""A spec in JSON's types."""


class Unchecked(Options):
    """A component as it was stored, perhaps one that is not registered here."""

    model_config = ConfigDict(extra="allow")

    @property
    def options(self) -> dict[str, Any]:
        """As of any component."""
        return {key: value for key, value in (self.__pydantic_extra__ or {}).items() if key != "code"}


def registry(model: type[Model], field: str) -> Registry[Any] | None:
    """The components that a field of a spec takes; None for a field that takes a value."""
    found = [item for item in model.model_fields[field].metadata if isinstance(item, Registry)]
    return found[0] if found else None


class Column(NamedTuple):
    """A field or option of a run: the model that declares it, and its name there."""

    model: type[Model]
    name: str

    @property
    def field(self) -> FieldInfo:
        """Its type, default and description."""
        return self.model.model_fields[self.name]

    @property
    def is_list(self) -> bool:
        """Whether its value is itself a list."""
        kind = self.field.annotation
        return any(typing.get_origin(part) is tuple for part in (kind, *typing.get_args(kind)))


class Own(Model):
    """What tables keep of components of the user's own."""

    own: str | None = Field(None, description="options of components of your own", json_schema_extra={"label": "{}"})
    code: str | None = Field(None, description="digests of the code of components of your own")


@cache
def columns() -> dict[str, Column]:
    """The columns of `runs.parquet`: every field of a run and every built-in option, by its dotted name."""
    own = {name: Column(Own, kind) for pair in OWN.values() for name, kind in zip(pair, ("own", "code"), strict=True)}
    return settable(lambda component: component.source is None) | own


def settable(counts: Callable[[Component], bool] = lambda component: True) -> dict[str, Column]:
    """The keys of a sweep file: every field of a run, and the options of components that count, by dotted names."""
    found: dict[str, Column] = {}
    for before, model in (("", RunSpec), ("recipe.", Recipe)):
        for name in sorted(model.model_fields, key=Kept.model_fields.__contains__):
            if (before, name) == ("recipe.", "name"):
                continue
            found[before + name] = Column(model, name)
            table = registry(model, name)
            for option, owner in table.options(counts).items() if table else ():
                found[f"{before}{name}.{option}"] = Column(owner, option)
    return found


def _known(name: str) -> str:
    if name not in (known := settable()):
        raise wrong(f"is unknown{nearest(name, known, ALIASES, 'fields')}")
    return name


FieldName = Annotated[str, AfterValidator(_known)]
"""The dotted name of a field or option of a run, as a key of a mapping."""


def labels() -> dict[str, str]:
    """How figures word the value of each option, by its dotted name: `bias {}`."""
    found = {}
    for name, column in columns().items():
        component, _, option = name.partition(".")
        if option and component != "recipe":
            extra: Any = column.field.json_schema_extra or {}
            found[name] = str(extra.get("label", f"{option} {{}}"))
    return found


def nested(row: Stored) -> dict[str, Any]:
    """A stored spec from dotted names, without the options that are null. Columns that are no field of a run are left out."""
    fields: dict[str, Any] = {}
    texts = dict(OWN.values())
    for key, (model, _) in columns().items():
        *outer, name = key.split(".")
        if key not in row or model is Own or (row[key] is None and issubclass(model, Options)):
            continue
        holder: dict[str, Any] | None = fields
        for part in outer:
            holder = None if holder is None else holder.setdefault(part, {})
        if holder is not None:
            component = name == "recipe" or registry(model, name) is not None
            holder[name] = {"name": row[key]} if component and row[key] is not None else row[key]
    for text, code in texts.items():
        holder = fields["recipe"] if text.startswith("recipe.") else fields
        for name, digest in (part.split(" ") for part in (row.get(code) or "").split(", ") if part):
            holder[name]["code"] = digest
        for key, value in yaml.safe_load(f"{{{row[text]}}}").items() if row.get(text) else ():
            name, _, option = key.partition(".")
            holder[name][option] = value
    return fields


def recorded(spec: RunSpec | Stored) -> RunSpec:
    """A stored spec for viewing: unchecked, since it may name components that are not registered here."""
    if isinstance(spec, RunSpec):
        return spec
    fields = upgraded(spec)
    recipe = fields.get("recipe")
    own = _unchecked(Recipe, recipe if isinstance(recipe, Mapping) else {})
    return RunSpec.model_construct(
        None, **{**_unchecked(RunSpec, fields), "recipe": Recipe.model_construct(None, **own)}
    )


def _unchecked(model: type[Any], given: Stored) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if name not in given and not field.is_required():
            continue
        value = given.get(name)
        if registry(model, name) is not None and value is not None:
            named = value if isinstance(value, Mapping) else {"name": value}
            value = Unchecked.model_construct(None, **{"name": "unknown", **named})
        found[name] = tuple(value) if isinstance(value, list) else value
    return found


# -- schema version 1 -------------------------------------------------------------------------------------------------------

RENAMED = {
    "stride_in": "block.stride_in",
    "shortcut_scale": "shortcut.scale",
    "branch_scale": "shortcut.branch",
    "gate_bias": "shortcut.bias",
    "dropout": "shortcut.rate",
    "width": "family.width",
    "folder": "data.folder",
    "image_size": "data.image_size",
    "recipe.momentum": "recipe.optimizer.momentum",
    "recipe.nesterov": "recipe.optimizer.nesterov",
    "recipe.milestones": "recipe.schedule.at",
    "recipe.gamma": "recipe.schedule.gamma",
    "recipe.plateau_patience": "recipe.schedule.patience",
    "recipe.plateau_improvement": "recipe.schedule.improvement",
    "recipe.plateau_drops": "recipe.schedule.drops",
    "recipe.warmup_rate": "recipe.warmup.rate",
    "recipe.warmup_iterations": "recipe.warmup.iterations",
    "recipe.warmup_error": "recipe.warmup.below",
    "recipe.warmup_from_depth": "recipe.warmup.from_depth",
}
"""Columns of schema version 1, and what they are called now."""
ADDED = {
    "order": "original",
    "initialisation": "he_fan_in",
    "norm": "batch",
    "activation": "relu",
    "recipe.optimizer": "sgd",
    "recipe.decay": "all",
    "recipe.bn_groups": 1,
    "recipe.schedule": "milestones",
    "recipe.colour": "none",
    "recipe.mean": "pixel",
}
"""Fields that were added after the first runs, with the value under which these were trained."""


def upgraded(fields: Stored) -> dict[str, Any]:
    """A stored spec in the shape of schema version 2, where it is one of version 1."""
    recipe = fields.get("recipe")
    if not isinstance(recipe, Mapping) or not {"momentum", "milestones", "gamma"} & recipe.keys():
        return dict(fields)
    return nested(upgraded_row({"recipe.momentum": None} | flat(fields)))


def upgraded_row(row: Stored) -> dict[str, Any]:
    """`upgraded` for a row of `runs.parquet`; its other columns stay."""
    if "recipe.momentum" not in row:
        return dict(row)
    stem = "family.head" if row.get("family") == "vgg" else "family.stem"
    names = RENAMED | {"stem": stem}
    found: dict[str, Any] = ADDED | {names.get(key, key): value for key, value in row.items() if value is not None}
    for field in ("family", "block", "shortcut", "data", "recipe.optimizer", "recipe.schedule", "recipe.warmup"):
        model: Any = Recipe if field.startswith("recipe.") else RunSpec
        table = registry(model, field.removeprefix("recipe."))
        component = table.get(str(found.get(field))) if table else None
        own = component.option_names if component else []
        for option in [key for key in found if component and key.startswith(f"{field}.")]:
            if option.removeprefix(f"{field}.") not in own:  # of a choice that was not made
                del found[option]
    if found.get("recipe_changes"):
        changed = (names.get(f"recipe.{name}", name) for name in found["recipe_changes"].split(", "))
        found["recipe_changes"] = ", ".join(name.removeprefix("recipe.") for name in changed)
    return {key: None for key in row if key not in names} | found

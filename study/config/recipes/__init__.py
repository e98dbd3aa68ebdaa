"""Named recipes: each is the YAML file of its name in this folder."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from study.config.components import Options
from study.config.recipe import Recipe
from study.config.stored import flat
from study.errors import StudyError, nearest

_FOLDER = Path(__file__).parent
_COMPONENTS = {f: field.default.name for f, field in Recipe.model_fields.items() if isinstance(field.default, Options)}
"""What a recipe has where its file names none."""
_LOOKS = ("name", "evaluate_every", "log_every")
"""Fields that say how often the curves get a point."""


def names() -> list[str]:
    """The named recipes, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


@cache
def _read(name: str) -> dict[str, Any]:
    if name not in names():
        raise StudyError(f"no recipe '{name}'{nearest(name, names())}")
    content: dict[str, Any] = yaml.safe_load((_FOLDER / f"{name}.yaml").read_text("utf-8"))
    return content


def preset(name: str) -> dict[str, Any]:
    """The fields of a named recipe, as a new dict. Raises StudyError for an unknown name."""
    given = {key: value for key, value in _read(name).items() if key != "summary"}
    return {"name": name, **_COMPONENTS, **copy.deepcopy(given)}


@cache
def _fields(name: str) -> dict[str, Any]:
    """All fields of a named recipe by dotted names; empty for an unknown one."""
    return flat(Recipe.model_validate(preset(name)).model_dump(mode="json")) if name in names() else {}


def changes(recipe: Mapping[str, Any]) -> list[str]:
    """The fields in which a recipe, as stored with a run, trains otherwise than the named one it started from.

    How often the curves get a point is not among them, nor are the options of a component that replaced another one.
    """
    named, own = _fields(recipe.get("name", "")), flat(recipe)
    found = [f for f, v in own.items() if named and f not in _LOOKS and v is not None and named.get(f) != v]
    return [f for f in found if not ("." in f and f.rpartition(".")[0] in found)]


def summary(name: str) -> str:
    """One line on what a named recipe is, and from which paper."""
    return str(_read(name)["summary"])

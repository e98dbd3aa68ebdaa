"""Named recipes: each is the YAML file of its name in this folder."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from study.config.recipe import Recipe
from study.errors import StudyError, nearest

_FOLDER = Path(__file__).parent


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
    """The fields of a named recipe, as a new dict.

    Raises
    ------
    StudyError
        No recipe has that name; the nearest one is named.
    """
    return {key: value for key, value in _read(name).items() if key != "summary"}


@cache
def _fields(name: str) -> dict[str, Any]:
    """All fields of a named recipe; none of one that has no name."""
    if name not in names():
        return {}
    return {f: field.default for f, field in Recipe.model_fields.items() if not field.is_required()} | preset(name)


def changes(recipe: dict[str, Any]) -> list[str]:
    """The fields in which a recipe, as stored with a run, trains otherwise than the named one it started from.

    How often the curves are taken is not among them.
    """
    named = _fields(recipe.get("name", ""))
    return [f for f, v in named.items() if f not in ("evaluate_every", "log_every") and recipe.get(f, v) != v]


def summary(name: str) -> str:
    """One line on what a named recipe is, and from which paper."""
    return str(_read(name)["summary"])

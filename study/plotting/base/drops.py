"""Where the learning rate of each run falls: as its recipe has it, and as far as that cannot say, as it was recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from study.config.differences import RECIPE
from study.config.stored import nested, recorded
from study.training.schedule import Schedule


def drops(curves: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """One row per (run_id, iteration) after which the rate is lower than before.

    Milestones and the end of a warm-up of fixed length are the recipe's. The end of a warm-up that waits for an error, and the
    drops of a `plateau` schedule, are those of the curves: the rate of a row is that of the step which ended there, and these
    changes follow a logged point or an evaluation at once, so they come right after the last row at the old rate.
    """
    logged = curves.dropna(subset="lr").drop_duplicates(["run_id", "iteration"]).sort_values(["run_id", "iteration"])
    recorded = dict(list(logged.groupby("run_id")))
    known = all(field in runs for field in RECIPE)
    found = []
    for run in runs.to_dict("records"):
        rows = recorded.get(run["run_id"])
        if rows is not None:
            fixed = known and run["recipe.schedule"] == "milestones"
            places = of_recipe(run, next(iter(_changes(rows)), None)) if fixed else _changes(rows, down=True)
            found += [(run["run_id"], place) for place in places]
    return pd.DataFrame(found, columns=["run_id", "iteration"]).astype({"iteration": int})


def of_recipe(run: Mapping[Any, Any], warm_up: int | None = 0) -> list[int]:
    """The iterations after which a recipe of milestones has the rate fall.

    `run`: its depth, and the fields of its recipe as in `runs.parquet`; without these nothing is known. `warm_up`:
    where a warm-up ended that waits for an error; None where it has not.
    """
    if not all(field in run for field in RECIPE):
        return []
    known = {str(name): _or_none(value) for name, value in run.items()}
    spec = recorded(nested(known | {"recipe": known.get("recipe") or "unknown"}))
    recipe, schedule, held = spec.recipe, Schedule(spec), 0
    if schedule.kind == "error":
        held = recipe.iterations if warm_up is None else warm_up
    elif schedule.kind == "iterations":
        held = int(recipe.warmup.iterations)
    schedule.kind, schedule.warmed_up = "none", True

    def rate(step: int) -> float:
        return float(recipe.warmup.rate if step < held else schedule.rate(step))

    places = sorted({held, *recipe.schedule.at}) if recipe.schedule.name == "milestones" else []
    return [place for place in places if 0 < place < recipe.iterations and rate(place) < rate(place - 1)]


def _or_none(value: Any) -> Any:
    """A cell of a frame as a stored spec has it."""
    if pd.api.types.is_list_like(value):
        return tuple(value)
    return None if pd.isna(value) else value


def _changes(logged: pd.DataFrame, down: bool = False) -> list[int]:
    """The iterations of the last rows at each rate but the last; those after which the rate is lower alone."""
    after = logged["lr"].shift(-1)
    found = logged.loc[(after < logged["lr"]) if down else (after.notna() & (after != logged["lr"])), "iteration"]
    return [int(iteration) for iteration in found]

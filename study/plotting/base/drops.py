"""Where the learning rate of each run falls: as its recipe has it, and as far as that cannot say, as it was recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from study.config.differences import texts
from study.config.stored import nested, recorded
from study.training.schedule import Schedule

NEEDED = tuple(f"recipe.{field}" for field in ("iterations", "learning_rate", "schedule", "warmup"))
"""What has to be known of a recipe, beside the options of its schedule and warm-up."""


def drops(curves: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """One row per (run_id, iteration) after which the rate is lower than before; none where it falls smoothly.

    Milestones and the end of a warm-up of fixed length are the recipe's. The end of a warm-up that waits for an error, and the
    drops of a `plateau` schedule, are those of the curves: the rate of a row is that of the step which ended there, and these
    changes follow a logged point or an evaluation at once, so they come right after the last row at the old rate.
    """
    changes = _changes(curves)
    first = dict(zip(changes["run_id"][::-1], changes["iteration"][::-1], strict=True))
    lower = changes[changes["after"] < changes["lr"]].groupby("run_id")["iteration"].agg(list)
    with_curve = set(curves["run_id"].unique())
    known = all(field in runs for field in NEEDED)
    fields = ["depth", *(name for name in runs if str(name).startswith("recipe."))] if known else []
    planned: dict[tuple[str, ...], list[int]] = {}  # found once for all seeds
    found = []
    for run in runs[["run_id", *fields]].to_dict("records"):
        name = run["run_id"]
        if known and run["recipe.schedule"] == "milestones" and name in with_curve:
            key = (*texts(run[field] for field in fields), str(first.get(name)))
            if key not in planned:
                planned[key] = of_recipe(run, first.get(name))
            found += [(name, place) for place in planned[key]]
        elif not known or run["recipe.schedule"] == "plateau":
            found += [(name, place) for place in lower.get(name, ())]
    return pd.DataFrame(found, columns=["run_id", "iteration"]).astype({"iteration": int})


def of_recipe(run: Mapping[Any, Any], warm_up: int | None = 0) -> list[int]:
    """The iterations after which a recipe of milestones has the rate fall.

    `run`: its depth, and the fields of its recipe as in `runs.parquet`; without these nothing is known. `warm_up`:
    where a warm-up ended that waits for an error; None where it has not.
    """
    if not all(field in run for field in NEEDED):
        return []
    known = {str(name): _or_none(value) for name, value in run.items()}
    spec = recorded(nested(known | {"recipe": known.get("recipe") or "unknown"}))
    recipe, schedule, held = spec.recipe, Schedule(spec), 0
    if schedule.kind == "error":
        held = recipe.iterations if warm_up is None else warm_up
    elif schedule.kind in ("iterations", "linear"):
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


def _changes(curves: pd.DataFrame) -> pd.DataFrame:
    """The last row of each run at each rate but the last, with the rate `after` it."""
    logged = curves.loc[curves["lr"].notna(), ["run_id", "iteration", "lr"]].sort_values(["run_id", "iteration"])
    after = logged["lr"].shift(-1).where(logged["run_id"] == logged["run_id"].shift(-1))
    rows = logged.assign(after=after)[after.notna() & (after != logged["lr"])]
    return rows.astype({"iteration": int})

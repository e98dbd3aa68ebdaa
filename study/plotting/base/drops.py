"""Where the learning rate of each run falls: as its recipe has it, and as far as that cannot say, as it was recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

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
    logged = curves.loc[curves["lr"].notna(), ["run_id", "iteration", "lr"]].sort_values(["run_id", "iteration"])
    after = logged["lr"].shift(-1).where(logged["run_id"] == logged["run_id"].shift(-1))
    # Columns are added before rows are selected: to a frame without rows they would bring rows.
    changes = logged.assign(after=after)[after.notna() & (after != logged["lr"])].astype({"iteration": int})
    first = changes.groupby("run_id", observed=True)["iteration"].first()
    known = set(NEEDED) <= set(runs)
    milestones = runs["recipe.schedule"] == "milestones" if known else runs["run_id"].isna()
    smooth = ~runs["recipe.schedule"].isin(["milestones", "plateau"]) if known else runs["run_id"].isna()
    found = changes.loc[changes["after"] < changes["lr"], ["run_id", "iteration"]]
    found = found[~found["run_id"].isin(runs.loc[milestones | smooth, "run_id"])]
    ends = runs.assign(warm_up=runs["run_id"].map(first))
    with_curve = ends[milestones & runs["run_id"].isin(curves["run_id"])]
    told: list[tuple[Any, int]] = []
    for _, alike in with_curve.groupby(["point_id", "warm_up"], dropna=False, sort=False):
        run = alike.iloc[0].to_dict()
        places = of_recipe(run, None if pd.isna(run["warm_up"]) else run["warm_up"])
        told += [(run_id, place) for run_id in alike["run_id"] for place in places]
    return pd.concat([found, pd.DataFrame(told, columns=["run_id", "iteration"]).astype({"iteration": int})])


def of_recipe(run: Mapping[Any, Any], warm_up: int | None = 0) -> list[int]:
    """The iterations after which a recipe of milestones has the rate fall.

    `run`: its depth, and the fields of its recipe as in `runs.parquet`; without these nothing is known. `warm_up`:
    where a warm-up ended that waits for an error; None where it has not.
    """
    if not all(field in run for field in NEEDED):
        return []
    known = {name: or_none(run[name]) for name in run if name == "depth" or str(name).startswith("recipe.")}
    spec = recorded(nested(known | {"recipe": "unknown"}))
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


def or_none(value: Any) -> Any:
    """A cell of a frame as a stored spec has it."""
    if pd.api.types.is_list_like(value):
        return tuple(value)
    return None if pd.isna(value) else value

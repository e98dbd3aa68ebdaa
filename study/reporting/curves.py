"""The curves of a sweep as plain data for the page, which plotly draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from seaborn import husl_palette

from study.plotting.base.frames import in_order, tidy
from study.plotting.base.style import SPLIT_NAMES, SPLITS, depth_colour
from study.store.runs import LOST

MOST_POINTS = 60_000
"""Of all curves together. Beyond it every curve is thinned evenly, and keeps its last point."""
MOST_CURVES = 2_000
"""Beyond it means are shown in place of single seeds, and the first so many curves."""
DIGITS = 5
MEAN = "mean"
GROUP = ["condition", "network", "label", "split"]


def payload(
    curves: pd.DataFrame, runs: pd.DataFrame | None, most: int = MOST_POINTS, most_curves: int = MOST_CURVES
) -> dict[str, Any]:
    """What `plots.js` draws.

    `conditions`, `networks`, `labels` (a depth, what else tells its network apart, and a colour), `seeds` (with `MEAN`) and
    `splits` can be selected. Each of `curves` has its places in them, its iterations (a place in `grids`), and
    `error` in percent and `loss` in nats; null if not finite. `notes` name absent runs, and what is left out.
    """
    evidence = tidy(curves, runs)
    rows, notes = _limited(_with_means(evidence.curves), most_curves)
    notes = [*evidence.notes, *notes]
    step = -(-len(rows) // most)
    if step > 1:
        notes.append(f"of {len(rows):,} points, one in {step} is drawn here, and the last of each curve")
    labels = evidence.runs.sort_values(["depth", "label"]).drop_duplicates("label")[["label", "depth"]]
    known: dict[str, list[Any]] = {
        "condition": list(dict.fromkeys(evidence.runs["condition"])),
        "network": in_order(evidence.runs["network"]),
        "label": list(labels["label"]),
        "seed": sorted(set(rows["seed"]) - {MEAN}, key=int) + [MEAN] * (MEAN in set(rows["seed"])),
        "split": [name for name in SPLITS if name in set(rows["split"])],
    }
    grids: dict[tuple[int, ...], int] = {}
    found = []
    for keys, line in rows.groupby([*GROUP, "seed", "run_id"], sort=False, observed=True):
        kept = line.iloc[sorted({*range(0, len(line), step), len(line) - 1})] if step > 1 else line
        places = {name: known[name].index(key) for name, key in zip([*GROUP, "seed"], keys, strict=False)}
        grid = grids.setdefault(tuple(kept["iteration"].astype(int)), len(grids))
        values = {name: rounded(kept[name]) for name in ("error", "loss") if name in kept}
        found.append({**places, "grid": grid, "lost": line["state"].iloc[0] in LOST, **values})
    return {
        "conditions": known["condition"],
        "networks": known["network"],
        "labels": [
            {"text": text, "colour": colour} for text, colour in zip(labels["label"], _colours(labels), strict=True)
        ],
        "seeds": known["seed"],
        "splits": [{"name": name, "title": SPLIT_NAMES[name]} for name in known["split"]],
        "grids": [list(grid) for grid in grids],
        "curves": found,
        "notes": notes,
    }


def _with_means(lines: pd.DataFrame) -> pd.DataFrame:
    """The curves with `seed` as text, and the means over finished seeds at the iterations that all of them have."""
    values = [name for name in ("error", "loss") if name in lines]
    singles = lines[["run_id", *GROUP, "seed", "state", "iteration", *values]]
    singles = singles[singles["split"].isin(SPLITS)].assign(seed=singles["seed"].map(str))
    done = singles[singles["state"] == "done"].astype(dict.fromkeys(values, float))
    grouped = done.groupby([*GROUP, "iteration"], sort=False, observed=True)[values]
    counts = grouped.size()
    whole = counts == counts.groupby(level=GROUP, observed=True).transform("max")
    means = grouped.mean()[whole & (counts > 1)].reset_index()
    return pd.concat([singles, means.assign(seed=MEAN, run_id=MEAN, state="done")], ignore_index=True)


def _limited(rows: pd.DataFrame, most: int) -> tuple[pd.DataFrame, list[str]]:
    """At most so many curves, of networks with a mean the mean alone, and a note on the others."""
    count = len(rows[["run_id", *GROUP]].drop_duplicates())
    if count <= most:
        return rows, []
    means, networks = rows["run_id"] == MEAN, pd.MultiIndex.from_frame(rows[GROUP])
    kept = rows[means | ~networks.isin(networks[means])]
    number = kept.groupby(["run_id", *GROUP], sort=False, observed=True).ngroup()
    shown = min(most, int(number.max()) + 1)
    note = f"of {count:,} curves, {shown:,} are shown here, means in place of single seeds; `study figure` draws all"
    return kept[number < most], [note]


def rounded(values: pd.Series | np.ndarray, digits: int = DIGITS) -> list[float | None]:
    """Numbers of so many digits; None for NaN and infinity, which JSON lacks."""
    return [float(f"{value:.{digits}g}") if np.isfinite(value) else None for value in np.asarray(values, dtype=float)]


def _colours(labels: pd.DataFrame) -> list[str]:
    """The figures' colour of each depth; where several networks share a depth, one of as many hues."""
    found: list[str] = []
    for _, same in labels.groupby("depth", sort=False):
        several = husl_palette(len(same), s=0.9, l=0.5).as_hex()
        found += several if len(same) > 1 else [depth_colour(int(same["depth"].iloc[0]))]
    return found

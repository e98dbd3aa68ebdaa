"""The curves of a sweep as plain data for the page: every run, every split, thinned only where there are too many points."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import to_hex, to_rgb

from study.plotting.base.frames import in_order, tidy
from study.plotting.base.style import SPLIT_NAMES, SPLITS, depth_colour

MOST_POINTS = 60_000
"""Of all curves together: beyond it each keeps as many as it is due, evenly, its last among them."""
DIGITS = 5
WHERE = ("condition", "network", "label", "seed", "split")
"""What a curve is found by."""


def payload(curves: pd.DataFrame, runs: pd.DataFrame | None, most: int = MOST_POINTS) -> dict[str, Any]:
    """What `curves.js` draws.

    Returns
    -------
    `conditions`, `networks`, `labels` (a depth, what else tells its network apart, its colours), `seeds` and `splits` are
    what can be switched; each of `curves` names its places in them, its iterations (a place in `grids`), and has `error`
    in percent and, where it is there, `loss` in nats; None for what is no finite number. `notes` are sentences: which
    runs have no final value, and what was thinned.

    Raises
    ------
    StudyError
        A frame that lacks columns, or no curve at all.
    """
    evidence = tidy(curves, runs)
    wanted = ["run_id", *WHERE, "state", "iteration", "error", "loss"]
    lines = evidence.curves[[name for name in wanted if name in evidence.curves]]
    networks = in_order(evidence.runs["network"])
    conditions = list(dict.fromkeys(evidence.runs["condition"]))
    labels = list(dict.fromkeys(evidence.runs.sort_values(["depth", "label"])["label"]))
    depths = dict(zip(evidence.runs["label"], evidence.runs["depth"], strict=True))
    seeds = sorted(set(evidence.runs["seed"]))
    splits = [name for name in SPLITS if name in set(lines["split"].unique())]
    known = (conditions, networks, labels, seeds, splits)
    step = -(-len(lines) // most)
    grids: dict[tuple[int, ...], int] = {}
    found = []
    places = {name: pd.Categorical(lines[name], there).codes for name, there in zip(WHERE, known, strict=True)}
    columns = {name: lines[name].to_numpy(float, na_value=np.nan) for name in ("error", "loss") if name in lines}
    iterations, states = lines["iteration"].to_numpy(int), lines["state"].to_numpy()
    curve = pd.factorize(lines["run_id"])[0] * len(known[-1]) + places["split"]  # lines are sorted by these
    starts = np.flatnonzero(np.diff(curve, prepend=-1))
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        if places["split"][start] < 0:
            continue
        kept = start + np.array(_thinned(end - start, step))
        grid = grids.setdefault(tuple(iterations[kept].tolist()), len(grids))
        where = {name: int(codes[start]) for name, codes in places.items()}
        values = {name: rounded(column[kept]) for name, column in columns.items()}
        found.append({**where, "state": str(states[start]), "grid": grid, **values})
    notes = list(evidence.notes)
    if step > 1:
        notes.append(
            f"of the {len(lines):,} points of all curves, every {_nth(step)} is drawn here, and the last of each"
        )
    return {
        "conditions": conditions,
        "networks": networks,
        "labels": [_coloured(label, depths[label], _place(label, labels, depths)) for label in labels],
        "seeds": [int(seed) for seed in seeds],
        "splits": [{"name": name, "title": SPLIT_NAMES[name]} for name in splits],
        "grids": [list(grid) for grid in grids],
        "curves": found,
        "notes": notes,
    }


def rounded(values: pd.Series | np.ndarray, digits: int = DIGITS) -> list[float | None]:
    """Numbers of so many digits; None for what JSON has no word for."""
    return [float(f"{value:.{digits}g}") if np.isfinite(value) else None for value in np.asarray(values, dtype=float)]


def _thinned(count: int, step: int) -> list[int]:
    """Every so many, from the first, and the last."""
    return sorted({*range(0, count, step), count - 1})


def _nth(step: int) -> str:
    ending = "th" if 10 < step % 100 < 20 else {1: "st", 2: "nd", 3: "rd"}.get(step % 10, "th")
    return f"{step}{ending}"


def _place(label: str, labels: Sequence[str], depths: dict[str, int]) -> tuple[int, int]:
    """Which of the labels of its depth it is, and of how many."""
    same = [other for other in labels if depths[other] == depths[label]]
    return same.index(label), len(same)


def _coloured(label: str, depth: int, place: tuple[int, int]) -> dict[str, str]:
    """The figures' colour of the depth, turned through the hues where several networks share it; and one for a dark page.

    On white, colours darken with depth; on a dark page lightness is turned over, so that deep networks still stand out most.
    """
    number, many = place
    hue, light, full = colorsys.rgb_to_hls(*to_rgb(depth_colour(depth)))
    hue, full = (hue + number / many) % 1, full if many == 1 else max(full, 0.55)
    pale = min(max(1 - light, 0.5), 0.86)
    bright = to_hex(colorsys.hls_to_rgb(hue, light if many == 1 else min(max(light, 0.32), 0.5), full))
    return {"text": label, "colour": bright, "dark": to_hex(colorsys.hls_to_rgb(hue, pale, full))}

"""The 2-D surfaces of a sweep as plain data for the page, which plotly draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from study.plotting.base.frames import in_order
from study.plotting.surfaces.frames import BN, PLANES, SPLITS, each, trained
from study.reporting.curves import rounded

MOST_POINTS = 150_000
"""Of all surfaces together; beyond it further surfaces are left out."""
DIGITS = 4
VALUES = {
    f"{split}_{of}": f"{SPLITS[split]} {of}{unit}"
    for of, unit in (("loss", " (nats)"), ("error", " (%)"))
    for split in ("train", "test")
}


def payload(frame: pd.DataFrame, most: int = MOST_POINTS) -> dict[str, Any] | None:
    """What `plots.js` draws; None if no surface of two dimensions was measured.

    `values` are the possible heights by name, `ranges` the least and largest value of each over all surfaces. Each
    of `surfaces` has a `title`, `network`, `depth`, `alpha` (A,), `beta` (B,), and rows of values (B, A); null if not finite.
    """
    if frame.empty:
        return None
    every = each(frame)
    flat = every[every["dims"] == 2]
    flat = flat.assign(order=[*map(in_order(flat["network"]).index, flat["network"])])
    flat = flat.sort_values(["order", "depth", "seed", "bn", "surface_id"])
    lattice = frame[frame["iteration"].isna() & frame["split"].isin(SPLITS)]
    if "level" in lattice:  # older results may have refined points between those of the lattice
        lattice = lattice[lattice["level"] == 0]
    found, left_out, count = [], [], 0
    for surface, title in zip(flat.to_dict("records"), _titles(flat), strict=True):
        points = lattice[lattice["surface_id"] == surface["surface_id"]]
        size = len(points.drop_duplicates(["i", "j"]))
        if count + size > most:
            left_out.append(title)
        elif size:
            count += size
            found.append({"title": title, "network": surface["network"], "depth": surface["depth"], **_grid(points)})
    if not found:
        return None
    there = {name: VALUES[name] for name in VALUES if any(name in surface["values"] for surface in found)}
    notes = [f"too many points, left out here: {'; '.join(left_out)}"] * bool(left_out)
    return {"values": there, "ranges": {name: _range(found, name) for name in there}, "surfaces": found, "notes": notes}


def _grid(points: pd.DataFrame) -> dict[str, Any]:
    places = [points.groupby(name)[axis].first() for name, axis in (("i", "alpha"), ("j", "beta"))]
    values = {}
    for split, part in points.groupby("split"):
        for of in ("loss", "error"):
            table = part.pivot(index="j", columns="i", values=of).reindex(
                index=places[1].index, columns=places[0].index
            )
            values[f"{split}_{of}"] = [rounded(row, DIGITS) for row in table.to_numpy(float)]
    return {"alpha": rounded(places[0], DIGITS), "beta": rounded(places[1], DIGITS), "values": values}


def _range(surfaces: list[dict[str, Any]], name: str) -> list[float]:
    """The least and largest finite value; of a loss the least above zero, since it is drawn by its logarithm."""
    rows = [np.array(surface["values"].get(name, []), dtype=float).ravel() for surface in surfaces]
    values = np.concatenate(rows)
    values = values[np.isfinite(values) & ((values > 0) | (not name.endswith("loss")))]
    low, high = (float(values.min()), float(values.max())) if values.size else (1.0, 1.0)
    return [low, high] if low < high else [low / 2, high * 2 or 1.0]


def _titles(surfaces: pd.DataFrame) -> list[str]:
    """The network, and what else tells the surfaces apart."""
    words = {
        **trained(surfaces),
        "seed": surfaces["seed"].map(lambda seed: f"seed {seed}"),
        "plane": surfaces["plane"].map(lambda name: PLANES.get(name, name)),
        "number": surfaces["number"].map(lambda number: f"plane {number}"),
        "bn": surfaces["bn"].map(lambda name: f"BN {name}" if name in BN else str(name)),
        "precision": surfaces["precision"].map(str),
        "points": surfaces["points"].map(str),
    }
    telling = [texts for texts in words.values() if texts.nunique() > 1]
    titles = [" · ".join([str(label), *rest]) for label, *rest in zip(surfaces["label"], *telling, strict=True)]
    twice = {title for title in titles if titles.count(title) > 1}
    ids = surfaces["surface_id"].map(lambda name: str(name)[-6:])
    return [f"{title} · {end}" if title in twice else title for title, end in zip(titles, ids, strict=True)]

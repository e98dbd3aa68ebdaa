"""The 2-D surfaces of a sweep as plain data for the page."""

from __future__ import annotations

from typing import Any

import pandas as pd

from study.plotting.base.frames import in_order
from study.plotting.surfaces.frames import BN, PLANES, SPLITS, each, trained
from study.plotting.surfaces.lattice import lattice
from study.reporting.curves import rounded

MOST_POINTS = 150_000
"""Of all surfaces together: beyond it the rest is left to the figures."""
DIGITS = 4
VALUES = {
    f"{split}_{of}": f"{SPLITS[split]} {of}{unit}"
    for of, unit in (("loss", " (nats)"), ("error", " (%)"))
    for split in ("train", "test")
}


def payload(frame: pd.DataFrame, most: int = MOST_POINTS) -> dict[str, Any] | None:
    """What `surface.js` draws; None where no surface of two dimensions was measured.

    Returns
    -------
    `values`: what can be the height, by name. `surfaces`: each with its `title`, `network` and `depth`; a lattice with
    `alpha` (A,), `beta` (B,) and rows of values (B, A), None for what is no finite number. `notes`: sentences on what is left out.

    Raises
    ------
    StudyError
        A frame that lacks columns.
    """
    if frame.empty:
        return None
    every = each(frame)
    flat = every[every["dims"] == 2]
    points = frame[frame["iteration"].isna()]
    order = [*map(in_order(flat["network"]).index, flat["network"])]
    flat = flat.assign(order=order).sort_values(["order", "depth", "seed", "bn", "surface_id"])
    found: list[dict[str, Any]] = []
    left_out, count = [], 0
    titles = _titles(flat)
    for (_, surface), title in zip(flat.iterrows(), titles, strict=True):
        here = points[points["surface_id"] == surface["surface_id"]]
        size = here[["i", "j"]].drop_duplicates().shape[0]
        if not size:
            continue
        if count + size > most:
            left_out.append(title)
            continue
        count += size
        shape = {"title": title, "network": str(surface["network"]), "depth": int(surface["depth"])}
        found.append(shape | _shape(here))
    if not found:
        return None
    there = [name for name in VALUES if any(name in surface["values"] for surface in found)]
    notes = [f"left out here, since they have too many points: {'; '.join(left_out)}"] * bool(left_out)
    return {"values": {name: VALUES[name] for name in there}, "surfaces": found, "notes": notes}


def _shape(rows: pd.DataFrame) -> dict[str, Any]:
    values: dict[str, Any] = {}
    splits = {str(split): part.reset_index(drop=True) for split, part in rows.groupby("split") if split in SPLITS}
    first = next(iter(splits.values()))
    grid = lattice(first)
    for split, part in splits.items():
        own = lattice(part)
        for of in ("loss", "error"):
            values[f"{split}_{of}"] = [rounded(line, DIGITS) for line in own.values(part, of).T]
    return {"alpha": rounded(grid.alpha, DIGITS), "beta": rounded(grid.beta, DIGITS), "values": values}


def _titles(surfaces: pd.DataFrame) -> list[str]:
    """The network, and of the rest what tells the surfaces apart."""
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

"""Which of the measured surfaces a figure shows, and what it says of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, get_args

import numpy as np
import pandas as pd

from study.config import Precision
from study.config.differences import RECIPE, text
from study.config.recipes import ELSEWHERE
from study.config.run import network_title
from study.errors import StudyError, nearest
from study.papers.values import L18
from study.plotting.base.caption import caption
from study.plotting.base.frames import in_order
from study.stats.naming import condition_words, distinguish, joined, kinds, lost
from study.stats.planned import RUN_COLUMNS, fields_of, require
from study.store.runs import LOST
from study.text import counted

PLANES = {
    "random": "random",
    "pca": "principal components",
    "hessian": "eigenvectors of the Hessian",
    "interpolate": "interpolation",
}  # the first that was measured is shown
NORMALISATIONS = {"filter": "filter-normalised", "layer": "layer-normalised", "model": "normalised as a whole",
                  "weight": "each draw multiplied by its weight"}  # fmt: skip
BN = {
    "recalibrated": "BN recalibrated at each point",
    "frozen": "BN with the statistics of training (frozen)",
    "batch": "BN with each batch's own statistics",
}
SPLITS = {"train": "training", "test": "test"}
NAMED = 12  # networks in a note; more are counted
FIELDS = (
    "surface_id", "plane", "number", "dims", "bn", "precision", "normalisation", "orthogonal", "ignore", "centred",
    "subset", "points_a", "points_b", "range_a_low", "range_a_high", "range_b_low", "range_b_high", "run_precision",
)  # fmt: skip
POINT = ("i", "j", "alpha", "beta", "iteration", "split", "loss", "error", "images")
RIVALS = ("seed", "plane", "number", "pca", "normalisation", "ignore", "orthogonal", "precision", "subset", "points")
"""What tells apart surfaces of one network and kind of BN statistics; a panel shows one of them."""


class Shown(NamedTuple):
    """What a figure shows.

    `surfaces` has one row per surface, with `row` and `column`: the titles of its place; `row` is empty where
    there is one only. `points` has one row per (measured point of the lattices, split), with the fields of its surface.
    """

    points: pd.DataFrame
    surfaces: pd.DataFrame
    title: str
    subtitle: str
    notes: list[str]

    def noting(self, *notes: str) -> Shown:
        """The same with further notes, before the others."""
        return self._replace(notes=[*notes, *self.notes])

    def caption(self, shows: str) -> str:
        """See `study.plotting.base.caption`; L18's surfaces are of networks that it trained, with BN frozen."""
        runs = self.surfaces.drop_duplicates("run_id").rename(columns={"label": "name", "row": "condition"})
        return caption(shows, runs, protocol=(self.title, self.subtitle), notes=self.notes, paper=L18)


def shown(
    frame: pd.DataFrame,
    runs: pd.DataFrame | None,
    dims: int,
    splits: Mapping[str, str],
    what: str = "a surface",
    **wanted: str | int | None,
) -> Shown:
    """Choose the surfaces of so many dimensions that a figure shows: one for each network and kind of BN statistics.

    `splits`: the splits that are shown, and for each what the header says of it; `{}` stands for the number of
    images. `what`: what networks of `runs` may lack, which a note says. `wanted`: values of `plane`, `number` and `seed`;
    None takes the first.
    """
    every = each(frame)
    points = frame[frame["iteration"].isna() & frame["split"].isin(list(splits))]
    fitting = every[every["dims"] == dims]
    if fitting.empty:
        other = {1: "contours", 2: "line1d"}[dims]
        raise StudyError(f"nothing to draw: no surface has {dims} dimensions; the figure {other} draws the others")
    valued = fitting[fitting["surface_id"].isin(points["surface_id"])]
    if valued.empty:
        raise StudyError(f"nothing to draw: the surfaces have no values of split {' or '.join(map(repr, splits))}")
    ranked = _placed(_ranked(_wanted(valued, wanted)))
    surfaces = ranked.drop_duplicates(["row", "column"]).sort_values("order")
    points = points.drop(columns=[c for c in surfaces if c in points and c != "surface_id"])
    points = points.merge(surfaces, on="surface_id").sort_values(["order", "split", "i", "j"], ignore_index=True).copy()
    title, subtitle, differing = _header(points, surfaces, splits)
    notes = [
        *differing, *_gaps(points), *_not_shown(ranked, surfaces, wanted), *_left_out(every, fitting, valued),
        *_without(every, runs, what),
    ]  # fmt: skip
    return Shown(points, surfaces, title, subtitle, notes)


def each(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per surface, with the fields of its run and its network's `label`."""
    if frame.empty:
        raise StudyError("nothing to draw: no surface has been measured; `study surface SWEEP` measures them")
    require(frame, (*FIELDS, *POINT, *RUN_COLUMNS), "surfaces")
    table = fields_of(frame.drop_duplicates("surface_id"), FIELDS)
    whole = ["number", "dims", "points_a", "points_b", "depth", "seed"]
    table[whole] = table[whole].astype(int)
    table["normalisation"] = table["normalisation"].fillna("")
    centred = table["centred"].map({True: "centred", False: "uncentred"})
    table["pca"] = centred.where(table["plane"] == "pca", "")
    across = table["points_b"].map(lambda count: f"×{count}").where(table["dims"] == 2, "")
    table = table.assign(points=table["points_a"].map(str) + across, label=network_labels(table))
    return table.sort_values(["network", "depth", "surface_id"], ignore_index=True)


def network_labels(table: pd.DataFrame) -> pd.Series:
    """`plain-56`, `ResNet-20 B`: what the papers call each row's network, and what tells it from others called so."""
    called = [network_title(*pair) for pair in zip(table["network"], table["family"], strict=True)]
    names = pd.Series(called, table.index, dtype=object) + "-" + table["depth"].map(str)
    names = names.where(table["recipe"] != ELSEWHERE, table["family"])
    alike = table.assign(kind=kinds(table)).groupby(names)
    more = pd.concat([distinguish(group, "kind") for _, group in alike]).reindex(table.index)
    return joined([names, more], table.index, " ")


def trained(surfaces: pd.DataFrame) -> dict[str, pd.Series]:
    """How the networks were trained, in words, by field: `condition_words`, with all of the recipe as one.

    `precision` is that of a surface.
    """
    words = condition_words(surfaces.assign(precision=surfaces["run_precision"]))
    words["run_precision"] = words.pop("precision").map(lambda name: f"trained in {name}" if name else "")
    recipe = [words.pop(field) for field in [*words] if field in ("recipe", *RECIPE)]
    return words | {"recipe": joined(recipe, surfaces.index, ", ")}


def _wanted(surfaces: pd.DataFrame, wanted: Mapping[str, str | int | None]) -> pd.DataFrame:
    for field, value in wanted.items():
        if value is None:
            continue
        there = sorted(surfaces[field].unique())
        if value not in there:
            near = nearest(value, there) if isinstance(value, str) else ""
            raise StudyError(f"no surface has {field} {value!r}{near or f'; there are {_listed(there)}'}")
        surfaces = surfaces[surfaces[field] == value]
    return surfaces


def _ranked(surfaces: pd.DataFrame) -> pd.DataFrame:
    """In the order of preference: the usual settings first, then most images and most points."""
    keys = pd.DataFrame({
        "seed": surfaces["seed"],
        "plane": surfaces["plane"].map([*PLANES].index),
        "number": surfaces["number"],
        "pca": surfaces["pca"],  # centred first, as Li et al.'s code has it
        "ignore": surfaces["ignore"],
        "normalisation": surfaces["normalisation"].map(["", *NORMALISATIONS].index),
        "precision": surfaces["precision"].map(get_args(Precision).index),
        "images": -surfaces["subset"].astype("Float64").fillna(np.inf),
        "points": -surfaces["points_a"] * surfaces["points_b"],
        "surface_id": surfaces["surface_id"],
    })  # fmt: skip
    return surfaces.loc[keys.sort_values([*keys]).index]


def _placed(surfaces: pd.DataFrame) -> pd.DataFrame:
    """With the titles of their places, and their order: networks by kind and depth, then rows."""
    words, telling = trained(surfaces), _row_fields(surfaces)
    rows = [words[field] for field in telling if words[field].nunique() > 1]
    if surfaces["bn"].nunique() > 1:
        rows.append(surfaces["bn"].map(BN))
    by_row = surfaces.groupby([*(words[field] for field in telling), surfaces["bn"].map([*BN].index)]).ngroup()
    networks = surfaces["network"].map(in_order(surfaces["network"]).index)
    by_column = surfaces.groupby([networks, "depth", "label"]).ngroup()
    return surfaces.assign(
        row=joined(rows, surfaces.index), column=surfaces["label"], row_order=by_row,
        order=by_column * (by_row.max() + 1) + by_row,
    )  # fmt: skip


def _row_fields(surfaces: pd.DataFrame) -> list[str]:
    """The fields of `trained` whose values have rows of their own.

    Recipes have if some network was trained by several; in L18's figure 5 each was by one, deep ones without shortcuts
    at another rate.
    """
    words = trained(surfaces)
    recipe = words.pop("recipe")
    compared = recipe.groupby([*words.values(), surfaces["label"]]).nunique().max() > 1
    return [*words, *(["recipe"] if compared else [])]


def _header(points: pd.DataFrame, surfaces: pd.DataFrame, splits: Mapping[str, str]) -> tuple[str, str, list[str]]:
    """The title, the subtitle of what holds for all surfaces, and notes on what holds for some."""
    words = {**dict(_images(points, surfaces, splits)), **_words(surfaces)}
    common = {key: texts.iloc[0] for key, texts in words.items() if texts.nunique() == 1}
    notes, in_rows = [], ("bn", *_row_fields(surfaces))
    for key, texts in words.items():
        if key not in common and key not in in_rows:
            groups = surfaces["column"].groupby(f"{key} " + texts if key == "recipe" else texts).unique()
            notes.append("; ".join(f"{text or 'otherwise'}: {_listed(names)}" for text, names in groups.items()))
    title = common.pop("dataset", "")
    return title, " · ".join(filter(None, common.values())), notes


def _images(points: pd.DataFrame, surfaces: pd.DataFrame, splits: Mapping[str, str]) -> Iterator[tuple[str, pd.Series]]:
    counts = points.groupby(["split", "surface_id"])["images"].max()
    for split, says in splits.items():
        if split in counts:
            here = surfaces["surface_id"].map(counts[split])
            yield split, here.map(lambda count, says=says: "" if pd.isna(count) else says.format(f"{int(count):,}"))


def _words(surfaces: pd.DataFrame) -> dict[str, pd.Series]:
    """What a header says of each surface, field by field."""

    def plane(row: pd.Series) -> str:
        number = f" {row['number']}" if row["plane"] == "random" else ""
        how = NORMALISATIONS.get(row["normalisation"], row["pca"])
        orthogonal = "orthogonal" if row["orthogonal"] else ""
        moved = "" if row["ignore"] == "biasbn" else "biases and BN moved"
        name = f"{'line' if row['dims'] == 1 else 'plane'}: {PLANES[row['plane']]}{number}"
        return ", ".join(filter(None, [name, how, orthogonal, moved]))

    return {
        "plane": surfaces.apply(plane, axis=1),
        "bn": surfaces["bn"].map(BN),
        "points": surfaces["points"] + " points",
        "precision": surfaces["precision"],
        "seed": "seed " + surfaces["seed"].map(str),
        **trained(surfaces),
    }


def _gaps(points: pd.DataFrame) -> Iterator[str]:
    """Which surfaces lack points of their lattice."""
    lacking = []
    for name, group in points.groupby(_panels(points), sort=False):
        whole = group["points_a"].iloc[0] * group["points_b"].iloc[0]
        if len(group) < whole:
            lacking.append(f"{name} has {len(group):,} of {whole:,} points")
    if lacking:
        yield f"incomplete: {'; '.join(lacking)}; rerun `study surface` to continue"


def without_value(points: pd.DataFrame, column: str) -> Iterator[str]:
    """A note on the surfaces that have points without a finite value."""
    if told := at_points(~is_finite(points[column]), _panels(points)):
        yield f"no finite {column}: {told}"


def at_points(there: pd.Series, names: pd.Series) -> str:
    """`plain-56 at 7 of 121 points; ...`: where something holds; `names` are of the surfaces that points belong to."""
    counts = there.groupby(names, sort=False).agg(["sum", "size"])
    return "; ".join(f"{name} at {n:,} of {counted(size, 'point')}" for name, n, size in counts.itertuples() if n)


def names(points: pd.DataFrame) -> pd.Series:
    """The network of each point, and its row of panels."""
    return points["column"] + points["row"].map(lambda row: f" ({row})" if row else "")


def _panels(points: pd.DataFrame) -> pd.Series:
    """The names, and the split of each point where there are several."""
    several = points["split"].nunique() > 1
    return names(points) + (" (" + points["split"].map(SPLITS) + ")" if several else "")


def is_finite(values: pd.Series) -> pd.Series:
    """Whether each value is a number other than NaN and infinity."""
    return values.astype(float).abs() < float("inf")


def strokes(data: pd.DataFrame, line: Sequence[str], step: str, value: str) -> pd.DataFrame:
    """The finite values in order, with `stroke`: points of a line whose steps follow each other, without a gap."""
    finite = data[is_finite(data[value])].sort_values([*line, step])
    lines = finite.groupby([*line], dropna=False, sort=False).ngroup()
    begins = (lines.diff() != 0) | (finite[step].astype(float).diff() != 1)
    return finite.assign(stroke=begins.cumsum()).astype({value: float})


def check_choice(name: str, value: str, known: Iterable[str]) -> None:
    """Raise StudyError for an option's value that is not known."""
    if value not in known:
        raise StudyError(f"unknown {name} '{value}'{nearest(str(value), known)}")


def _not_shown(ranked: pd.DataFrame, surfaces: pd.DataFrame, wanted: Mapping[str, Any]) -> Iterator[str]:
    """The other surfaces of these networks, and the fields in which they differ."""
    others = ranked[~ranked["surface_id"].isin(surfaces["surface_id"])]
    if others.empty:
        return
    differing = {}
    for field in RIVALS:
        here = {*surfaces[field].map(text)}
        more = sorted({*others[field].map(text)} - here - {"", "none"})
        if more and here != {""}:
            differing[field] = f"{field} {_listed(more)}"
    chosen = [f"{field}=" for field in wanted if field in differing]
    how = f"; {', '.join(chosen)} to choose" if chosen else ""
    count = counted(len(others), "more surface")
    yield f"not shown: {count} of these networks" + (f" ({'; '.join(differing.values())})" if differing else "") + how


def _left_out(every: pd.DataFrame, fitting: pd.DataFrame, valued: pd.DataFrame) -> Iterator[str]:
    others = every.drop(fitting.index)
    if not others.empty:
        yield f"left out, with {counted(others['dims'].iloc[0], 'dimension')}: {_listed(others['label'].unique())}"
    empty = fitting[~fitting["label"].isin(valued["label"])]
    if not empty.empty:
        yield f"left out, without values of this split: {_listed(empty['label'].unique())}"


def _without(every: pd.DataFrame, runs: pd.DataFrame | None, what: str) -> Iterator[str]:
    """Which networks of the sweep have none."""
    if runs is None:
        return
    require(runs, RUN_COLUMNS, "runs")
    absent = runs[~runs["point_id"].isin(every["point_id"])]
    if not absent.empty:
        table = fields_of(absent).sort_values(["network", "depth", "point_id"])
        ends = table.groupby(network_labels(table), sort=False)["state"].unique()
        names = [f"{name} ({lost(states)})" if {*states} <= {*LOST} else f"{name}" for name, states in ends.items()]
        yield f"without {what}: {', '.join(names) if len(names) <= NAMED else counted(len(names), 'network')}"


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(map(str, values))

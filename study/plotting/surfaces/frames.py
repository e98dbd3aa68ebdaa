"""Which of the surfaces that were measured a figure shows, and what it says of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from study.config.differences import RECIPE
from study.errors import StudyError, nearest
from study.papers.values import L18
from study.plotting.base.caption import caption
from study.plotting.base.frames import in_order
from study.stats.naming import condition_words, distinguish, joined, kinds
from study.stats.planned import RUN_COLUMNS, fields_of, require

PLANES = {
    "random": "random",
    "pca": "principal components",
    "hessian": "eigenvectors of the Hessian",
    "interpolate": "interpolation",
}  # the first that is there is shown
NORMALISATIONS = {"filter": "filter-normalised", "layer": "layer-normalised", "model": "normalised as a whole",
                  "weight": "each draw multiplied by its weight"}  # fmt: skip
BN = {
    "recalibrated": "BN recalibrated at each point",
    "frozen": "BN with the statistics of training (frozen)",
    "batch": "BN with each batch's own statistics",
}
SPLITS = {"train": "training", "test": "test"}
GEOMETRY = ("range_a_low", "range_a_high", "range_b_low", "range_b_high")
FIELDS = (
    "surface_id", "plane", "number", "dims", "bn", "precision", "normalisation", "orthogonal", "subset", "refine",
    "points_a", "points_b", *GEOMETRY,
)  # fmt: skip
POINT = ("i", "j", "level", "alpha", "beta", "iteration", "split", "loss", "error", "images")
LATER = ("ignore", "centred")
"""Settings that older tables lack, as if they had their usual values."""
RIVALS = (
    "seed",
    "plane",
    "number",
    "pca",
    "normalisation",
    "ignore",
    "orthogonal",
    "precision",
    "subset",
    "refine",
    "points",
)
"""What tells apart surfaces of one network and kind of BN statistics; a panel shows one of them."""


class Shown(NamedTuple):
    """What a figure shows.

    `surfaces` has a row a surface that is shown, with `row` and `column`: the titles of its place; `row` is empty where
    there is one only. `points` has a row a (measured point of their lattices, split), with the fields of its surface.
    """

    points: pd.DataFrame
    surfaces: pd.DataFrame
    rows: list[str]
    columns: list[str]
    title: str
    subtitle: str
    notes: list[str]


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
    images. `what`: whose networks are shown: those of `runs` that have none are named. `wanted`: values of `plane`,
    `number` and `seed`; None takes the first that is there.
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
    points = points.merge(surfaces, on="surface_id").sort_values(["order", "split", "i", "j"], ignore_index=True)
    title, subtitle, differing = _header(points, surfaces, splits)
    notes = [
        *differing, *_gaps(points), *_not_shown(ranked, surfaces, wanted), *_left_out(every, fitting, valued),
        *_without(every, runs, what),
    ]  # fmt: skip
    rows = list(dict.fromkeys(surfaces.sort_values("row_order")["row"]))
    columns = list(dict.fromkeys(surfaces["column"]))
    return Shown(points, surfaces, rows, columns, title, subtitle, notes)


def caption_of(shows: str, evidence: Shown) -> str:
    """The caption of a figure of surfaces; L18's are of networks that it trained, with BN frozen."""
    runs = evidence.surfaces.drop_duplicates("run_id").rename(columns={"label": "name", "row": "condition"})
    return caption(shows, runs, protocol=(evidence.title, evidence.subtitle), notes=evidence.notes, paper=L18)


def each(frame: pd.DataFrame) -> pd.DataFrame:
    """A row a surface, with the fields of its run and its network's `label`."""
    if frame.empty:
        raise StudyError("nothing to draw: no surface has been measured; `study surface SWEEP` measures them")
    require(frame, (*FIELDS, *POINT, *RUN_COLUMNS), "surfaces")
    table = fields_of(frame.drop_duplicates("surface_id"), (*FIELDS, *LATER, "run_precision"))
    whole = ["number", "dims", "refine", "points_a", "points_b", "depth", "seed"]
    table[whole] = table[whole].astype(int)
    table["normalisation"] = table["normalisation"].fillna("")
    table["ignore"] = table["ignore"].fillna("biasbn")
    centred = np.where(table["centred"].eq(True), "centred", "uncentred")
    table["pca"] = np.where(table["plane"] == "pca", centred, "")
    table["points"] = [
        f"{a}" if d == 1 else f"{a}×{b}" for a, b, d in table[["points_a", "points_b", "dims"]].to_numpy()
    ]
    return table.assign(label=network_labels(table)).sort_values(["network", "depth", "surface_id"], ignore_index=True)


def network_labels(table: pd.DataFrame) -> pd.Series:
    """`plain-56`, `ResNet-20 B`: what the papers call each row's network, and what tells it from others called so."""
    names = table["network"].map(lambda network: "ResNet" if network == "residual" else network)
    names = names.where(table["family"] != "vgg", "VGG") + "-" + table["depth"].map(str)
    alike = table.assign(kind=kinds(table)).groupby(names)
    more = pd.concat([distinguish(group, "kind") for _, group in alike]).reindex(table.index)
    return joined([names, more], table.index, " ")


def trained(surfaces: pd.DataFrame) -> dict[str, pd.Series]:
    """How the networks were trained, in words, by field: `condition_words`, with all of the recipe as one.

    Surfaces that share these and `bn` share a row of panels (`_row_fields`). `precision` is that of a surface.
    """
    own = surfaces["run_precision"].fillna("fp32") if "run_precision" in surfaces else "fp32"
    words = condition_words(surfaces.assign(precision=own))
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
    """Those that a figure would rather show come first: low seeds and numbers, most images, most points."""
    kinds, norms = list(PLANES), ["", *NORMALISATIONS]
    keys = pd.DataFrame({
        "seed": surfaces["seed"],
        "plane": surfaces["plane"].map(lambda name: kinds.index(name) if name in kinds else len(kinds)),
        "number": surfaces["number"],
        "pca": surfaces["pca"],  # centred first, as Li et al.'s code has it
        "ignore": surfaces["ignore"],
        "normalisation": surfaces["normalisation"].map(lambda name: norms.index(name) if name in norms else len(norms)),
        "precision": surfaces["precision"].map(lambda name: (name != "fp32", name)),
        "images": -pd.to_numeric(surfaces["subset"]).astype("Float64").fillna(np.inf),
        "refine": -surfaces["refine"],
        "points": -surfaces["points_a"] * surfaces["points_b"],
        "surface_id": surfaces["surface_id"],
    })  # fmt: skip
    return surfaces.loc[keys.sort_values(list(keys.columns)).index]


def _placed(surfaces: pd.DataFrame) -> pd.DataFrame:
    """With the titles of their places, and their order: networks by kind and depth, then rows."""
    words = trained(surfaces)
    telling = _row_fields(surfaces)
    rows = [words[field] for field in telling if words[field].nunique() > 1]
    if surfaces["bn"].nunique() > 1:
        rows.append(surfaces["bn"].map(lambda name: BN.get(name, name)))
    placed = surfaces.assign(row=joined(rows, surfaces.index), column=surfaces["label"])
    networks, modes = in_order(surfaces["network"]), list(BN)
    order = pd.DataFrame({
        **{field: words[field] for field in telling},
        "bn": surfaces["bn"].map(lambda name: modes.index(name) if name in modes else len(modes)),
        "network": surfaces["network"].map(networks.index),
        "depth": surfaces["depth"],
        "label": surfaces["label"],
    })  # fmt: skip
    by_row = order.groupby([*telling, "bn"]).ngroup()
    by_column = order.groupby(["network", "depth", "label"]).ngroup()
    return placed.assign(row_order=by_row, order=by_column * (by_row.max() + 1) + by_row)


def _row_fields(surfaces: pd.DataFrame) -> list[str]:
    """The fields of `trained` whose values have rows of their own. Recipes have where some network was trained by several; in
    L18's figure 5 each was by one, deep ones without shortcuts at another rate."""
    words = trained(surfaces)
    recipe = words.pop("recipe")
    compared = recipe.groupby([*words.values(), surfaces["label"]]).nunique().max() > 1
    return [*words, *(["recipe"] if compared else [])]


def _header(points: pd.DataFrame, surfaces: pd.DataFrame, splits: Mapping[str, str]) -> tuple[str, str, list[str]]:
    """The title, the subtitle of what holds for all surfaces, and notes on what holds for some."""
    words = {**dict(_images(points, surfaces, splits)), **_words(surfaces)}
    common = {key: texts.iloc[0] for key, texts in words.items() if texts.nunique() == 1}
    notes = []
    for key, texts in words.items():
        if key not in common and key not in ("bn", *_row_fields(surfaces)):  # those are titles of rows
            groups = (
                surfaces.assign(text=f"{key} " + texts if key == "recipe" else texts).groupby("text")["column"].unique()
            )
            notes.append("; ".join(f"{text or 'otherwise'}: {_listed(names)}" for text, names in groups.items()))
    title = common.pop("dataset", "")
    return title, " · ".join(text for text in common.values() if text), notes


def _images(points: pd.DataFrame, surfaces: pd.DataFrame, splits: Mapping[str, str]) -> Iterator[tuple[str, pd.Series]]:
    counts = points.groupby(["split", "surface_id"])["images"].max()
    for split, says in splits.items():
        if split in counts.index:
            here = counts[split].reindex(surfaces["surface_id"])
            texts = ["" if pd.isna(count) else says.format(f"{int(count):,}") for count in here]
            yield split, pd.Series(texts, index=surfaces.index, dtype=object)


def _words(surfaces: pd.DataFrame) -> dict[str, pd.Series]:
    """What a header says of each surface, field by field."""
    shape = "line" if (surfaces["dims"] == 1).all() else "plane"

    def plane(row: Any) -> str:
        number = f" {row.number}" if row.plane == "random" else ""
        turned = ", orthogonal" if row.orthogonal is True or row.orthogonal == 1 else ""
        turned += "" if row.ignore == "biasbn" else ", biases and BN moved"
        how = NORMALISATIONS.get(row.normalisation, row.normalisation) or row.pca
        return f"{shape}: {PLANES.get(row.plane, row.plane)}{number}" + (f", {how}" if how else "") + turned

    finer = surfaces["refine"].map(
        lambda levels: f", refined in {levels} level{'s' if levels > 1 else ''}" if levels else ""
    )
    return {
        "plane": pd.Series([plane(row) for row in surfaces.itertuples()], index=surfaces.index, dtype=object),
        "bn": surfaces["bn"].map(lambda name: BN.get(name, name)),
        "points": surfaces["points"] + " points" + finer,
        "precision": surfaces["precision"].map(str),
        "seed": surfaces["seed"].map(lambda seed: f"seed {seed}"),
        **trained(surfaces),
    }


def _gaps(points: pd.DataFrame) -> Iterator[str]:
    """Which surfaces lack points of their lattice."""
    lacking = []
    for (_, _, split), group in points.groupby(["row", "column", "split"], sort=False):
        first = group.iloc[0]
        count, whole = int((group["level"] == 0).sum()), first["points_a"] * first["points_b"]
        if count < whole:
            lacking.append(f"{named(group)} has {count:,} of {whole:,} points{_of_split(points, split)}")
    if lacking:
        yield f"incomplete: {'; '.join(lacking)}; rerun `study surface` to continue"


def named(group: pd.DataFrame) -> str:
    """What the network of these points is called, and which row of panels is meant."""
    first = group.iloc[0]
    return f"{first['column']} ({first['row']})" if first["row"] else str(first["column"])


def without_value(points: pd.DataFrame, column: str) -> Iterator[str]:
    """A note on which surfaces have points whose value is no finite number."""
    lost = []
    for (_, _, split), group in points.groupby(["row", "column", "split"], sort=False):
        count = int((~is_finite(group[column])).sum())
        if count:
            lost.append(f"{named(group)} at {count:,} of {len(group):,} points{_of_split(points, split)}")
    if lost:
        yield f"no finite {column}: {'; '.join(lost)}"


def _of_split(points: pd.DataFrame, split: Any) -> str:
    return f" of split {split}" if points["split"].nunique() > 1 else ""


def is_finite(values: pd.Series) -> pd.Series:
    """Whether each value is a number other than NaN and infinity."""
    return values.astype(float).abs() < float("inf")


def check_choice(name: str, value: str, known: Iterable[str]) -> None:
    """Raise StudyError for an option's value that is not known."""
    if value not in known:
        raise StudyError(f"unknown {name} '{value}'{nearest(str(value), known)}")


def _not_shown(ranked: pd.DataFrame, surfaces: pd.DataFrame, wanted: Mapping[str, Any]) -> Iterator[str]:
    """What else there is of the networks that are shown."""
    others = ranked[~ranked["surface_id"].isin(surfaces["surface_id"])]
    if others.empty:
        return
    differing = {}
    for field in RIVALS:
        here = {"", *surfaces[field].map(_plain)}
        more = [value for value in others[field].map(_plain).unique() if value not in here]
        if more and not (field == "pca" and here == {""}):  # there is another kind of plane, which is said
            differing[field] = f"{field} {_listed(sorted(more, key=str))}"
    chosen = [f"{field}=" for field in wanted if field in differing]
    how = f"; {', '.join(chosen)} to choose" if chosen else ""
    count = f"{len(others)} more surface{'s' if len(others) > 1 else ''} of these networks"
    yield f"not shown: {count}" + (f" ({'; '.join(differing.values())})" if differing else "") + how


def _plain(value: Any) -> Any:
    return "" if value is None or value is pd.NA or value != value else value


def _left_out(every: pd.DataFrame, fitting: pd.DataFrame, valued: pd.DataFrame) -> Iterator[str]:
    others = every.drop(fitting.index)
    for dims, group in others.groupby("dims"):
        yield f"left out, with {dims} dimension{'s' if dims != 1 else ''}: {_listed(group['label'].unique())}"
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
        lost = table.groupby(network_labels(table), sort=False)["state"].unique()
        names = [f"{name}{' (diverged)' if list(states) == ['diverged'] else ''}" for name, states in lost.items()]
        yield f"without {what}: {', '.join(names)}"


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(map(str, values))

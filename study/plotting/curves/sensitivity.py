"""Is a failure one of the recipe? The final error of one network over what its runs differ in: rate, initialisation, warm-up."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from study.config.differences import RECIPE, VARIANT, short, text
from study.config.registry import DATA
from study.errors import StudyError
from study.plotting.base import page, style
from study.plotting.base.caption import called, caption
from study.plotting.base.frames import final_values, labelled, tidy
from study.plotting.base.page import Head, Plot
from study.stats.naming import absences, joined, lost, network_title
from study.store.runs import LOST
from study.text import listed

EQUAL = ("network", "depth", "dataset", "train_subset", "precision", *(f for f in VARIANT if f != "initialisation"))
"""What the runs of one study of sensitivity share."""
FIELDS = dict.fromkeys(("recipe", "recipe.learning_rate", "initialisation", "recipe.warmup", *sorted(RECIPE)))
"""Fields in the order in which they are looked at; one that follows from those before it is no axis of its own."""
CELL = ["study", "row", "column", "setting"]
COLUMNS = ["kind", *CELL, "place", "network", "depth", "run_id", "seed", "n", "error"]
SPREAD = 0.13  # between neighbouring seeds, in units of the distance of two settings
TALL = 1.1
SIZE = 3  # points, of a seed's mark


class Study(NamedTuple):
    """The runs that are compared, labelled; the fields that vary, those that go along with them, and other networks.

    The runs have the setting of each field as text in a column `at FIELD`, and all of them in `settings`.
    """

    runs: pd.DataFrame
    fields: list[str]
    along: list[str]
    left_out: list[str]


def plot(
    curves: pd.DataFrame,
    runs: pd.DataFrame | None = None,
    *,
    split: Literal["train_clean", "train", "test"] = "train_clean",
) -> Plot:
    """Draw the figure: settings of one field along each panel, of a second from panel to panel, of further ones from row to
    row.

    `split`: `train_clean`, `train` or `test`.
    """
    evidence = tidy(curves, runs)
    studied = compared(evidence.runs)
    finals = final_values(evidence)
    data = prepare(studied, finals[finals["split"] == split])
    shown = [*studied.fields, *studied.along]
    changes = [
        ", ".join(name for name in text(names).split(", ") if f"recipe.{name}" not in shown and name != "none")
        for names in studied.runs["recipe_changes"]
    ]
    rest = studied.runs.drop(columns=[field for field in shown if field.startswith("recipe.")])
    here, title, subtitle = labelled(rest.assign(recipe_changes=changes))
    if here["study"].nunique() == 1:
        subtitle = " · ".join(filter(None, [here["study"].iloc[0], subtitle]))
    depths = here["depth"].map(str)
    notes = [*_notes(studied), *absences(here.assign(label=depths + " (" + here["settings"] + ")"))]
    shows = (
        f"{_finding(data, split)}Final {style.SPLIT_NAMES[split]} in percent, at the last iteration, over "
        f"{listed(map(_field, studied.fields))}. Points: single seeds; strokes: their mean; crosses at the top: runs "
        "without a final error; dotted: the error of guessing. Below each setting the number of runs that are done."
    )
    ways = here.assign(name=here["network"].map(network_title) + "-" + depths, condition=here["settings"])
    head = Head(title, subtitle, list(_legend(data, chance(studied.runs))))
    return Plot(draw(data, studied, head, notes), data, caption(shows, ways, protocol=(title, subtitle), notes=notes))


def _finding(data: pd.DataFrame, split: str) -> str:
    """What the panels show: the settings with the least and the largest mean."""
    means = data[(data["kind"] == "mean") & data["error"].notna()].sort_values("error", kind="stable")
    if len(means) < 2:
        return ""
    told = [
        f"{end['error']:.1f} % ({', '.join(filter(None, (end['setting'], end['column'], end['row'])))}; n = {end['n']})"
        for end in means.iloc[[0, -1]].to_dict("records")
    ]
    return f"{style.SPLIT_NAMES[split].capitalize()} ends between {' and '.join(told)}. "


def compared(runs: pd.DataFrame) -> Study:
    """The runs of networks that were trained in several ways."""
    texts = pd.DataFrame({field: runs[field].map(text) for field in FIELDS if field in runs})
    keys = runs[[*EQUAL]].map(text).agg(" ".join, axis=1)
    varies = [str(field) for field in texts if (texts[field].groupby(keys).nunique() > 1).any()]
    rich = texts[varies].apply(tuple, axis=1).groupby(keys).transform("nunique") > 1 if varies else keys.isna()
    if not rich.any():
        raise StudyError(
            "nothing to draw: the runs of no network differ in recipe or initialisation; put `recipe.learning_rate: [0.1, 0.03]` "
            "into a sweep's grid"
        )
    texts, keys, here = texts[rich], keys[rich], runs[rich]
    fields: list[str] = []
    for field in varies:
        if (texts[field].groupby([keys, *(texts[name] for name in fields)]).nunique() > 1).any():
            fields.append(field)
    fields.sort(key=lambda field: -texts[field].nunique())
    here = here.assign(study=_studies(here), **{f"at {field}": texts[field] for field in fields})
    here["settings"] = _settings(here, fields)
    others = runs.loc[~rich, "network"].map(str) + "-" + runs.loc[~rich, "depth"].map(str)
    return Study(here, fields, [field for field in varies if field not in fields], sorted(set(others)))


def _studies(runs: pd.DataFrame) -> pd.Series:
    """What the runs of each study share, as far as it tells studies apart: the network, and perhaps a data set."""
    network = runs["network"].map(str) + "-" + runs["depth"].map(str)
    rest = [f for f in EQUAL[2:] if runs.groupby(network)[f].nunique(dropna=False).max() > 1]
    return joined([network, *(runs[field].map(text) for field in rest)], runs.index)


def _settings(runs: pd.DataFrame, fields: Sequence[str], form: str = "{} {}", glue: str = ", ") -> pd.Series:
    """The settings of these fields of each run, in words."""
    return joined([runs[f"at {f}"].map(lambda at, f=f: form.format(_field(f), at)) for f in fields], runs.index, glue)


def prepare(studied: Study, finals: pd.DataFrame) -> pd.DataFrame:
    """Every mark of the figure, errors in percent: `kind` is seed, mean (with n), or the state of a lost run.

    `place` is where a mark stands along its panel: settings are one apart, from 0.
    """
    runs, (first, *others) = studied.runs, studied.fields
    table = runs.assign(
        setting=runs[f"at {first}"],
        column=_settings(runs, others[:1], "{}: {}", " · "),
        row=_settings(runs, others[1:], "{}: {}", " · "),
    )
    levels = _ordered(table["setting"])
    ranks = table.groupby(CELL)["seed"].rank(method="first") - 1
    middle = (table.groupby(CELL)["seed"].transform("size") - 1) / 2
    step = (0.62 / (2 * middle).where(middle > 0, 1)).clip(upper=SPREAD)
    table["place"] = table["setting"].map(levels.index) + (ranks - middle) * step
    seeds = table.merge(finals[["run_id", "error"]], on="run_id").assign(kind="seed")
    if seeds.empty:
        raise StudyError(f"nothing to draw: none of the {len(runs)} runs is done")
    cells = table.drop_duplicates(CELL)[[*CELL, "network", "depth"]]
    means = cells.merge(seeds.groupby(CELL)["error"].agg(n="size", error="mean").reset_index(), on=CELL, how="left")
    means = means.assign(kind="mean", place=means["setting"].map(levels.index), n=means["n"].fillna(0))
    gone = table[table["state"].isin(LOST)]
    parts = (seeds, means, gone.assign(kind=gone["state"]))
    data = pd.concat([part.reindex(columns=COLUMNS).astype(object) for part in parts], ignore_index=True)
    data[["error", "place"]] = data[["error", "place"]].astype(float)
    return data.sort_values([*CELL, "kind", "seed"], ignore_index=True)


def draw(data: pd.DataFrame, studied: Study, head: Head, notes: Sequence[str]) -> Figure:
    """The picture of what `prepare` gives."""
    columns, levels, guess = _ordered(data["column"]), _ordered(data["setting"]), chance(studied.runs)
    keys = data.drop_duplicates(["study", "row"]).assign(place=lambda d: d["row"].map(_ordered(d["row"]).index))
    rows = keys.sort_values(["network", "depth", "study", "place"])[["study", "row"]].to_numpy()
    several = data["study"].nunique() > 1
    titles = [" · ".join(filter(None, [called(study) if several else "", row])) for study, row in rows]
    made = page.page(titles, len(columns), head, notes, tall=TALL)
    for line, (study, row) in zip(made.panels, rows, strict=True):
        top = _top(data[data["study"] == study], guess)
        line[0].set_ylim(0, top)
        page.few_ticks(line[0].yaxis)
        for axes, column in zip(line, columns, strict=True):
            if guess is not None and guess < top:
                axes.axhline(guess, color=style.MUTED, linewidth=0.8, linestyle=":", zorder=1, gid="chance")
            _panel(axes, data[(data["study"] == study) & (data["row"] == row) & (data["column"] == column)], levels)
            made.title(axes, column)
            axes.set_xlim(-0.55, len(levels) - 0.45)
            axes.set_xlabel(_field(studied.fields[0]) if line is made.panels[-1] else "")
            axes.set_ylabel("error (%)" if axes is line[0] else "")
    return made.figure


def _panel(axes: Axes, data: pd.DataFrame, levels: list[str]) -> None:
    counts = data[data["kind"] == "mean"].set_index("setting")["n"]
    texts = [f"{text}\nn={counts[text]:.0f}" if text in counts else f"{text}\n–" for text in levels]
    axes.set_xticks(range(len(levels)), texts, linespacing=1.05)
    if data.empty:
        return
    network, depth = data[["network", "depth"]].iloc[0]
    look: dict[str, Any] = {"color": style.depth_colour(depth), "clip_on": False}
    seeds, means, gone = (data[data["kind"].isin(kinds)] for kinds in (["seed"], ["mean"], LOST))
    sns.scatterplot(
        seeds, x="place", y="error", marker=_marker(network), s=SIZE**2, linewidth=0, ax=axes, gid="seed", **look
    )
    axes.hlines(
        means["error"], means["place"] - 0.34, means["place"] + 0.34, colors=style.INK, linewidth=1.1, gid="mean"
    )
    for place in gone["place"]:
        axes.plot(place, 0.97, transform=axes.get_xaxis_transform(), gid="lost", **style.LOST | look)


def _marker(network: str) -> str:
    return style.MARKERS.get(network, "^")[0]


def chance(runs: pd.DataFrame) -> float | None:
    """The error of guessing in percent, where all runs are of data sets with the same known number of classes."""
    known = {DATA[name].classes if name in DATA else None for name in map(str, runs["data"])}
    classes = known.pop() if len(known) == 1 else None
    return 100 * (1 - 1 / classes) if classes else None


def _top(data: pd.DataFrame, guess: float | None) -> float:
    """The end of the y axis in percent: above all values, and above the chance level where they come near that."""
    highest = float(data["error"][np.isfinite(data["error"])].max())
    return max(0.5, 1.1 * highest, 1.1 * guess if guess and highest > guess / 2 else 0)


def _ordered(texts: pd.Series) -> list[str]:
    """Settings in rising order, numbers as numbers; nothing and words before and after."""

    def key(text: str) -> tuple[float, str]:
        try:
            return float(text.rpartition(": ")[2]), ""
        except ValueError:
            return (-math.inf if text.rpartition(": ")[2] == "none" else math.inf), text

    return sorted(set(texts), key=key)


def _field(name: str) -> str:
    return short(name).replace("_", " ").replace("warmup", "warm-up")


def _notes(studied: Study) -> Iterator[str]:
    if studied.along:
        yield f"fields that follow from these: {'; '.join(_along(studied))}"
    if len(studied.fields) > 3:
        yield f"rows are settings of {listed(map(_field, studied.fields[2:]))} together"
    if studied.left_out:
        yield f"left out, since nothing in their recipe varies: {', '.join(studied.left_out)}"


def _along(studied: Study) -> Iterator[str]:
    """Each field that goes along, with its values and the settings they follow from; without where a recipe's name says them."""
    runs, fields = studied.runs, studied.fields
    for field in studied.along:
        values = runs[field].map(text)
        alone = [f for f in fields if (values.groupby(runs[f"at {f}"]).nunique() < 2).all()][:1]
        settings = _settings(runs, alone or fields)
        told = [f"{value} ({'; '.join(at.unique())})" for value, at in settings.groupby(values, sort=False)]
        yield _field(field) + ("" if alone == ["recipe"] else f" {listed(told)}")


def _legend(data: pd.DataFrame, guess: float | None) -> Iterator[Artist]:
    network, depth = data[["network", "depth"]].iloc[0]
    one = len(data[["network", "depth"]].drop_duplicates()) == 1
    colour = style.depth_colour(depth) if one else style.INK
    mark = {"marker": _marker(network) if one else "o", "markersize": SIZE, "mew": 0, "linestyle": "none"}
    yield style.entry("single seeds", colour, **mark)
    yield style.entry("mean", linewidth=1.1)
    if guess is not None and guess < _top(data, guess):
        yield style.entry(f"guessing ({guess:g} %)", style.MUTED, linewidth=0.8, linestyle=":")
    if how := lost(data["kind"]):
        yield style.entry(how, colour, **style.LOST)

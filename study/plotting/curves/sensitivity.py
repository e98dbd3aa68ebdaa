"""Is a failure one of the recipe? The final error of one network over what its runs differ in: rate, initialisation, warm-up."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from study.config.differences import VARIANT, text
from study.config.registry import DATA
from study.errors import StudyError, nearest
from study.plotting.base import page, style
from study.plotting.base.caption import caption
from study.plotting.base.frames import called, final_values, in_order, labelled, network_title, tidy
from study.plotting.base.page import Head, Plot
from study.stats.naming import absences, joined
from study.stats.planned import planned
from study.text import listed

EQUAL = ("dataset", "train_subset", "precision", "network", "depth", *(f for f in VARIANT if f != "initialisation"))
"""What the runs of one study of sensitivity share."""
FIRST = ("recipe", "recipe.learning_rate", "initialisation", "recipe.warmup")
"""Fields in the order in which they are looked at; one that follows from those before it is no axis of its own."""
CELL = ["study", "row", "column", "setting"]
COLUMNS = ["kind", *CELL, "place", "network", "depth", "run_id", "seed", "n", "error"]
MOST = 3  # fields that a picture has axes for
SPREAD = 0.13  # between neighbouring seeds, in units of the distance of two settings
TALL = 1.1


class Study(NamedTuple):
    """The runs that are compared, labelled; the fields that vary, those that go along with them, and other networks."""

    runs: pd.DataFrame
    fields: list[str]
    along: list[str]
    left_out: list[str]


def plot(curves: pd.DataFrame, runs: pd.DataFrame | None = None, *, split: str = "train_clean") -> Plot:
    """Draw the figure: settings of one field along each panel, of a second from panel to panel, of further ones from row to
    row.

    `split`: `train_clean`, `train` or `test`.
    """
    if split not in style.SPLITS:
        raise StudyError(f"unknown split '{split}'{nearest(str(split), style.SPLITS)}")
    evidence = tidy(curves, runs)
    studied = compared(curves, runs)
    finals = final_values(evidence)
    data = prepare(studied, finals[finals["split"] == split])
    shown = [*studied.fields, *studied.along]
    rest = studied.runs.drop(columns=[field for field in shown if field.startswith("recipe.")])
    here, title, subtitle = labelled(rest.assign(recipe_changes=_further_changes(studied)))
    subtitle = " · ".join(text for text in (_only(studied.runs["study"]), subtitle) if text)
    named = here.assign(label=here["depth"].map(str) + " (" + here["settings"] + ")")
    notes = [*_notes(studied), *absences(named)]
    shows = (
        f"{_finding(data, split)}Final {style.SPLIT_NAMES[split]} in percent, at the last iteration, over "
        f"{listed(map(_field, studied.fields))}. Points: single seeds; strokes: their mean; crosses at the top: runs that "
        "diverged; dotted: the error of guessing. Below each setting the number of runs that are done."
    )
    ways = here.assign(
        name=here["network"].map(network_title) + "-" + here["depth"].map(str), condition=here["settings"]
    )
    text = caption(shows, ways, protocol=(title, subtitle), notes=notes)
    return Plot(
        draw(data, studied, Head(title, subtitle, list(_legend(data, chance(studied.runs)))), notes), data, text
    )


def _finding(data: pd.DataFrame, split: str) -> str:
    """What the panels show: the settings with the least and the largest mean."""
    means = data[(data["kind"] == "mean") & data["error"].notna()].sort_values("error", kind="stable")
    ends = [means.iloc[0], means.iloc[-1]] if len(means) > 1 else []
    told = [
        f"{end['error']:.1f} % ({', '.join(t for t in (end['setting'], end['column'], end['row']) if t)}; n = {end['n']})"
        for end in ends
    ]
    return f"{style.SPLIT_NAMES[split].capitalize()} ends between {' and '.join(told)}. " if told else ""


def _further_changes(studied: Study) -> pd.Series:
    """What is changed in each recipe besides the fields that the figure is about."""
    shown = {field.removeprefix("recipe.") for field in (*studied.fields, *studied.along)}
    changes = (
        studied.runs["recipe_changes"]
        .fillna("")
        .map(lambda names: [n for n in str(names).split(", ") if n not in shown])
    )
    return changes.map(", ".join)


def compared(curves: pd.DataFrame, runs: pd.DataFrame | None) -> Study:
    """The runs of networks that were trained in several ways, with the setting of each field as text."""
    source = curves if runs is None else runs
    recipe = sorted(str(column) for column in source.columns if str(column).startswith("recipe."))
    every = planned(curves, runs, (*recipe, "data"))
    texts = pd.DataFrame({field: every[field].map(text) for field in ("recipe", "initialisation", *recipe)})
    order = [*(f for f in FIRST if f in texts), *(f for f in recipe if f not in FIRST)]
    keys = every[[*EQUAL]].map(text).agg(" ".join, axis=1)
    varies = [f for f in order if any(group.nunique() > 1 for _, group in texts[f].groupby(keys))]
    rich = (
        texts[varies].agg(" ".join, axis=1).groupby(keys).transform("nunique") > 1
        if varies
        else pd.Series(False, every.index)
    )
    if not rich.any():
        raise StudyError(
            "nothing to draw: the runs of no network differ in recipe or initialisation; put `recipe.learning_rate: [0.1, 0.03]` "
            "into a sweep's grid"
        )
    fields = _independent(texts[rich], keys[rich], varies)
    fields = sorted(fields, key=lambda f: (-_levels(texts.loc[rich, f]), order.index(f))) if len(fields) > 1 else fields
    here = every[rich].assign(
        **{f"at {field}": texts.loc[rich, field] for field in fields}, study=_studies(every[rich])
    )
    settings = [f"{_field(field)} " + here[f"at {field}"] for field in fields]
    here["settings"] = joined(settings, here.index, ", ")
    others = every[~rich]
    left_out = sorted({f"{n}-{d}" for n, d in zip(others["network"], others["depth"], strict=True)})
    return Study(here, fields, [field for field in varies if field not in fields], left_out)


def _levels(texts: pd.Series) -> int:
    return int(texts.nunique())


def _independent(texts: pd.DataFrame, keys: pd.Series, varies: Sequence[str]) -> list[str]:
    """The fields without those that follow from the ones before them."""
    chosen: list[str] = []
    for field in varies:
        known = [keys, *(texts[name] for name in chosen)]
        if (texts[field].groupby(known).nunique() > 1).any():
            chosen.append(field)
    return chosen


def _studies(runs: pd.DataFrame) -> pd.Series:
    """What the runs of each study share, as far as it tells studies apart: the network, and perhaps a data set."""
    network = runs["network"].map(str) + "-" + runs["depth"].map(str)
    rest = [
        runs[f].map(text)
        for f in EQUAL
        if f not in ("network", "depth") and runs.groupby(network)[f].nunique(dropna=False).max() > 1
    ]
    return joined([network, *rest], runs.index)


def prepare(studied: Study, finals: pd.DataFrame) -> pd.DataFrame:
    """Every mark of the figure, errors in percent: `kind` is seed, mean (with n) or diverged.

    `place` is where a mark stands along its panel: settings are one apart, from 0.
    """
    runs, (first, *others) = studied.runs, studied.fields
    second, further = others[:1], others[1:]
    table = runs.assign(
        setting=runs[f"at {first}"],
        column=joined(
            [runs[f"at {field}"].map(lambda text, f=field: f"{_field(f)}: {text}") for field in second], runs.index
        ),
        row=joined(
            [runs[f"at {field}"].map(lambda text, f=field: f"{_field(f)}: {text}") for field in further], runs.index
        ),
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
    lost = table[table["state"] == "diverged"].assign(kind="diverged")
    data = pd.concat([part.reindex(columns=COLUMNS).astype(object) for part in (seeds, means, lost)], ignore_index=True)
    data[["error", "place"]] = data[["error", "place"]].astype(float)
    return data.sort_values([*CELL, "kind", "seed"], ignore_index=True)


def draw(data: pd.DataFrame, studied: Study, head: Head, notes: Sequence[str]) -> Figure:
    """The picture of what `prepare` gives."""
    columns, levels = _ordered(data["column"]), _ordered(data["setting"])
    networks = in_order(data["network"])
    keys = data.drop_duplicates(["study", "row"]).assign(order=lambda d: d["network"].map(networks.index))
    keys = keys.assign(place=keys["row"].map(_ordered(data["row"]).index)).sort_values(
        ["order", "depth", "study", "place"]
    )
    rows = list(zip(keys["study"], keys["row"], strict=True))
    several = data["study"].nunique() > 1
    titles = [" · ".join(text for text in (called(study) if several else "", row) if text) for study, row in rows]
    made = page.page(titles, len(columns), head, notes, tall=TALL)
    guess = chance(studied.runs)
    for line, (study, row) in zip(made.panels, rows, strict=True):
        top = _top(data[data["study"] == study], guess)
        line[0].set_ylim(0, top)
        page.few_ticks(line[0].yaxis)
        for axes, column in zip(line, columns, strict=True):
            if guess is not None and guess < top:
                axes.axhline(guess, color=style.MUTED, linewidth=0.8, linestyle=":", zorder=1, gid="chance")
            _panel(axes, data[(data["study"] == study) & (data["row"] == row) & (data["column"] == column)], levels)
            axes.set_title(column)
            axes.set(
                xlabel=_field(studied.fields[0]) if line is made.panels[-1] else "",
                ylabel="",
                xlim=(-0.55, len(levels) - 0.45),
            )
        line[0].set_ylabel("error (%)")
    return made.figure


def _panel(axes: Axes, data: pd.DataFrame, levels: list[str]) -> None:
    counts = data[data["kind"] == "mean"].set_index("setting")["n"]
    texts = [f"{text}\nn={counts[text]:.0f}" if text in counts else f"{text}\n–" for text in levels]
    axes.set_xticks(range(len(levels)), texts, linespacing=1.05)
    if data.empty:
        return
    network, depth = data[["network", "depth"]].iloc[0]
    colour, marker = style.depth_colour(depth), style.MARKERS.get(network, ("^",))[0]
    seeds, mean, lost = (data[data["kind"] == kind] for kind in ("seed", "mean", "diverged"))
    sns.scatterplot(
        seeds, x="place", y="error", color=colour, marker=marker, s=9, linewidth=0, ax=axes, clip_on=False, gid="seed"
    )
    means = mean.dropna(subset="error")
    axes.hlines(
        means["error"], means["place"] - 0.34, means["place"] + 0.34, colors=style.INK, linewidth=1.1, gid="mean"
    )
    if len(lost):
        own: dict[str, Any] = {"color": colour, "linestyle": "none", "clip_on": False, "ms": 4, "gid": "diverged"}
        axes.plot(lost["place"], [0.97] * len(lost), "x", transform=axes.get_xaxis_transform(), **own)


def chance(runs: pd.DataFrame) -> float | None:
    """The error of guessing in percent, where all runs are of data sets with the same known number of classes."""
    known = {DATA[name].classes if name in DATA else None for name in map(str, runs["data"])}
    classes = known.pop() if len(known) == 1 else None
    return 100 * (1 - 1 / classes) if classes else None


def _top(data: pd.DataFrame, guess: float | None) -> float:
    """The end of the y axis in percent: above all values, and above the chance level where they come near that."""
    errors = data["error"][data["error"].abs() < math.inf]
    highest = float(errors.max()) if len(errors) else 1.0
    near = guess is not None and highest > guess / 2
    return max(0.5, 1.1 * highest, 1.1 * guess if near and guess else 0)


def _ordered(texts: pd.Series) -> list[str]:
    """Settings in rising order, numbers as numbers; nothing and words before and after."""

    def key(text: str) -> tuple[float, str]:
        try:
            return float(text.rpartition(": ")[2]), ""
        except ValueError:
            return (-math.inf if text.rpartition(": ")[2] == "none" else math.inf), text

    return sorted(set(texts), key=key)


def _field(name: str) -> str:
    return name.removeprefix("recipe.").replace("_", " ").replace("warmup", "warm-up")


def _only(texts: pd.Series) -> str:
    return str(texts.iloc[0]) if texts.nunique() == 1 else ""


def _notes(studied: Study) -> Iterator[str]:
    if studied.along:
        yield f"fields that follow from these: {'; '.join(_along(studied))}"
    if len(studied.fields) > MOST:
        yield f"rows are settings of {listed(map(_field, studied.fields[2:]))} together"
    if studied.left_out:
        yield f"left out, since nothing in their recipe varies: {', '.join(studied.left_out)}"


def _along(studied: Study) -> Iterator[str]:
    """Each field that goes along, with its values and the settings they follow from; without where a recipe's name says them."""
    runs, fields = studied.runs, studied.fields
    for field in studied.along:
        values = runs[field].map(text)
        alone = [f for f in fields if (values.groupby(runs[f"at {f}"]).nunique() < 2).all()][:1]
        settings = joined([f"{_field(f)} " + runs[f"at {f}"] for f in alone or fields], runs.index, ", ")
        told = [f"{value} ({'; '.join(at.unique())})" for value, at in settings.groupby(values, sort=False)]
        yield _field(field) + ("" if alone == ["recipe"] else f" {listed(told)}")


def _legend(data: pd.DataFrame, guess: float | None) -> Iterator[Artist]:
    network, depth = data[["network", "depth"]].iloc[0]
    one = data[["network", "depth"]].drop_duplicates().shape[0] == 1
    colour = style.depth_colour(depth) if one else style.INK
    marker = style.MARKERS.get(network, ("^",))[0] if one else "o"
    yield Line2D([], [], color=colour, marker=marker, ms=3, mew=0, linestyle="none", label="single seeds")
    yield Line2D([], [], color=style.INK, linewidth=1.1, label="mean")
    if guess is not None and guess < _top(data, guess):
        yield Line2D([], [], color=style.MUTED, linewidth=0.8, linestyle=":", label=f"guessing ({guess:g} %)")
    if (data["kind"] == "diverged").any():
        yield Line2D([], [], color=colour, marker="x", ms=4, linestyle="none", label="diverged")

"""One kind of residual network against the usual one, over iterations: I16 figures 1, 3 and 6, on any sweep."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from study.config.differences import VARIANT
from study.errors import StudyError
from study.papers.values import I16, I16_CIFAR100, ORDERS, SHORTCUTS, VALUES, Value, match
from study.plotting.base import page, style
from study.plotting.base.caption import caption
from study.plotting.base.frames import Tidy, named, network_title, restricted, tidy
from study.plotting.base.outside import nothing, outside
from study.plotting.base.page import Head, Plot
from study.plotting.curves import lines as overtime
from study.stats.naming import distinguish, joined, kinds
from study.stats.planned import CURVE_COLUMNS, require

SHORTCUT = tuple(field for field in VARIANT if field.partition(".")[0] == "shortcut")
ORDER = ("order",)
FAILS = 20.0  # percent: a test error above it is a failure (I16, section 3), and the axis ends here
MOST = 3  # panels side by side
GREY = "#8c8c8c"
LOSSES = {
    "train_clean": "training loss in evaluation mode, without augmentation",
    "train": "running training loss, in training mode, on augmented images",
}


class Versus(NamedTuple):
    """What a figure compares: the fields that may differ, and what they are in the usual network."""

    fields: tuple[str, ...]
    usual: str
    name: str
    """What the usual network is called in the legend."""
    shows: str
    values: str
    """The table of `papers.VALUES`."""


def shortcuts(curves: pd.DataFrame, runs: pd.DataFrame | None = None, *, training: str = "train_clean") -> Plot:
    """I16 figure 3: each other shortcut against the identity (option A), in networks that differ in nothing else.

    Solid: test error (right axis, to 20 %, above which a network counts as failed); dashed: training loss (left axis, nats).
    Where runs follow the paper's protocol, its values stand at the end. Arguments as for
    `study.plotting.curves.degradation.plot`.
    """
    shows = "Figure 3 of He et al. 2016: each shortcut against the identity"
    return _plot(curves, runs, training, Versus(SHORTCUT, "A", "identity (A)", shows, "i16_table1"))


def orders(curves: pd.DataFrame, runs: pd.DataFrame | None = None, *, training: str = "train_clean") -> Plot:
    """I16 figure 6: each other order of BN, ReLU and addition against the original one. As `shortcuts`."""
    shows = "Figure 6 of He et al. 2016: each order of convolution, BN, ReLU and addition against the original one"
    return _plot(curves, runs, training, Versus(ORDER, "original", "original order", shows, "i16_table2"))


def preactivation(curves: pd.DataFrame, runs: pd.DataFrame | None = None, *, training: str = "train_clean") -> Plot:
    """I16 figure 1: full pre-activation against the original order, a panel a network. As `shortcuts`."""
    shows = "Figure 1 of He et al. 2016: full pre-activation against the original order"
    return _plot(curves, runs, training, Versus(ORDER, "original", "original order", shows, "i16_table3"), only="pre")


def _plot(
    curves: pd.DataFrame, runs: pd.DataFrame | None, training: str, versus: Versus, only: str | None = None
) -> Plot:
    overtime.check_training(training)
    require(curves, (*CURVE_COLUMNS, "loss"), "curves")
    evidence = _compared(tidy(curves, runs), versus, only)
    drawn = _paneled(evidence, versus)
    errors = overtime.lines_of(drawn, evidence.drops, ["test"], ["panel", "role"])
    losses = overtime.lines_of(drawn, evidence.drops, [training], ["panel", "role"], "loss")
    beside = _beside(errors, evidence.runs, VALUES[versus.values])
    data = pd.concat([errors, losses[losses["kind"] != "lr_drop"], beside], ignore_index=True)
    limits = _losses(data), _top(data)
    evidence = evidence._replace(notes=[*evidence.notes, *_beyond(data, limits[1])])
    panels = list(dict.fromkeys(drawn["panel"]))
    across = -(-len(panels) // -(-len(panels) // MOST))  # so that the last row is as full as can be
    head = Head(evidence.title, evidence.subtitle, list(_legend(data, versus)))
    rows = [""] * -(-len(panels) // across)
    width = style.PAGES["page"] if across > 1 else None
    made = page.page(rows, across, head, evidence.notes, tall=1.35, share=False, width=width, around=0.6)
    for number, (axes, panel) in enumerate(zip(made.axes, panels, strict=False)):
        right = _panel(axes, panel, data[data["panel"] == panel], limits, 0.9 * made.figure.get_figwidth() / across)
        first, last = number % across == 0, number % across == across - 1 or number == len(panels) - 1
        axes.set_ylabel("training loss (nats)" if first else "")
        axes.tick_params(which="both", labelleft=first)
        right.set_ylabel("test error (%)" if last else "")
        right.tick_params(labelright=last)
    for axes in made.axes[len(panels) :]:
        axes.set_axis_off()
    shows = (
        f"{_finding(data)}{versus.shows}. Solid: test error in percent, right axis; dashed: {LOSSES[training]}, in nats, left "
        f"axis. {overtime.seeds_in_words(data)} Above each panel the mean final test errors of both networks."
    )
    paper = I16_CIFAR100 if (evidence.runs["dataset"] == I16_CIFAR100.dataset).all() else I16
    protocol = (evidence.title, evidence.subtitle)
    return Plot(
        made.figure, data, caption(shows, named(evidence.runs), protocol=protocol, notes=evidence.notes, paper=paper)
    )


# -- which runs -------------------------------------------------------------------------------------------------------


def _compared(evidence: Tidy, versus: Versus, only: str | None) -> Tidy:
    """The residual networks that have a usual twin, with `group` (twins share it), `role` and `variant` (what differs)."""
    runs = evidence.runs[evidence.runs["network"] == "residual"].copy()
    same = [name for name in (*VARIANT, "condition", "depth") if name not in versus.fields]
    runs["group"] = kinds(runs, same)
    runs["role"] = (runs[versus.fields[0]] == versus.usual).map({True: "usual", False: "variant"})
    if only is not None:
        runs = runs[(runs["role"] == "usual") | (runs[versus.fields[0]] == only)]
    both = runs.groupby("group")["role"].transform("nunique") == 2
    order = ["condition", "depth", "group", *SHORTCUT, *ORDER]
    runs = runs[both].sort_values(order, key=_place, kind="stable", ignore_index=True)
    compared = restricted(evidence, runs.assign(variant=_variants(runs, versus.fields)) if len(runs) else runs)
    if compared.curves.empty:
        raise StudyError(
            f"nothing to draw: no residual network has both {versus.name} and another {versus.fields[0]} with all else equal"
        )
    return compared


def _place(values: pd.Series) -> pd.Series:
    """By what a column is sorted: kinds as `papers` lists them, others after these, and of one kind the largest number first."""
    if values.name in SHORTCUT[1:]:
        return -pd.to_numeric(values)
    if kinds := {"shortcut": SHORTCUTS, "order": ORDERS}.get(str(values.name)):
        return values.map({kind: place for place, kind in enumerate(kinds)}).fillna(len(kinds))
    return values


def _variants(runs: pd.DataFrame, fields: Sequence[str]) -> pd.Series:
    """What each variant is called: its name, and the numbers that tell it from others of that name."""
    names = runs[fields[0]].map(ORDERS | SHORTCUTS).fillna(runs[fields[0]])
    if len(fields) == 1:
        return names
    keyed = runs.assign(key=kinds(runs, fields))
    more = pd.concat([distinguish(group, "key", fields[1:]) for _, group in keyed.groupby(fields[0])])
    return joined([names, more.reindex(runs.index)], runs.index, ", ")


def _paneled(evidence: Tidy, versus: Versus) -> pd.DataFrame:
    """The curves of each panel one after the other: its variant's, and the usual network's again."""
    several = evidence.runs["group"].nunique() > 1
    others = [field for field in VARIANT if field not in versus.fields]
    more = distinguish(evidence.runs.assign(key=kinds(evidence.runs, others)), "key", others)
    frames = []
    for (_, variant), theirs in evidence.runs[evidence.runs["role"] == "variant"].groupby(
        ["group", "variant"], sort=False
    ):
        first = theirs.iloc[0]
        usual = evidence.runs[(evidence.runs["group"] == first["group"]) & (evidence.runs["role"] == "usual")]
        title = f"{first['depth']}: {variant}" if several else str(variant)
        where = " · ".join(filter(None, [first["condition"], more[theirs.index[0]]]))
        title += f" ({where})" if where and several else ""
        members = pd.concat([usual, theirs])[["run_id", "role"]]
        frames.append(evidence.curves.merge(members, on="run_id").assign(panel=title))
    return pd.concat(frames, ignore_index=True)


def _beside(errors: pd.DataFrame, runs: pd.DataFrame, values: Sequence[Value]) -> pd.DataFrame:
    """The paper's test errors, at the last iteration of the panels whose runs match them; infinite where it says fails."""
    rows = []
    for value in values:
        twins = runs.loc[match(runs, value), "run_id"]
        mine = errors[errors["run_id"].isin(twins)]
        for _, place in mine.drop_duplicates(["panel", "role"]).iterrows():
            same = {name: place[name] for name in ("condition", "panel", "role", "network", "label", "split", "depth")}
            end = errors.loc[errors["panel"] == place["panel"], "iteration"].max()
            error = math.inf if value.error is None else value.error
            rows.append({"kind": "reported", **same, "iteration": end, "error": error})
    return pd.DataFrame(rows)


# -- the picture ------------------------------------------------------------------------------------------------------


def _losses(data: pd.DataFrame) -> tuple[float, float]:
    """The ends of the loss axis, in nats, the same for all panels."""
    losses = data["loss"].dropna()
    losses = losses[(losses > 0) & (losses < math.inf)]
    return (0.7 * losses.min(), 1.5 * losses.max()) if len(losses) else (0.01, 3.0)


def _panel(axes: Axes, title: str, data: pd.DataFrame, limits: tuple[tuple[float, float], float], room: float) -> Axes:
    """Training loss on the left axis, test error on the right one; the usual network in grey behind its variant.

    Returns the right axis.
    """
    (floor, ceiling), top = limits
    right = axes.twinx()
    right.spines["right"].set_visible(True)
    right.grid(visible=False)
    right.set_ylim(0, top)
    page.few_ticks(right.yaxis)
    axes.set_yscale("log")
    axes.set_ylim(floor, ceiling)
    lines = data[data["kind"].isin(overtime.DRAWN)]
    unit = overtime.iteration_axis([axes], int(lines["iteration"].max()))
    for role, colour in (("usual", GREY), ("variant", "")):
        mine = lines[lines["role"] == role]
        overtime.draw_lines(right, mine[mine["error"].notna() & mine["loss"].isna()], unit, colour=colour)
        overtime.draw_lines(axes, mine[mine["loss"].notna()], unit, "loss", colour)
        for value in data[(data["kind"] == "reported") & (data["role"] == role)].to_dict("records"):
            fill = colour or style.depth_colour(value["depth"])
            if math.isfinite(value["error"]):
                at = (value["iteration"] / unit, value["error"])
                right.plot(*at, color=fill, gid="reported", **style.VALUE_MARKS["reported"])
            else:
                said: dict[str, Any] = {"ha": "right", "size": style.SMALLEST, "color": style.ink(fill)}
                right.annotate("fails in the paper", (0.98, 0.9), xycoords="axes fraction", **said)
    overtime.draw_drops(axes, data, unit)
    size = 7.5 * style.look().scale
    axes.set_title("\n".join([*page.wrapped(title, room, size), _finals(lines, top)]), linespacing=1.3)
    return right


def _beyond(data: pd.DataFrame, top: float) -> Iterator[str]:
    """Notes on what the axes of the panels leave out."""
    lines = data[data["kind"].isin(overtime.DRAWN)]
    names = lines["network"].map(network_title) + "-" + lines["label"].map(str)
    names += lines["condition"].map(lambda text: f" ({text})" if text else "")
    yield from outside(lines["error"], names, (0, top), "%")
    yield from nothing(lines["loss"], names, "training loss")


def _top(data: pd.DataFrame) -> float:
    """20 %, as in the paper; where not even one usual network gets below it, where the data have it."""
    test = data[(data["split"] == "test") & data["kind"].isin(overtime.DRAWN)]
    ends = test[(test["kind"] == "mean") & (test["role"] == "usual")].groupby("panel")["error"].last()
    return FAILS if (ends <= FAILS).any() else overtime.top_of(test, ["panel", "role"])


def _finals(lines: pd.DataFrame, top: float) -> str:
    """`6.6 → 8.1 % (n = 5)`: final test errors, means over seeds; of a variant without any, how its runs ended."""
    test = lines[lines["split"] == "test"]
    said = []
    for role in ("usual", "variant"):
        mean = test[(test["role"] == role) & (test["kind"] == "mean")]
        if mean.empty:
            said.append("×" if (test.loc[test["role"] == role, "state"] == "diverged").any() else "–")
            continue
        end = mean.sort_values("iteration").iloc[-1]
        said.append(f"{end['error']:.1f}{'↑' if end['error'] > top else ''} (n={end['n']})")
    return " → ".join(said) + " %"


def _finding(data: pd.DataFrame) -> str:
    """What the panels show: the usual network's final test error, and the best and the worst variant's."""
    means = data[(data["split"] == "test") & (data["kind"] == "mean")].sort_values("iteration")
    ends = means.groupby(["panel", "role"])["error"].last().unstack()
    if "variant" not in ends or "usual" not in ends or ends["variant"].dropna().empty:
        return ""
    usual, variants = ends["usual"].dropna(), ends["variant"].dropna().sort_values()
    shown = variants.iloc[[0, -1]] if len(variants) > 1 else variants
    told = ", ".join(f"{name} {error:.1f} %" for name, error in shown.items())
    common = f"{usual.min():.1f}" + (f" to {usual.max():.1f}" if usual.max() - usual.min() >= 0.05 else "")
    seeds = int(means["n"].max())
    over = "one seed each" if seeds == 1 else f"up to {seeds} seeds"
    return f"Final test errors: {common} % of the usual network, {told} ({over}). "


def _legend(data: pd.DataFrame, versus: Versus) -> Iterator[Artist]:
    colour = style.depth_colour(int(data["depth"].dropna().max()))
    dash = (0, style.DASHES["train_clean"])
    yield Line2D([], [], color=GREY, linewidth=1.6, label=versus.name)
    yield Line2D([], [], color=colour, linewidth=1.6, label="the panel's variant")
    yield Line2D([], [], color=style.INK, linewidth=1.6, label="test error (right)")
    yield Line2D([], [], color=style.INK, linewidth=0.7, linestyle=dash, label="training loss (left)")
    yield from overtime.seeds_legend(data)
    if (data["kind"] == "reported").any():
        yield Line2D([], [], color=style.INK, label="He et al. 2016", **style.VALUE_MARKS["reported"])

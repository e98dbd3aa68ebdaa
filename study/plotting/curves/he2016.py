"""One kind of residual network against the usual one, over iterations: I16 figures 1, 3 and 6, on any sweep."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from study.config.differences import VARIANT
from study.papers.values import I16, I16_CIFAR100, ORDERS, SHORTCUTS, VALUES
from study.plotting.base import page, style
from study.plotting.base.frames import Tidy, named, restricted, tidy
from study.plotting.base.outside import nothing, outside
from study.plotting.base.page import Head, Plot
from study.plotting.curves import lines as overtime
from study.stats.naming import distinguish, joined, kinds
from study.stats.planned import CURVE_COLUMNS, require
from study.store.runs import LOST

USUAL = {"shortcut": ("A", "identity (A)"), "order": ("original", "original order")}
"""By the field in which networks differ, its value in the usual network, and what the legend calls that."""
FAILS = 20.0  # percent: a test error above it is a failure (I16, section 3), and the axis ends here
MOST = 3  # panels side by side
GREY = "#8c8c8c"
LOSSES = {
    "train_clean": "training loss in evaluation mode, without augmentation",
    "train": "running training loss, in training mode, on augmented images",
}


def shortcuts(
    curves: pd.DataFrame, runs: pd.DataFrame | None = None, *, training: overtime.Training = "train_clean"
) -> Plot:
    """I16 figure 3: each other shortcut against the identity (option A), in networks that differ in nothing else.

    Solid: test error (right axis, to 20 %, above which a network counts as failed); dashed: training loss (left axis, nats).
    Where runs follow the paper's protocol, its values stand at the end. Arguments as for
    `study.plotting.curves.degradation.plot`.
    """
    shows = "Figure 3 of He et al. 2016: each shortcut against the identity"
    return _plot(curves, runs, training, "shortcut", shows, "i16_table1")


def orders(
    curves: pd.DataFrame, runs: pd.DataFrame | None = None, *, training: overtime.Training = "train_clean"
) -> Plot:
    """I16 figure 6: each other order of BN, ReLU and addition against the original one. As `shortcuts`."""
    shows = "Figure 6 of He et al. 2016: each order of convolution, BN, ReLU and addition against the original one"
    return _plot(curves, runs, training, "order", shows, "i16_table2")


def preactivation(
    curves: pd.DataFrame, runs: pd.DataFrame | None = None, *, training: overtime.Training = "train_clean"
) -> Plot:
    """I16 figure 1: full pre-activation against the original order, one panel per network. As `shortcuts`."""
    shows = "Figure 1 of He et al. 2016: full pre-activation against the original order"
    return _plot(curves, runs, training, "order", shows, "i16_table3", only="pre")


def _plot(
    curves: pd.DataFrame,
    runs: pd.DataFrame | None,
    training: str,
    field: str,
    shows: str,
    table: str,
    only: str | None = None,
) -> Plot:
    require(curves, (*CURVE_COLUMNS, "loss"), "curves")
    evidence = _compared(tidy(curves, runs), field, only)
    drawn = _paneled(evidence, field)
    errors = overtime.lines_of(drawn, evidence.drops, ["test"], ["panel", "role"])
    losses = overtime.lines_of(drawn, evidence.drops, [training], ["panel", "role"], "loss")
    beside = overtime.beside(errors, evidence.runs, VALUES[table], ["panel", "role"], "panel")
    data = pd.concat([errors, losses[losses["kind"] != "lr_drop"], beside], ignore_index=True)
    top = _top(data)
    notes = [*evidence.notes, *_beyond(data, top)]
    panels = list(drawn["panel"].unique())
    head = Head(evidence.title, evidence.subtitle, list(_legend(data, USUAL[field][1])))
    made = page.page([""], len(panels), head, notes, tall=1.35, share=False, most=MOST, around=0.6)
    for number, (axes, panel) in enumerate(zip(made.axes, panels, strict=True)):
        here = data[data["panel"] == panel]
        right = _panel(axes, here, top)
        made.title(axes, panel, _finals(here, top))
        first, last = number % made.across == 0, (number + 1) % made.across == 0 or panel == panels[-1]
        axes.set_ylim(*_losses(data))
        axes.set_ylabel("training loss (nats)" if first else "")
        axes.tick_params(which="both", labelleft=first)
        right.set_ylabel("test error (%)" if last else "")
        right.tick_params(labelright=last)
    text = (
        f"{_finding(data)}{shows}. Solid: test error in percent, right axis; dashed: {LOSSES[training]}, in nats, left "
        f"axis. {overtime.seeds_in_words(data)} Above each panel the mean final test errors of both networks."
    )
    paper = I16_CIFAR100 if (evidence.runs["dataset"] == I16_CIFAR100.dataset).all() else I16
    return Plot(made.figure, data, evidence._replace(notes=notes).caption(text, paper))


# -- which runs -------------------------------------------------------------------------------------------------------


def _fields(name: str) -> list[str]:
    """A field of the network, and the numbers that belong to it."""
    return [field for field in VARIANT if field.partition(".")[0] == name]


def _compared(evidence: Tidy, field: str, only: str | None) -> Tidy:
    """The residual networks that have a usual twin, with `group` (twins share it), `role` and `variant` (what differs)."""
    runs = evidence.runs[evidence.runs["network"] == "residual"].copy()
    usual, name = USUAL[field]
    runs["group"] = kinds(runs, [f for f in (*VARIANT, "condition", "depth") if f not in _fields(field)])
    runs["role"] = (runs[field] == usual).map({True: "usual", False: "variant"})
    if only is not None:
        runs = runs[runs[field].isin([usual, only])]
    runs = runs[runs.groupby("group")["role"].transform("nunique") == 2]
    order = ["condition", "depth", "group", *_fields("shortcut"), "order"]
    runs = runs.sort_values(order, key=_rank, kind="stable", ignore_index=True)
    keyed = runs.assign(
        variant=runs[field].map(ORDERS | SHORTCUTS).fillna(runs[field]), key=kinds(runs, _fields(field))
    )
    numbers = [distinguish(group, "key", _fields(field)[1:]) for _, group in keyed.groupby(field)]
    if numbers:
        keyed["variant"] = joined([keyed["variant"], pd.concat(numbers).reindex(runs.index)], runs.index, ", ")
    return restricted(evidence, keyed, f"residual networks with {name} and with another {field}, all else equal")


def _rank(values: pd.Series) -> pd.Series:
    """What a column is sorted by: kinds as `papers` lists them, others after these; numbers of one kind, largest first."""
    if str(values.name).startswith("shortcut."):
        return -pd.to_numeric(values)
    if listed := {"shortcut": [*SHORTCUTS], "order": [*ORDERS]}.get(str(values.name)):
        return values.map({kind: place for place, kind in enumerate(listed)}).fillna(len(listed))
    return values


def _paneled(evidence: Tidy, field: str) -> pd.DataFrame:
    """The curves of each panel one after the other: its variant's, and the usual network's again."""
    runs = evidence.runs
    several = runs["group"].nunique() > 1
    others = [f for f in VARIANT if f not in _fields(field)]
    more = distinguish(runs.assign(key=kinds(runs, others)), "key", others)
    frames = []
    for (group, variant), theirs in runs[runs["role"] == "variant"].groupby(["group", "variant"], sort=False):
        first = theirs.iloc[0]
        where = " · ".join(filter(None, [first["condition"], more[theirs.index[0]]]))
        title = f"{first['depth']}: {variant}" + (f" ({where})" if where else "") if several else str(variant)
        members = pd.concat([runs[(runs["group"] == group) & (runs["role"] == "usual")], theirs])
        frames.append(evidence.curves.merge(members[["run_id", "role"]], on="run_id").assign(panel=title))
    return pd.concat(frames, ignore_index=True)


# -- the picture ------------------------------------------------------------------------------------------------------


def _panel(axes: Axes, data: pd.DataFrame, top: float) -> Axes:
    """Training loss on the left axis, test error on the right one; the usual network in grey behind its variant.

    Returns the right axis.
    """
    right = axes.twinx()
    right.spines["right"].set_visible(True)
    right.grid(visible=False)
    right.set_ylim(0, top)
    page.few_ticks(right.yaxis)
    axes.set_yscale("log")
    lines = data[data["kind"].isin(overtime.DRAWN)]
    unit = overtime.iteration_axis([axes], int(lines["iteration"].max()))
    for role, colour in (("usual", GREY), ("variant", "")):
        mine = lines[lines["role"] == role]
        overtime.draw_lines(right, mine[mine["error"].notna() & mine["loss"].isna()], unit, colour=colour)
        overtime.draw_lines(axes, mine[mine["loss"].notna()], unit, "loss", colour)
        theirs = data[(data["kind"] == "reported") & (data["role"] == role)]
        overtime.draw_values(right, theirs, unit, colour)
        if (theirs["error"] == math.inf).any():
            right.annotate(
                "fails in the paper", (0.98, 0.9), xycoords="axes fraction", ha="right", size=style.SMALLEST,
                color=colour or style.depth_colour(theirs["depth"].iloc[0]),
            )  # fmt: skip
    overtime.draw_drops(axes, data, unit)
    return right


def _losses(data: pd.DataFrame) -> tuple[float, float]:
    """The ends of the loss axis, in nats, the same for all panels."""
    losses = data["loss"].dropna()
    losses = losses[(losses > 0) & (losses < math.inf)]
    return (0.7 * losses.min(), 1.5 * losses.max()) if len(losses) else (0.01, 3.0)


def _beyond(data: pd.DataFrame, top: float) -> Iterator[str]:
    """Notes on what the axes of the panels leave out."""
    lines = data[data["kind"].isin(overtime.DRAWN)]
    names = named(lines)["name"] + lines["condition"].map(lambda text: f" ({text})" if text else "")
    yield from outside(lines["error"], names, (0, top), "%")
    yield from nothing(lines["loss"], names, "training loss")


def _top(data: pd.DataFrame) -> float:
    """20 %, as in the paper; where not even one usual network gets below it, where the data have it."""
    test = data[(data["split"] == "test") & data["kind"].isin(overtime.DRAWN)]
    ends = test[(test["kind"] == "mean") & (test["role"] == "usual")].groupby("panel")["error"].last()
    return FAILS if (ends <= FAILS).any() else overtime.top_of(test, ["panel", "role"])


def _finals(data: pd.DataFrame, top: float) -> str:
    """`6.6 → 8.1 % (n = 5)`: final test errors, means over seeds; of a variant without any, how its runs ended."""
    test = data[data["split"] == "test"]
    said, counts = [], []
    for role in ("usual", "variant"):
        mine = test[test["role"] == role]
        ends = mine[mine["kind"] == "mean"].sort_values("iteration").tail(1)
        said += [f"{error:.1f}{'↑' if error > top else ''}" for error in ends["error"]]
        counts += [str(n) for n in ends["n"]]
        if ends.empty:
            said.append("×" if mine["state"].isin(LOST).any() else "–")
    return f"{' → '.join(said)} % (n = {' and '.join(dict.fromkeys(counts)) or 0})"


def _finding(data: pd.DataFrame) -> str:
    """What the panels show: the usual network's final test error, and the best and the worst variant's."""
    means = data[(data["split"] == "test") & (data["kind"] == "mean")].sort_values("iteration")
    ends = means.groupby(["panel", "role"])["error"].last().unstack()
    if not {"usual", "variant"} <= set(ends):
        return ""
    usual, variants = ends["usual"].dropna(), ends["variant"].dropna().sort_values()
    shown = variants.iloc[[0, -1]] if len(variants) > 1 else variants
    told = ", ".join(f"{name} {error:.1f} %" for name, error in shown.items())
    common = f"{usual.min():.1f}" + (f" to {usual.max():.1f}" if usual.max() - usual.min() >= 0.05 else "")
    seeds = int(means["n"].max())
    over = "one seed each" if seeds == 1 else f"up to {seeds} seeds"
    return f"Final test errors: {common} % of the usual network, {told} ({over}). "


def _legend(data: pd.DataFrame, usual: str) -> Iterator[Artist]:
    colour = style.depth_colour(int(data["depth"].dropna().max()))
    yield style.entry(usual, GREY, linewidth=1.6)
    yield style.entry("the panel's variant", colour, linewidth=1.6)
    yield style.entry("test error (right)", linewidth=1.6)
    yield style.entry("training loss (left)", linewidth=0.7, linestyle=style.line_of("train"))
    yield from overtime.seeds_legend(data)
    yield from overtime.values_legend(data["kind"], "He et al. 2016")

"""How fast a machine trains, by way of training, beside what it could do: what `study bench` measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from study.errors import StudyError
from study.plotting import canvas, style
from study.plotting.canvas import Plot
from study.plotting.phrases import listed
from study.stats.planned import require

WAYS = {
    "textbook": ("#8c8c8c", "a DataLoader's loop, in fp32 whatever the precision of the others"),
    "workers": ("#08306b", "as a sweep trains on a CPU, a network on each core; images of all"),
    "run": ("#2171b5", "one network on all cores, with curves, progress and checkpoints"),
    "step": ("#6baed6", "with samples and augmentation alone"),
    "bare": ("#bdd7e7", "forward, backward and SGD on one batch"),
}
MACHINE = ("device", "threads", "torch", "time")
ROW = (
    "networks",
    "lanes",
    "precision",
    "measure",
    "images_per_second",
    "rounds",
    "ratio_to_textbook",
    "share_of_floor",
)
COLUMNS = ["section", *ROW[:4], "row", *ROW[4:], "ceiling", *MACHINE]
BAR, SIZE, SECTION_SIZE = 0.145, 6.3, 6.8  # inches of a row; points
HEADS = {"images_per_second": "images/s", "ratio_to_textbook": "× textbook", "share_of_floor": "of ceiling"}
AT = (0.42, 0.97, 1.44)  # where those columns end, in inches beside the panel


def plot(frame: pd.DataFrame, runs: pd.DataFrame | None = None) -> Plot:
    """Draw the figure.

    Parameters
    ----------
    frame
        Measurements, as `study.read_bench` gives them.
    runs
        Not looked at: the networks are measured on noise, and are no runs.

    Raises
    ------
    StudyError
        A frame that lacks columns, or without a row.
    """
    data = prepare(frame)
    machine = _machine(data)
    title, subtitle = ("images a second", machine) if machine else ("images a second", "several machines")
    notes = list(_notes(frame, data))
    head = canvas.Head(title, subtitle, list(_legend(data)))
    shows = (
        "Images that are trained on in a second, by way of training: medians over rounds in which all ways take turns. Black "
        "strokes: what the machine's matrix product and memory would allow, did they do nothing else. Beside the bars the "
        "speed, its ratio to the textbook loop (a median over rounds, too), and its share of that ceiling."
    )
    parts = [shows, f"Machine: {subtitle}.", *(f"{note[:1].upper()}{note[1:]}." for note in notes)]
    return Plot(draw(data, head, notes), data, "\n\n".join(parts) + "\n")


def prepare(frame: pd.DataFrame) -> pd.DataFrame:
    """A row a bar, in the order of the figure, `row` counting from 0 at the top; `ceiling` in images a second, too."""
    require(frame, (*ROW, *MACHINE), "bench")
    if frame.empty:
        raise StudyError("nothing to draw: the benchmark has no row; `study bench` measures anew")
    table = (
        frame.sort_values("images_per_second", ignore_index=True)
        .drop_duplicates([*MACHINE, *ROW[:4]])
        .reindex(columns=[*ROW, *MACHINE])
    )
    ways = [*WAYS, *sorted(set(table["measure"]) - set(WAYS))]
    keys = table.assign(
        size=table["networks"].map(_last_number),
        way=table["measure"].map(ways.index),
        precise=table["precision"] != "fp32",
    )
    order = [*MACHINE, "lanes", "size", "networks", "precise", "precision", "way"]
    table = table.loc[keys.sort_values(order).index].reset_index(drop=True)
    machines = table[[*MACHINE]].apply(_said, axis=1)
    where = machines.map(lambda text: f" · {text}") if machines.nunique() > 1 else ""
    table["section"] = table["networks"] + ", " + table["precision"] + where
    number = table.groupby([*MACHINE, "networks", "lanes", "precision"], sort=False).ngroup()
    table["row"] = np.arange(len(table)) + number + 1  # a line for each section's title
    share = table["share_of_floor"].where(table["share_of_floor"] > 0)
    table["ceiling"] = (table["images_per_second"] / share).groupby(number).transform("median")
    return table.reindex(columns=COLUMNS)


def _last_number(text: str) -> int:
    """56 of `ResNet-56`: names in the order of their depth."""
    digits = "".join(c if c.isdigit() else " " for c in text).split()
    return int(digits[-1]) if digits else 0


def draw(data: pd.DataFrame, head: canvas.Head, notes: list[str]) -> Figure:
    """The picture of what `prepare` gives."""
    left, right = 0.14 + 0.6 * SIZE / 72 * data["measure"].map(len).max(), AT[-1] + 0.1
    width = max(style.sheet_width(1), left + right + 1.2)
    rows = int(data["row"].max()) + 1
    panel = width - left - right
    page = canvas.sheet([""], 1, head, notes, gap=0, left=left, right=right, width=width, aspect=rows * BAR / panel)
    axes = page.panels[0][0]
    speeds, ceilings = _finite(data["images_per_second"]), _finite(data["ceiling"])
    fastest = speeds.max() if len(speeds) else 1.0
    end = min(max(fastest, ceilings.max() if len(ceilings) else 0), 3 * fastest) * 1.06
    axes.set_xlim(0, end or 1)
    axes.set_ylim(rows - 0.4, -0.6)
    axes.grid(visible=False)
    axes.grid(axis="x", color=style.FAINT, linewidth=0.4)
    canvas.few_ticks(axes.xaxis)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlabel("images a second")
    for way, bars in data.groupby("measure", sort=False):
        here = bars[np.isfinite(bars["images_per_second"].astype(float))]
        colour = WAYS.get(str(way), (style.MUTED,))[0]
        axes.barh(here["row"], here["images_per_second"], 0.8, color=colour, gid=str(way), zorder=2)
    axes.set_yticks(data["row"], data["measure"], size=SIZE)
    axes.tick_params(axis="y", length=0)
    _ceilings(axes, data, end)
    _columns(axes, data)
    return page.figure


def _ceilings(axes: Axes, data: pd.DataFrame, end: float) -> None:
    """Each section's title, and a stroke beside its bars where its ceiling is; an arrow where that is off the panel."""
    for _, section in data.groupby("section", sort=False):
        first, last, ceiling = section["row"].min(), section["row"].max(), section["ceiling"].iloc[0]
        where: dict[str, Any] = {"textcoords": "offset points", "annotation_clip": False}
        axes.annotate(
            section["section"].iloc[0], (0, first - 1), (2, 0), size=SECTION_SIZE, weight="bold", va="center", **where
        )
        if not np.isfinite(ceiling):
            continue
        if ceiling <= end:
            axes.vlines(ceiling, first - 0.45, last + 0.45, colors=style.INK, linewidth=1.2, zorder=3, gid="ceiling")
        else:
            at = (end, (first + last) / 2)
            axes.annotate(f"{ceiling:,.0f} →", at, (-2, 0), size=SIZE, ha="right", va="center", **where)


def _columns(axes: Axes, data: pd.DataFrame) -> None:
    """The numbers beside the bars, under their heads."""
    look: dict[str, Any] = {"size": SIZE, "ha": "right", "va": "center", "annotation_clip": False}
    for (name, title), inches in zip(HEADS.items(), AT, strict=True):
        aside: dict[str, Any] = {"xytext": (inches * 72, 0), "textcoords": "offset points", **look}
        axes.annotate(title, (1, 0), xycoords=("axes fraction", "data"), color=style.MUTED, **aside)
        for row, value in zip(data["row"], data[name], strict=True):
            axes.annotate(_number(name, value), (1, row), xycoords=("axes fraction", "data"), gid=name, **aside)


def _number(name: str, value: Any) -> str:
    if pd.isna(value) or not np.isfinite(float(value)):
        return "–"
    formats = {"images_per_second": "{:,.0f}", "ratio_to_textbook": "{:.2f}", "share_of_floor": "{:.0%}"}
    return formats[name].format(float(value)).replace("%", " %")


def _finite(values: pd.Series) -> pd.Series:
    numbers = values.astype(float)
    return numbers[np.isfinite(numbers)]


def _said(row: pd.Series) -> str:
    threads = f"{row['threads']} thread{'' if row['threads'] == 1 else 's'}"
    return f"{row['device']} · {threads} · torch {row['torch']} · {str(row['time']).replace('T', ' ')[:16]}"


def _machine(data: pd.DataFrame) -> str:
    """What all rows were measured on; empty where there are several machines or times."""
    said = data[[*MACHINE]].apply(_said, axis=1).unique()
    return str(said[0]) if len(said) == 1 else ""


def _notes(frame: pd.DataFrame, data: pd.DataFrame) -> Iterator[str]:
    yield "; ".join(f"{way}: {says}" for way, (_, says) in WAYS.items() if way in set(data["measure"]))
    yield f"medians over {listed(f'{int(n)}' for n in sorted(data['rounds'].unique()))} rounds"
    products = [
        f"{name.removesuffix('_flops')} {frame[name].iloc[0] / 1e9:,.0f}"
        for name in sorted(map(str, frame))
        if _flops(frame, name)
    ]
    if products and _machine(data):
        copy = (
            f"; copy: {frame['copy_bytes_per_second'].iloc[0] / 1e9:,.0f} GB/s"
            if "copy_bytes_per_second" in frame
            else ""
        )
        yield f"ceilings, measured: matrix product in GFLOP/s: {', '.join(products)}{copy}"


def _flops(frame: pd.DataFrame, name: str) -> bool:
    return name.endswith("_flops") and bool(frame[name].notna().all())


def _legend(data: pd.DataFrame) -> Iterator[Artist]:
    if data["ceiling"].notna().any():
        yield Line2D([], [], color=style.INK, marker="|", markersize=8, markeredgewidth=1.2, linestyle="none",
                     label="ceiling: arithmetic or memory alone")  # fmt: skip

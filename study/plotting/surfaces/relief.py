"""The loss over planes through the weights as a relief, network beside network: L18 figure 1."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection
from matplotlib.colors import Colormap, LinearSegmentedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from study.errors import StudyError, nearest
from study.plotting.base import canvas
from study.plotting.base.page import Plot
from study.plotting.surfaces import frames as surfaces
from study.plotting.surfaces import panels as planes
from study.plotting.surfaces.box import Box, View, cage
from study.plotting.surfaces.frames import SPLITS, Shown, is_finite, shown
from study.plotting.surfaces.lattice import Floats, lattice, refined, triangles
from study.plotting.surfaces.line1d import SCALES, TALL
from study.plotting.surfaces.panels import Place
from study.text import counted

FLOOR = 0.42  # how far below the lowest point of all the contours lie, in heights of the relief
HEIGHT = 0.85  # of the box, over its longer side
LIGHT = np.array([-0.45, -0.35, 0.82])  # where it comes from, in the box
DARKEST = 0.5  # how bright a face is that turns away from it
MESH = 0.72  # how bright the lines between points are, beside their faces
HANG = 0.15  # inches that boxes hang down
MANY = 4000  # faces beyond which they are pixels in PDF and SVG, lest files have megabytes
TICKS = {"loss": [0.1, 0.2, 0.5, 1, 2, 5], "error": planes.LEVELS["error"]}


def plot(
    frame: pd.DataFrame,
    runs: pd.DataFrame | None = None,
    *,
    of: str = "loss",
    split: str = "train",
    scale: str = "auto",
    top: float | None = None,
    plane: str | None = None,
    number: int | None = None,
    seed: int | None = None,
    elev: float = 30,
    azim: float = -58,
) -> Plot:
    """Draw the figure: a column for each network, a row for each kind of BN statistics, as `contours` has them.

    Parameters
    ----------
    frame
        Surfaces, as `study.read_surfaces` gives them; those of two dimensions are drawn.
    runs
        As `study.plotting.figure` takes it.
    of
        `loss` (nats) or `error` (percent).
    split
        `train` or `test`.
    scale
        Of the height: `linear`, `log`, or `auto`: log of a loss that exceeds 20 nats anywhere, else linear.
    top
        Where the height ends, in nats or percent: what is above stands there, and is named.
    plane, number, seed
        Which of several surfaces of a network; by default the first.
    elev, azim
        Whence it is seen: above the ground, and around it from α to β; degrees.

    Raises
    ------
    StudyError
        A frame that can't feed the figure, an unknown option's value, or no surface that fits.
    """
    planes.check(of, split)
    _check(scale, top, elev)
    says = {split: f"{SPLITS[split]} {of} of {{}} images"}
    evidence = shown(frame, runs, 2, says, plane=plane, number=number, seed=seed)
    if scale == "auto":
        scale = "log" if of == "loss" and heights(evidence.points[of], "linear", top).max() > TALL else "linear"
    evidence = evidence._replace(points=evidence.points.assign(height=heights(evidence.points[of], scale, top)))
    notes = [
        *surfaces.without_value(evidence.points, of),
        *_moved(evidence.points, of, scale),
        *planes.beyond(evidence.points, of),
        *evidence.notes,
    ]
    evidence = evidence._replace(notes=notes)
    data = prepare(evidence, of)
    shows = (
        f"{SPLITS[split].capitalize()} {planes.UNITS[of]} over planes through the weights of each network, which stands at "
        f"(0, 0), as height, on a {scale} scale that the networks of a row share. On the floor its contours, at "
        f"{planes.levels_in_words(of)}. Star: the smallest value that was measured. Gaps, hatched on the floor: no finite "
        "value."
    )
    return Plot(draw(data, evidence, of, scale, View(elev, azim)), data, surfaces.caption_of(shows, evidence))


def _check(scale: str, top: float | None, elev: float) -> None:
    if scale not in SCALES:
        raise StudyError(f"unknown scale '{scale}'{nearest(str(scale), SCALES)}")
    if top is not None and not 0 < top < math.inf:
        raise StudyError(f"top must be a positive number, not {top}")
    if not 0 < elev <= 90:
        raise StudyError(f"elev must be above 0 and at most 90 degrees, not {elev}: the contours are seen from above")


def heights(values: pd.Series, scale: str, top: float | None) -> pd.Series:
    """Where each value stands: itself or its decimal logarithm, at most that of `top`; NaN where it is not finite.

    The logarithm of what is not above 0 is that of the smallest value that is.
    """
    finite = values.astype(float).where(is_finite(values)).clip(upper=top)
    if scale == "linear":
        return finite
    least = finite[finite > 0].min()
    return finite.clip(lower=1.0 if math.isnan(least) else least).map(math.log10)


def prepare(evidence: Shown, of: str) -> pd.DataFrame:
    """Every point that is drawn, with its `height`, and for each panel the lowest once more, as kind `minimum`."""
    points = evidence.points.assign(kind="point")
    return pd.concat([points, planes.lowest(points, of)], ignore_index=True)[[*planes.COLUMNS, of, "height"]]


def draw(data: pd.DataFrame, evidence: Shown, of: str, scale: str, view: View) -> Figure:
    """The picture of what `prepare` gives."""
    points = evidence.points
    lost = not is_finite(points[of]).all()
    head = canvas.Head(evidence.title, evidence.subtitle, list(_legend(of, lost)))
    spans = {row: _span(points.loc[points["row"] == row, "height"], scale) for row in evidence.rows}
    boxes = {
        name: _box(own.iloc[0], spans[own["row"].iloc[0]], view)
        for name, own in points.groupby("surface_id", sort=False)
    }
    width = planes.panel_width(len(evidence.columns))
    aspect = max(box.aspect for box in boxes.values()) - HANG / width
    page, places = planes.laid_out(evidence, head, evidence.notes, aspect=aspect)
    for place in places:
        _lowered(place.axes, page.figure)
        here = data[(data["row"] == place.row) & (data["column"] == place.column)]
        box = boxes[here["surface_id"].iloc[0]]
        _cage(place, box, of, scale, width)
        own = points[points["surface_id"] == here["surface_id"].iloc[0]].reset_index(drop=True)
        _panel(place, box, own, of, rasterised=len(points) > MANY)
        for low in here[here["kind"] == "minimum"].to_dict("records"):
            x, y = box.seen(np.array([low["alpha"], low["beta"], box.spans[2][0]]))
            place.axes.plot(x, y, zorder=3, gid="minimum", clip_on=False, **planes.MINIMUM)
            planes.remark(place, "min", f"{low[of]:.2g}")
    planes.bar(page, ScalarMappable(*_colouring(of)), TICKS[of], planes.UNITS[of], extend="both")
    return page.figure


def _cage(place: Place, box: Box, of: str, scale: str, width: float) -> None:
    """What stands around the relief; `width` of the panel in inches."""
    name = planes.UNITS[of] + (", log scale" if scale == "log" else "")
    (left, right), _ = box.extent
    marks = partial(_marks, scale=scale)
    cage(place.axes, box, marks, FLOOR / (1 + FLOOR), name if place.first else "", width / (right - left))


def _lowered(axes: Axes, figure: Figure) -> None:
    """Let a panel hang down into the room for labels of an axis: none are below the box's nearest corner."""
    room, down = axes.get_position(), HANG / figure.get_figheight()
    axes.set_position((room.x0, room.y0 - down, room.width, room.height + down))


def _span(row: pd.Series, scale: str) -> tuple[float, float]:
    """From the floor to the highest point of a row of panels."""
    low, high = (float(row.min()), float(row.max())) if row.notna().any() else (0.0, 1.0)
    low = min(low, 0.0) if scale == "linear" else low
    high = high if high > low else low + 1.0
    return low - FLOOR * (high - low), high


def _box(surface: pd.Series, span: tuple[float, float], view: View) -> Box:
    a, b = ((float(surface[f"range_{axis}_low"]), float(surface[f"range_{axis}_high"])) for axis in "ab")
    return Box((a, b, span), HEIGHT, view)


def _panel(place: Place, box: Box, points: pd.DataFrame, of: str, rasterised: bool) -> None:
    """A relief above its contours."""
    axes = place.axes
    axes.set_title(place.column, loc="left", pad=4)
    planes.bands(axes, points, of, transform=box.ground + axes.transData)
    corners = triangles(points) if refined(points) else planes.whole_cells(lattice(points).place)
    corners = corners[points["height"].notna().to_numpy()[corners].all(axis=1)]
    if len(corners):
        where = points[["alpha", "beta", "height"]].to_numpy(float)[corners]
        order = np.argsort(box.nearness(where.mean(axis=1)), kind="stable")  # what is near is drawn last
        faces = _colours(points[of].to_numpy(float)[corners], of)
        faces[:, :3] *= _light(box, where)[:, None]
        lines = faces * [MESH, MESH, MESH, 1]
        axes.add_collection(
            PolyCollection(
                list(box.seen(where)[order]), facecolors=faces[order], edgecolors=lines[order], linewidths=0.2, zorder=4,
                rasterized=rasterised, clip_on=False, gid="relief",
            ),
            autolim=False,
        )  # fmt: skip
    (left, right), (bottom, top) = box.extent
    axes.set(xlim=(left, right), ylim=(bottom, top))


def _colours(values: Floats, of: str) -> Floats:
    """(N, 4) the colour of each face, by the mean of its corners' values (N, K) or of their logarithms."""
    norm, colours = _colouring(of)
    values = np.maximum(values, 1e-12)
    middle = np.exp(np.log(values).mean(axis=1)) if of == "loss" else values.mean(axis=1)
    found: Floats = colours(norm(middle))
    return found


def _light(box: Box, where: Floats) -> Floats:
    """(N,) how bright faces with corners (N, K, 3) are, after Lambert."""
    inside = box.within(where)
    upright = np.cross(inside[:, 1] - inside[:, 0], inside[:, -1] - inside[:, 0])  # corners are counter-clockwise
    facing = upright @ LIGHT / np.linalg.norm(upright, axis=1) / np.linalg.norm(LIGHT)
    bright: Floats = DARKEST + (1 - DARKEST) * np.clip(facing, 0, 1)
    return bright


def _colouring(of: str) -> tuple[Normalize, Colormap]:
    """The colours of `contours` without steps, over the range of its levels."""
    base = matplotlib.colormaps["viridis"]
    colours = LinearSegmentedColormap.from_list("bands", base(np.linspace(0.06, 0.94, 256)))
    norm = (LogNorm if of == "loss" else Normalize)(planes.LEVELS[of][0], planes.LEVELS[of][-1])
    return norm, colours.with_extremes(under=base(0.0), over=base(1.0))


def _marks(low: float, high: float, scale: str) -> list[tuple[float, str]]:
    """Heights between two, and what is written at them."""
    if scale == "linear":
        return [(height, f"{height:g}") for height in canvas.few(low, high)]
    whole = range(math.floor(low), math.ceil(high) + 1)
    if high - low < 2.5:
        found = [(h + math.log10(digit), f"{digit * 10.0**h:g}") for h in whole for digit in (1, 3)]
    else:
        step = math.ceil((high - low) / 4)
        found = [(float(h), f"{10.0**h:g}" if -3 < h < 3 else f"$10^{{{h}}}$") for h in whole if h % step == 0]
    return [(height, text) for height, text in found if low <= height <= high]


def _moved(points: pd.DataFrame, of: str, scale: str) -> Iterator[str]:
    """Notes on points that do not stand where their values are."""
    finite = points[is_finite(points[of])]
    stands = 10 ** finite["height"] if scale == "log" else finite["height"]
    for where, said in (
        (finite[of] > stands * (1 + 1e-9), f"drawn at {stands.max():.3g}, though above it"),
        (finite[of] < stands * (1 - 1e-9), f"drawn at {stands.min():.3g}, the smallest above 0"),
    ):
        groups = finite[where].groupby(["row", "column"], sort=False)
        names = [f"{surfaces.named(group)} at {counted(len(group), 'point')}" for _, group in groups]
        if names:
            yield f"{said}: {'; '.join(names)}"


def _legend(of: str, lost: bool) -> Iterator[Artist]:
    yield Line2D([], [], label=f"smallest {of} that was measured", **planes.MINIMUM)
    if lost:
        yield Patch(label=f"no finite {of}", **planes.HATCH)

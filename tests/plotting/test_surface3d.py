"""The surface3d figure against the surfaces that it was drawn from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure

import study.plotting
from study.errors import StudyError
from study.plotting.base.style import styled
from study.plotting.surfaces import relief as surface3d
from study.plotting.surfaces.box import Box, View
from study.plotting.surfaces.frames import shown
from study.plotting.surfaces.lattice import triangles
from study.plotting.surfaces.relief import FLOOR, HEIGHT

from .boxes import unreadable
from .planes import four, surface, together

SEEN = View(30, -58)


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.texts).replace("\n", " ")


def panels(figure: Figure) -> dict[str, Axes]:
    return {axes.get_title("left"): axes for axes in figure.axes if axes.get_label() != "colour bar"}


def relief(axes: Axes) -> PolyCollection:
    return next(artist for artist in axes.collections if artist.get_gid() == "relief")


def faces(axes: Axes) -> np.ndarray:
    """(N, K, 2) corners of the faces, in the order in which they are drawn."""
    return np.stack([path.vertices[:-1] for path in relief(axes).get_paths()])


def box(data: pd.DataFrame, view: View = SEEN) -> Box:
    low, high = data["height"].min(), data["height"].max()
    return Box(((-1, 1), (-1, 1), (low - FLOOR * (high - low), high)), HEIGHT, view)


def written(axes: Axes) -> set[str]:
    return {text.get_text() for text in axes.texts if text.get_text()}


def test_the_picture_shows_exactly_the_data() -> None:
    frame = surface(shape=(5, 5)).assign(loss=lambda rows: 0.1 + rows["loss"] / rows["loss"].max())
    plot = surface3d.plot(frame, scale="log")
    points = plot.data[plot.data["kind"] == "point"]
    np.testing.assert_allclose(10 ** points["height"], points["loss"])
    assert list(points["loss"]) == list(frame[frame["split"] == "train"]["loss"])
    drawn = faces(plot.figure.axes[0])
    assert drawn.shape == (16, 4, 2)
    wanted = box(points).seen(points[["alpha", "beta", "height"]].to_numpy())
    found = {tuple(place) for place in np.round(drawn.reshape(-1, 2), 9)}
    assert found == {tuple(place) for place in np.round(wanted, 9)}


@pytest.mark.parametrize("azim", [-58, 31, 130, 250])
def test_what_is_near_is_drawn_last(azim: float) -> None:
    frame = surface(shape=(5, 5)).assign(loss=1.0)  # flat: what is lower in the picture is nearer
    heights = faces(surface3d.plot(frame, scale="linear", azim=azim).figure.axes[0])[:, :, 1].mean(axis=1)
    assert (np.diff(heights) < 1e-9).all() and heights[0] > heights[-1]


def test_the_floor_has_the_contours_of_the_same_points() -> None:
    slope = surface(shape=(5, 5))
    slope["loss"] = 2 + slope["alpha"]
    plot = surface3d.plot(slope)
    axes = plot.figure.axes[0]
    lines = next(artist for artist in axes.collections if isinstance(artist, ContourSet))
    assert lines.levels[0] == 0.1
    to_picture = lines.get_transform() - axes.transData
    place = box(plot.data.assign(height=plot.data["height"].where(plot.data["kind"] == "point", 0.0)))
    floor = place.spans[2][0]
    for level, path in zip(lines.levels, lines.get_paths(), strict=True):
        if 1 < level < 3:
            np.testing.assert_allclose(path.vertices[:, 0], level - 2, atol=1e-9)
            wanted = place.seen(np.column_stack([path.vertices, np.full(len(path.vertices), floor)]))
            np.testing.assert_allclose(to_picture.transform(path.vertices), wanted, atol=1e-9)


def test_heights_of_a_row_compare() -> None:
    """A loss that is ten times as large stands one decade higher, in another panel too."""
    one = surface(shape=(5, 5))
    other = surface("residual", shape=(5, 5)).assign(loss=one["loss"] * 10)
    figure = surface3d.plot(together(one, other)).figure
    low, high = (faces(axes) for axes in panels(figure).values())
    up = (high - low).reshape(-1, 2)
    assert np.allclose(up[:, 0], 0) and np.allclose(up[:, 1], up[0, 1]) and up[0, 1] > 0.05


def test_rows_of_bn_statistics_have_heights_of_their_own() -> None:
    frame = four(("frozen", "recalibrated"), shape=(5, 5))
    frame.loc[frame["bn"] == "frozen", "loss"] *= 1e6
    tops = [faces(axes)[:, :, 1].max() for axes in surface3d.plot(frame).figure.axes[:8]]
    assert max(tops[:4]) == pytest.approx(max(tops[4:]), abs=0.2)


def test_the_scale_follows_the_range_and_is_said() -> None:
    low, high = surface(shape=(5, 5)), surface(shape=(5, 5))
    low["loss"] = 1.0 + low["alpha"] ** 2
    high["loss"] = 1.0 + 1e4 * high["alpha"] ** 2
    flat, steep = surface3d.plot(low), surface3d.plot(high)
    assert list(flat.data["height"]) == list(flat.data["loss"]) and "loss (nats)" in written(flat.figure.axes[0])
    np.testing.assert_allclose(steep.data["height"], np.log10(steep.data["loss"]))
    assert {"loss (nats), log scale", "1", "$10^{4}$"} <= written(steep.figure.axes[0])
    assert "on a log scale" in steep.caption and "on a linear scale" in flat.caption
    assert list(surface3d.plot(high, top=10).data["height"]) == list(np.minimum(steep.data["loss"], 10))


def test_points_without_a_finite_loss_are_gaps_hatched_on_the_floor_and_named() -> None:
    frame = surface(shape=(5, 5))
    for value in (np.nan, np.inf, -np.inf):
        frame.loc[(frame["i"] == 2) & (frame["j"] == 2), "loss"] = value
        plot = surface3d.plot(frame)
        axes = plot.figure.axes[0]
        assert len(faces(axes)) == 12
        assert [patch.get_gid() for patch in axes.patches] == ["no finite value"]
        assert "no finite loss: plain-20 at 1 of 25 points" in texts(plot.figure)
        assert "No finite loss: plain-20 at 1 of 25 points." in plot.caption
        assert plot.data.loc[plot.data["kind"] == "point", "height"].isna().sum() == 1


def test_missing_points_are_gaps_and_named() -> None:
    frame = surface(shape=(5, 5))
    figure = surface3d.plot(frame[~((frame["i"] == 2) & (frame["j"] == 2))]).figure
    assert len(faces(figure.axes[0])) == 12 and not figure.axes[0].patches
    assert "incomplete: plain-20 has 24 of 25 points" in texts(figure)


def test_what_is_not_drawn_at_its_height_is_named() -> None:
    frame = four(shape=(5, 5))
    plain56 = (frame["depth"] == 56) & (frame["network"] == "plain")
    frame.loc[plain56 & (frame["i"] == 1) & (frame["j"] == 1), "loss"] = 0.0
    plot = surface3d.plot(frame, scale="log", top=5.0)
    count = int((plain56 & (frame["split"] == "train") & (frame["loss"] > 5) & (frame["loss"] < np.inf)).sum())
    least = frame.loc[(frame["split"] == "train") & (frame["loss"] > 0), "loss"].min()
    said = texts(plot.figure)
    assert "drawn at 5, though above it: plain-20 at" in said and f"; plain-56 at {count} points" in said
    assert f"drawn at {least:.3g}, the smallest above 0: plain-56 at 1 point" in said
    assert plot.data["height"].max() == pytest.approx(np.log10(5)) and plot.data["loss"].max() > 5
    assert "drawn at" not in texts(surface3d.plot(frame[frame["loss"] > 0]).figure)


def test_a_refined_surface_is_drawn_from_triangles_between_all_points() -> None:
    frame = surface(shape=(5, 3), refine=2)
    points = shown(frame, None, 2, {"train": ""}).points
    drawn = faces(surface3d.plot(frame).figure.axes[0])
    assert drawn.shape == (len(triangles(points)), 3, 2)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
@pytest.mark.parametrize("scale", ["linear", "log"])
def test_surfaces_without_any_height_draw(value: float, scale: str) -> None:
    assert surface3d.plot(surface(shape=(5, 3)).assign(loss=value), scale=scale).figure.axes


def test_the_smallest_is_marked_on_the_floor() -> None:
    frame = surface(shape=(5, 5))
    frame.loc[(frame["i"] == 3) & (frame["j"] == 0), "loss"] = 0.001
    plot = surface3d.plot(frame)
    axes = plot.figure.axes[0]
    star = next(line for line in axes.lines if line.get_gid() == "minimum")
    place = box(plot.data)
    np.testing.assert_allclose(star.get_xydata()[0], place.seen(np.array([0.5, -1.0, place.spans[2][0]])))
    assert axes.get_title("right") == "min 0.001"


def test_many_faces_are_pixels_in_vector_formats(tmp_path: Path) -> None:
    few, many = surface(shape=(21, 21)), together(*(surface(n, shape=(61, 61)) for n in ("plain", "residual")))
    assert not relief(surface3d.plot(few).figure.axes[0]).get_rasterized()
    assert relief(surface3d.plot(many).figure.axes[0]).get_rasterized()
    svg = study.plotting.save("surface3d", many, None, tmp_path, formats=("svg",))[0]
    assert svg.stat().st_size < 1_500_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"of": "los"}, "unknown quantity 'los'; did you mean 'loss'?"),
        ({"scale": "lin"}, "unknown scale 'lin'; did you mean 'linear'?"),
        ({"top": 0}, "top must be a positive number, not 0"),
        ({"elev": -5}, "elev must be above 0 and at most 90 degrees, not -5: the contours are seen from above"),
        ({"seed": 3}, "no surface has seed 3; there are 0"),
    ],
)
def test_what_can_not_be_is_refused(options: dict[str, str | int], message: str) -> None:
    with pytest.raises(StudyError) as caught:
        surface3d.plot(surface(shape=(5, 3)), **options)  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_nothing_to_draw(planes: pd.DataFrame) -> None:
    with pytest.raises(StudyError, match="no surface has been measured"):
        surface3d.plot(planes.iloc[:0])
    with pytest.raises(StudyError, match="no surface has 2 dimensions"):
        surface3d.plot(planes[planes["dims"] == 1])


def test_a_box_keeps_lengths_across_and_knows_its_front() -> None:
    place = Box(((0, 4), (10, 12), (0, 1)), 0.8, View(90, -90))  # from above, the first axis to the right
    np.testing.assert_allclose(
        place.seen(np.array([[0, 10, 0], [4, 10, 1], [0, 12, 0]])), [[0, 0], [1, 0], [0, 0.5]], atol=1e-12
    )
    assert Box(((0, 1),) * 3, 1, View(30, -58)).front == (1, 0)
    assert Box(((0, 1),) * 3, 1, View(30, 130)).front == (0, 1)


@pytest.mark.parametrize("count", [1, 2, 4, 6])
@pytest.mark.parametrize("style", ["paper", "talk"])
def test_no_text_overlaps_or_is_cut_off(count: int, style: str) -> None:
    depths = (8, 20, 56, 110, 164, 1202)[:count]
    with styled(style):
        frame = together(*[surface("residual", depth, shape=(5, 5)) for depth in depths])
        assert unreadable(surface3d.plot(frame).figure) == []

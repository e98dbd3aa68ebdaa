"""The line1d figure against the surfaces that it was drawn from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from study.errors import StudyError
from study.plotting.surfaces import line1d

from .planes import four, surface, together


def lines(figure: Figure, name: str) -> dict[str, Line2D]:
    """gid -> line, of a network's two axes."""
    left = next(axes for axes in figure.axes if axes.get_title("left") == name)
    both: list[Axes] = [axes for axes in figure.axes if axes.bbox.bounds == left.bbox.bounds]
    return {str(line.get_gid()): line for axes in both for line in axes.lines}


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.texts)


def test_the_picture_shows_exactly_the_data(planes: pd.DataFrame) -> None:
    plot = line1d.plot(planes)
    assert set(plot.data["surface_id"]) == set(planes[planes["dims"] == 1]["surface_id"])
    for name, network in plot.data.groupby("column"):
        drawn = lines(plot.figure, str(name))
        for split, points in network.groupby("split"):
            for column in ("loss", "error"):
                wanted = points[column].where(np.isfinite(points[column]))
                np.testing.assert_array_equal(drawn[f"{split} {column}"].get_xdata(), points["alpha"])
                np.testing.assert_array_equal(drawn[f"{split} {column}"].get_ydata(), wanted)


def test_loss_is_solid_and_error_is_dashed_on_the_right_axis(planes: pd.DataFrame) -> None:
    drawn = lines(line1d.plot(planes).figure, "ResNet-20")
    assert [drawn[f"train {column}"].get_linestyle() for column in ("loss", "error")] == ["-", "--"]
    assert drawn["train loss"].axes is not drawn["train error"].axes
    assert drawn["train error"].axes.get_ylim() == (0, 100)
    colours = {split: drawn[f"{split} loss"].get_color() for split in ("train", "test")}
    assert colours["train"] != colours["test"]


def test_points_without_a_finite_loss_stand_at_the_top_and_are_named() -> None:
    frame = surface(shape=(5, 1))
    frame.loc[(frame["i"] == 3) & (frame["split"] == "train"), "loss"] = np.inf
    figure = line1d.plot(frame).figure
    drawn = lines(figure, "plain-20")
    assert drawn["train lost"].get_xydata().tolist() == [[0.5, 1]]
    assert np.isnan(drawn["train loss"].get_ydata()[3])
    assert drawn["train loss"].get_markevery() == [4]  # the last point, to which no line goes
    assert "no finite loss: plain-20 at 1 of 5 points of split train" in texts(figure)


def test_no_line_spans_missing_points() -> None:
    for refine, missing in ((0, 2), (1, 4)):
        frame = surface(shape=(5, 1), refine=refine)
        near = (frame["i"] - missing).abs() < 2**refine  # its finer neighbours too
        figure = line1d.plot(frame[~near]).figure
        x = lines(figure, "plain-20")["train loss"].get_xdata()
        assert np.isnan(x).sum() == 1
        assert "incomplete: plain-20 has 4 of 5 points of split test" in texts(figure)


def test_refined_points_are_drawn_in_order() -> None:
    frame = surface(shape=(5, 1), refine=2)
    x = lines(line1d.plot(frame.sample(frac=1, random_state=3)).figure, "plain-20")["test loss"].get_xdata()
    assert len(x) > 5 and not np.isnan(x).any() and (np.diff(x) > 0).all()


def test_the_scale_follows_the_losses_unless_told() -> None:
    calm, wild = surface("residual", 20, shape=(9, 1)), surface("plain", 56, shape=(9, 1))
    assert line1d.plot(calm).figure.axes[0].get_yscale() == "linear"
    assert line1d.plot(together(calm, wild)).figure.axes[0].get_yscale() == "log"
    assert line1d.plot(calm, scale="log").figure.axes[0].get_yscale() == "log"
    with pytest.raises(StudyError, match="unknown scale 'lgo'"):
        line1d.plot(calm, scale="lgo")


def test_all_panels_share_their_scales() -> None:
    figure = line1d.plot(four(("frozen", "batch"), shape=(9, 1))).figure
    named = [axes for axes in figure.axes if axes.get_title("left")]
    assert len(named) == 8 and len({axes.get_ylim() for axes in named}) == 1


def test_interpolations_mark_both_networks() -> None:
    figure = line1d.plot(surface(shape=(5, 1), plane="interpolate")).figure
    marks = [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_gid() == "network"]
    assert marks == [0, 1] and "α = 0 and 1: the two trained networks." in texts(figure)


def test_a_surface_of_zeros_or_of_nothing_finite_draws() -> None:
    for value in (0.0, np.nan, np.inf):
        for scale in ("auto", "log"):
            line1d.plot(surface(shape=(5, 1)).assign(loss=value), scale=scale)


def test_planes_are_left_out(planes: pd.DataFrame) -> None:
    assert "left out, with 2 dimensions: plain-20" in texts(line1d.plot(planes).figure)
    with pytest.raises(StudyError, match="no surface has 1 dimensions; the figure contours draws the others"):
        line1d.plot(planes[planes["dims"] == 2])

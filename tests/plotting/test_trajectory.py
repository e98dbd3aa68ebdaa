"""The trajectory figure against the surfaces that it was drawn from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure

from study.errors import StudyError
from study.plotting.base.style import styled
from study.plotting.surfaces import trajectory

from .bends import four, way
from .boxes import unreadable
from .planes import surface, together


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.texts).replace("\n", " ")


def drawn(axes: Axes) -> dict[str, np.ndarray]:
    """gid -> (x, y) of the lines of a panel."""
    return {str(line.get_gid()): line.get_xydata() for line in axes.lines}


def small(**fields: object) -> pd.DataFrame:
    return way(shape=(5, 3), snapshots=9, **fields)  # type: ignore[arg-type]


def snapshots(frame: pd.DataFrame) -> pd.Series:
    return frame["iteration"].notna()


def test_the_picture_shows_exactly_the_data() -> None:
    frame = four(way, shape=(5, 3), snapshots=9)
    plot = trajectory.plot(frame, split="test")
    wanted = frame[frame["split"] == "test"]
    assert len(plot.data) == len(wanted) and set(plot.data["split"]) == {"test"}
    assert list(plot.data["kind"].value_counts()[["point", "snapshot"]]) == [60, 36]
    merged = plot.data.merge(wanted, on=["surface_id", "iteration", "i", "j"], suffixes=("", "_wanted"))
    assert len(merged) == len(wanted)
    for column in ("alpha", "beta", "loss", "residual", "explained_a"):
        np.testing.assert_array_equal(merged[column], merged[f"{column}_wanted"])
    panels = {axes.get_title("left"): axes for axes in plot.figure.axes[:4]}
    assert list(panels) == ["plain-20", "plain-56", "ResNet-20", "ResNet-56"]
    for name, axes in panels.items():
        steps = plot.data[(plot.data["column"] == name) & (plot.data["kind"] == "snapshot")]
        np.testing.assert_array_equal(drawn(axes)["way"], steps[["alpha", "beta"]])
        assert steps["iteration"].is_monotonic_increasing
        np.testing.assert_array_equal(drawn(axes)["start"][0], steps[["alpha", "beta"]].iloc[0])
        assert drawn(axes)["end"].tolist() == [[0, 0]]
        assert any(isinstance(artist, ContourSet) for artist in axes.collections)


def test_snapshots_are_no_points_of_the_lattice() -> None:
    frame = small()
    frame.loc[snapshots(frame), "loss"] = 1e9
    lines = next(
        artist for artist in trajectory.plot(frame).figure.axes[0].collections if isinstance(artist, ContourSet)
    )
    assert lines.zmax < 1e3


def test_drops_are_marked_at_the_first_snapshot_from_there_on() -> None:
    plot = trajectory.plot(small())  # a snapshot every 8,000 iterations
    marked = plot.data[plot.data["milestone"].notna()]
    assert marked[["milestone", "iteration"]].to_numpy().tolist() == [[32_000, 32_000], [48_000, 48_000]]
    np.testing.assert_array_equal(drawn(plot.figure.axes[0])["drops"], marked[["alpha", "beta"]])
    between = small()
    between["recipe.schedule.at"] = [np.array([100, 33_000, 90_000])] * len(between)
    marked = trajectory.plot(between).data.dropna(subset="milestone")
    assert marked[["milestone", "iteration"]].to_numpy().tolist() == [[100, 8_000], [33_000, 40_000]]


@pytest.mark.parametrize("change", ["plateau", "none", "unknown"])
def test_recipes_without_milestones_have_no_marks_and_say_so(change: str) -> None:
    frame = small()
    if change == "unknown":
        frame = frame.drop(columns=["recipe.schedule.at", "recipe.schedule"])
    else:
        frame["recipe.schedule.at"] = [[]] * len(frame)
        frame["recipe.schedule"] = "plateau" if change == "plateau" else "milestones"
    plot = trajectory.plot(frame)
    assert plot.data["milestone"].isna().all() and not len(drawn(plot.figure.axes[0])["drops"])
    assert "no drop of the learning rate is marked, for the recipe names none: plain-20" in texts(plot.figure)
    assert "learning rate drops" not in [text.get_text() for text in plot.figure.legends[0].get_texts()]


def test_axes_say_what_share_lies_along_them_and_the_note_what_lies_off() -> None:
    plot = trajectory.plot(small())
    axes = plot.figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("α (81.0 %)", "β (12.5 %)")
    said = "farthest off the plane, in the axes' unit: plain-20: 0.3 at iteration 32,000"
    assert said in texts(plot.figure) and said[1:] in plot.caption
    unknown = small().assign(explained_a=np.nan, explained_b=np.nan)
    assert trajectory.plot(unknown).figure.axes[0].get_xlabel() == "α"


def test_axes_hold_the_lattice_and_every_snapshot() -> None:
    frame = small()
    frame.loc[snapshots(frame) & (frame["iteration"] == 0), "alpha"] = 3.0
    axes = trajectory.plot(frame).figure.axes[0]
    assert axes.get_xlim()[0] == pytest.approx(-0.3) and axes.get_xlim()[1] > 3
    assert axes.get_ylim()[0] < frame["beta"].min() and axes.get_aspect() == 1


def test_a_thin_plane_is_not_to_scale_and_says_so() -> None:
    frame = small()
    frame[["beta", "range_b_low", "range_b_high"]] *= 0.05
    figure = trajectory.plot(frame).figure
    assert figure.axes[0].get_aspect() == "auto" and "α and β are not drawn to one scale" in texts(figure)
    assert "one scale" not in texts(trajectory.plot(small()).figure)


def test_a_trajectory_without_snapshots_draws_and_is_named() -> None:
    frame = together(small(), small(network="residual"))
    lost = snapshots(frame) & (frame["network"] == "residual")
    plot = trajectory.plot(frame[~lost])
    assert "no snapshot has been measured: ResNet-20" in texts(plot.figure)
    assert drawn(plot.figure.axes[0]) and not drawn(plot.figure.axes[1])


def test_other_surfaces_are_no_concern_of_it_and_networks_without_one_are_named() -> None:
    frame = together(small(), surface("residual", shape=(5, 5)), surface(shape=(5, 5)))
    runs = frame.drop_duplicates("run_id")
    figure = trajectory.plot(frame, runs).figure
    assert [axes.get_title("left") for axes in figure.axes[:-1]] == ["plain-20"]
    assert "without a trajectory: ResNet-20" in texts(figure) and "not shown" not in texts(figure)


def test_of_several_seeds_the_first_is_shown_and_the_others_are_named() -> None:
    frame = together(small(seed=1), small(seed=0))
    assert set(trajectory.plot(frame).data["seed"]) == {0} and set(trajectory.plot(frame, seed=1).data["seed"]) == {1}
    assert "not shown: 1 more surface of these networks (seed 1); seed= to choose" in texts(
        trajectory.plot(frame).figure
    )


def test_the_order_of_a_network_is_no_order_of_panels() -> None:
    """Runs have a field called order, too."""
    frame = four(way, shape=(5, 3), snapshots=9)
    frame["order"] = frame["network"].map({"plain": "pre", "residual": "original"})
    data = trajectory.plot(frame).data
    assert data.loc[data["kind"] == "snapshot", "column"].iloc[0].startswith("plain-20")


def test_lattices_without_a_finite_value_draw() -> None:
    frame = small()
    frame.loc[~snapshots(frame), "loss"] = np.nan
    figure = trajectory.plot(frame).figure
    assert "no finite loss: plain-20 at 15 of 15 points" in texts(figure) and drawn(figure.axes[0])["way"].shape == (
        9,
        2,
    )


def test_nothing_to_draw(planes: pd.DataFrame) -> None:
    with pytest.raises(StudyError, match="no surface has been measured"):
        trajectory.plot(pd.DataFrame())
    with pytest.raises(StudyError, match="no surface is of a trajectory's plane; `study surface SWEEP --plane pca`"):
        trajectory.plot(planes.assign(explained_a=np.nan, explained_b=np.nan))
    with pytest.raises(StudyError, match="the surfaces frame lacks explained_a, explained_b"):
        trajectory.plot(planes)
    with pytest.raises(StudyError, match="unknown split 'tets'; did you mean 'test'"):
        trajectory.plot(small(), split="tets")
    with pytest.raises(StudyError, match="no surface has seed 7; there are 0"):
        trajectory.plot(small(), seed=7)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("style", ["paper", "talk"])
def test_no_text_overlaps_or_is_cut_off(count: int, style: str) -> None:
    with styled(style):
        frame = together(*[small(network="residual", depth=depth) for depth in (20, 56, 1202)[:count]])
        assert unreadable(trajectory.plot(frame).figure) == []


@pytest.mark.parametrize(("centred", "word"), [(True, "centred"), (False, "uncentred"), (None, "uncentred")])
def test_it_says_whether_the_directions_are_centred(centred: bool | None, word: str) -> None:
    frame = way()
    if centred is not None:  # older tables do not say
        frame["centred"] = centred
    plot = trajectory.plot(frame)
    assert f"plane: principal components, {word}" in texts(plot.figure).replace("\n", " ")
    assert ("they are not centred" in plot.caption) != ("the mean of the snapshots is subtracted first" in plot.caption)
    assert ("they are not centred" in plot.caption) == (word == "uncentred")


def test_of_both_the_one_of_the_papers_code_is_drawn_and_the_other_named() -> None:
    both = together(way().assign(centred=False), way().assign(centred=True, surface_id="other-000000000000"))
    plot = trajectory.plot(both)
    assert "principal components, centred" in texts(plot.figure) and "(pca uncentred)" in texts(plot.figure)


def test_a_trajectory_in_a_given_plane_is_drawn_and_named() -> None:
    frame = way()
    frame["plane"], frame["normalisation"] = "random", "filter"
    frame[["explained_a", "explained_b"]] = float("nan")
    plot = trajectory.plot(frame)
    assert "plane: random 0, filter-" in texts(plot.figure).replace("\n", " ")
    assert "projected by least squares" in plot.caption and "principal" not in plot.caption
    both = together(way(), frame.assign(surface_id="other-000000000000"))
    assert "principal directions" in trajectory.plot(both).caption
    assert "projected by least squares" in trajectory.plot(both, plane="random").caption

"""The degradation figure against the frames that it was drawn from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from study import plotting as figures
from study.errors import StudyError
from study.plotting.base.style import depth_colour, styled
from study.plotting.curves import degradation
from study.plotting.curves.lines import MANY_SEEDS

from .boxes import unreadable
from .conftest import Frames, cut, run_id
from .conftest import study as study_frames


def lines(axes: Axes) -> dict[tuple[str, str], np.ndarray]:
    """(colour, gid) -> (x, y) of every curve of a panel."""
    drawn = [line for line in axes.lines if line.get_gid() not in ("lr_drop", "diverged")]
    return {(str(line.get_color()), str(line.get_gid())): line.get_xydata() for line in drawn}


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.texts)


def test_the_picture_shows_exactly_the_data(absences: Frames) -> None:
    plot = degradation.plot(*absences)
    for axes, network in zip(plot.figure.axes, ("plain", "residual"), strict=True):
        curves = plot.data[(plot.data["network"] == network) & (plot.data["kind"] != "lr_drop")]
        keys = ["depth", "split", "kind", "run_id"]
        groups = dict(iter(curves.groupby(keys, dropna=False)))
        drawn = lines(axes)
        assert len(drawn) == len(groups)
        for (depth, split, kind, run), group in groups.items():
            xy = drawn[depth_colour(depth), f"{run if kind == 'seed' else 'mean'} {split}"]
            np.testing.assert_array_equal(xy, group[["iteration", "error"]] / [10_000, 1])


def test_every_seed_and_the_mean_over_them(small: Frames) -> None:
    curves, runs = small
    data = degradation.plot(curves, runs).data
    assert set(data[data["kind"] == "seed"]["run_id"].dropna()) == set(runs["run_id"])
    wanted = curves[curves["split"] != "train"].groupby(["network", "depth", "split", "iteration"])["error"].mean()
    means = data[data["kind"] == "mean"].set_index(["network", "depth", "split", "iteration"])
    pd.testing.assert_series_equal(means["error"].sort_index(), wanted.sort_index(), check_index_type=False)
    assert set(means["n"]) == {3}


@pytest.mark.parametrize("name", ["degradation", "fig6", "fig1"])
def test_of_many_seeds_the_range_and_the_middle_half_are_drawn(name: str) -> None:
    frames = study_frames(depths=(20, 56), seeds=MANY_SEEDS + 2, evaluations=8)
    lost, poor = (run_id(frames[1], "plain", 56, seed) for seed in (1, 2))
    curves, runs = cut(frames, lost, "diverged", 30_000)
    few = ~((runs["network"] == "plain") & (runs["depth"] == 20) & (runs["seed"] > 3))
    curves, runs = curves[curves["run_id"].isin(runs.loc[few, "run_id"])], runs[few]
    plot = figures.plot(name, curves, runs)
    data = plot.data
    assert set(data.loc[data["kind"] == "seed", "depth"].dropna()) == {20, 56}
    alone = data[(data["kind"] == "seed") & (data["depth"] == 56)]
    assert set(alone["run_id"]) == {lost} and poor not in set(data["run_id"])
    kept = curves[(curves["network"] == "plain") & (curves["depth"] == 56) & (curves["run_id"] != lost)]
    values = kept[kept["split"] == "test"].groupby("iteration")["error"]
    deep = data[(data["network"] == "plain") & (data["depth"] == 56) & (data["split"] == "test")]
    for kind, share in (("least", 0), ("quarter", 0.25), ("three_quarters", 0.75), ("most", 1)):
        band = deep[deep["kind"] == kind].set_index("iteration")["error"]
        pd.testing.assert_series_equal(band, values.quantile(share), check_index_type=False)
    drawn = [line.get_gid() for axes in plot.figure.axes for line in axes.lines]
    assert {"least test", "most test", "mean test"} <= set(drawn) and f"{poor} test" not in drawn
    assert any(found.get_gid() == "half of the seeds test" for axes in plot.figure.axes for found in axes.collections)
    entries = [text.get_text() for text in plot.figure.legends[0].get_texts()]
    assert {"single seeds", "least and most of the seeds", "half of the seeds"} <= set(entries)
    assert "middle half shaded; elsewhere pale lines are single seeds" in plot.caption
    assert not unreadable(plot.figure)


def test_dashed_is_training_and_solid_is_test(small: Frames) -> None:
    for axes in degradation.plot(*small).figure.axes:
        styles = {str(line.get_gid()).split()[-1]: line.get_linestyle() for line in axes.lines}
        assert (styles["train_clean"], styles["test"]) == ("--", "-")


def test_the_running_error_is_an_option(small: Frames) -> None:
    plot = degradation.plot(*small, training="train")
    assert set(plot.data["split"].dropna()) == {"train", "test"}
    assert "training error (running)" in [t.get_text() for t in plot.figure.legends[0].get_texts()]


def test_absent_runs_are_named(absences: Frames) -> None:
    frames = cut(absences, run_id(absences[1], "plain", 20, 2), "failed", 500)
    notes = texts(degradation.plot(*frames).figure)
    assert "failed: plain-20 seed 2" in notes
    assert "diverged (×): plain-56 seed 3 at iteration 9,700" in notes
    assert "running: residual-20 seed 1 at iteration 30,000" in notes
    assert "missing: residual-56 seed 4" in notes


def test_a_run_that_is_not_done_is_drawn_but_not_averaged(absences: Frames) -> None:
    data = degradation.plot(*absences).data
    lost = data[(data["state"] == "diverged") & (data["split"] == "test")]
    assert 0 < lost["iteration"].max() <= 9_700
    plain = data[(data["kind"] == "mean") & (data["network"] == "plain") & (data["depth"] == 56)]
    assert set(plain["n"]) == {4} and plain["iteration"].max() == 64_000


def test_unequal_n_is_printed_at_each_line(absences: Frames) -> None:
    plain, residual = degradation.plot(*absences).figure.axes
    assert {"20 (n=5)", "56 (n=4)"} <= {text.get_text() for text in plain.texts}
    assert residual.get_title("left") == "residual  (n = 4)"


def test_while_no_run_is_done_the_mean_goes_as_far_as_all_have_come(make: Callable[..., Frames]) -> None:
    frames = make(depths=(20,), networks=("plain",), seeds=2)
    frames = cut(frames, run_id(frames[1], "plain", 20, 0), "running", 20_000)
    frames = cut(frames, run_id(frames[1], "plain", 20, 1), "running", 40_000)
    data = degradation.plot(*frames).data
    mean = data[(data["kind"] == "mean") & (data["split"] == "test")]
    assert 18_000 < mean["iteration"].max() <= 20_000 and set(mean["n"]) == {2}


def test_a_run_that_was_evaluated_once_is_a_dot(make: Callable[..., Frames]) -> None:
    curves, runs = make(seeds=2, evaluations=8)
    first = curves["iteration"] == curves.loc[curves["split"] == "test", "iteration"].min()
    figure = degradation.plot(curves[first], runs.assign(state="running")).figure
    lines = [line for axes in figure.axes for line in axes.lines if str(line.get_gid()).endswith("test")]
    assert lines and all(len(line.get_xdata()) == 1 and line.get_marker() == "." for line in lines)
    usual = degradation.plot(curves, runs).figure
    assert {line.get_marker() for axes in usual.axes for line in axes.lines} == {"None"}


def test_no_final_value_is_hidden(make: Callable[..., Frames]) -> None:
    curves, runs = make(seeds=1)
    stuck = (curves["network"] == "plain") & (curves["depth"] == 56)
    curves.loc[stuck, "error"] = 61.8
    figure = degradation.plot(curves, runs).figure
    assert figure.axes[0].get_ylim()[1] > 61.8
    clipped = degradation.plot(curves, runs, ymax=20).figure
    assert clipped.axes[0].get_ylim() == clipped.axes[1].get_ylim() == (0, 20)
    assert "56 ↑61.8" in [text.get_text() for text in clipped.axes[0].texts]


def test_a_point_whose_seeds_all_diverged_is_named_without_a_value(make: Callable[..., Frames]) -> None:
    frames = make(seeds=2)
    for seed in range(2):
        frames = cut(frames, run_id(frames[1], "plain", 56, seed), "diverged", 20_000)
    plain = degradation.plot(*frames).figure.axes[0]
    assert {"20", "56 ×"} <= {text.get_text() for text in plain.texts}
    assert len([line for line in plain.lines if line.get_gid() == "diverged"]) == 2


def test_the_rate_drops_are_marked_once(make: Callable[..., Frames]) -> None:
    data = degradation.plot(*make()).data
    for _, drops in data[data["kind"] == "lr_drop"].groupby("network"):
        assert np.allclose(drops["iteration"], [32_000, 48_000], rtol=0.01)


def test_units_of_the_x_axis(small: Frames, absences: Frames) -> None:
    assert degradation.plot(*small).figure.axes[0].get_xlabel() == "iterations"
    assert degradation.plot(*absences).figure.axes[0].get_xlabel() == "iterations (×10⁴)"


def test_header_names_what_all_runs_share(make: Callable[..., Frames]) -> None:
    frames = make(seeds=1, iterations=400, dataset="cifar10-jpeg", train_subset=5000, precision="tf32")
    header = texts(degradation.plot(*frames).figure)
    assert "cifar10-jpeg" in header and "he2015_cifar · 5,000 training images · tf32" in header
    assert "fp32" not in texts(degradation.plot(*make(seeds=1, iterations=400)).figure)


def test_a_row_of_panels_per_data_set(make: Callable[..., Frames]) -> None:
    one, other = (make(seeds=1, iterations=400, dataset=name) for name in ("cifar10", "cifar10-jpeg"))
    figure = degradation.plot(pd.concat([one[0], other[0]]), pd.concat([one[1], other[1]])).figure
    assert len(figure.axes) == 4
    rows = [axes.texts[0].get_text() for axes in figure.axes[::2]]
    assert rows == ["cifar10", "cifar10-jpeg"]


def test_points_of_one_depth_are_told_apart(make: Callable[..., Frames]) -> None:
    a, b = (make(seeds=1, iterations=400, networks=("residual",), shortcut=option) for option in "AB")
    figure = degradation.plot(pd.concat([a[0], b[0]]), pd.concat([a[1], b[1]])).figure
    assert {"20 A", "20 B", "56 A", "56 B"} <= {text.get_text() for text in figure.axes[0].texts}


def test_curves_without_the_wanted_splits_are_refused(small: Frames) -> None:
    with pytest.raises(StudyError, match="no rows of split 'train_clean' or 'test'"):
        degradation.plot(small[0][small[0]["split"] == "train"], small[1])


@pytest.mark.parametrize("depths", [(18, 20, 34, 56, 110), (1001, 1202)])
def test_no_text_overlaps_or_is_cut_off(depths: tuple[int, ...], make: Callable[..., Frames]) -> None:
    frames = make(depths=depths, seeds=2)
    frames = cut(frames, run_id(frames[1], "plain", depths[1], 1), "diverged", 9_700)
    with styled("paper"):
        assert unreadable(degradation.plot(*frames).figure) == []

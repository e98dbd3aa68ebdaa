"""The depth_error figure against the frames that it was drawn from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from study.errors import StudyError
from study.plotting.base.style import MARKERS, NETWORK_COLOURS
from study.plotting.curves import depth_error

from .conftest import Frames, cut


def test_final_values_are_the_last_iterations(small: Frames) -> None:
    curves, runs = small
    data = depth_error.plot(curves, runs).data
    last = curves[(curves["iteration"] == 400) & (curves["split"] != "train")].set_index(["run_id", "split"])["error"]
    seeds = data[data["kind"] == "seed"].set_index(["run_id", "split"])["error"]
    pd.testing.assert_series_equal(seeds.sort_index(), last.sort_index(), check_index_type=False)
    means = data[data["kind"] == "mean"].set_index(["network", "depth", "split"])["error"]
    fields = curves.drop_duplicates("run_id").set_index("run_id")[["network", "depth"]]
    wanted = last.reset_index().join(fields, on="run_id").groupby(["network", "depth", "split"])["error"].mean()
    pd.testing.assert_series_equal(means.sort_index(), wanted.sort_index(), check_index_type=False)


def test_the_picture_shows_exactly_the_data(absences: Frames) -> None:
    plot = depth_error.plot(*absences)
    for axes, split in zip(plot.figure.axes, ("train_clean", "test"), strict=True):
        drawn = {str(line.get_gid()): line for line in axes.lines}
        bars = {str(bar.get_gid()): bar.get_segments() for bar in axes.collections}
        for network in ("plain", "residual"):
            here = plot.data[(plot.data["network"] == network) & (plot.data["split"] == split)]
            for kind in ("seed", "mean"):
                errors = here[here["kind"] == kind]["error"]
                assert len(errors) > 0
                np.testing.assert_array_equal(drawn[f"{network} {kind}"].get_ydata(), errors)
            intervals = here[here["kind"] == "mean"][["low", "high"]].to_numpy()
            assert (intervals[:, 0] < intervals[:, 1]).all()
            np.testing.assert_array_equal([segment[:, 1] for segment in bars[network]], intervals)
        assert [len(drawn[f"{network} diverged"].get_xdata()) for network in ("plain", "residual")] == [1, 0]


def test_networks_differ_in_marker_and_colour(small: Frames) -> None:
    axes = depth_error.plot(*small).figure.axes[0]
    looks = {line.get_gid(): (line.get_marker(), line.get_color()) for line in axes.lines}
    for network in ("plain", "residual"):
        assert looks[f"{network} mean"] == (MARKERS[network][0], NETWORK_COLOURS[network])
    assert looks["plain mean"][0] != looks["residual mean"][0]


def test_absent_runs_are_named_and_n_is_printed(absences: Frames) -> None:
    figure = depth_error.plot(*absences).figure
    notes = "\n".join(text.get_text() for text in figure.texts)
    assert "diverged (×): plain-56 seed 3 at iteration 9,700" in notes
    assert "missing: residual-56 seed 4" in notes
    assert "BCa bootstrap 95 % intervals from 4 seeds on (10,000 resamples, seed 0)" in notes.replace("\n", " ")
    for axes in figure.axes:
        assert axes.get_title("left").endswith("(n = 5 unless given)")
        assert [text.get_text() for text in axes.texts if "=" in text.get_text()] == ["n=4"] * 3


@pytest.mark.parametrize("seeds", [1, 3])
def test_few_seeds_have_no_interval(seeds: int, make: Callable[..., Frames]) -> None:
    plot = depth_error.plot(*make(seeds=seeds, iterations=400))
    assert plot.data[["low", "high"]].isna().all(axis=None)
    assert "bootstrap" not in "\n".join(text.get_text() for text in plot.figure.texts)


def test_families_are_lines_of_their_own(make: Callable[..., Frames]) -> None:
    data = depth_error.plot(*make(depths=(18, 20, 34, 56), seeds=1, iterations=400)).data
    depths = data[data["network"] == "plain"].groupby("line")["depth"].unique().map(sorted).to_dict()
    assert depths == {"plain (CIFAR family)": [20, 56], "plain (ImageNet family)": [18, 34]}


def test_without_a_finished_run_there_is_nothing_to_draw(small: Frames) -> None:
    frames = small
    for run in small[1]["run_id"]:
        frames = cut(frames, run, "running", 200)
    with pytest.raises(StudyError, match="none of the 12 runs is done"):
        depth_error.plot(*frames)

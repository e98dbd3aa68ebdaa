"""The identity_ness figure against the probes that it was drawn from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from study.errors import StudyError
from study.plotting.probes import identity_ness

from .conftest import Frames
from .probed import probed

PLAIN, RESIDUAL, TRAINING = range(3)  # the panels of a row


@pytest.fixture(scope="module")
def small() -> Frames:
    """Plain and residual 8 and 20, two seeds, measured three times."""
    return probed(depths=(8, 20), seeds=2, iterations=(0, 50, 100))


def of_probe(frame: pd.DataFrame, measure: str) -> pd.DataFrame:
    return frame[(frame["probe"] == "identity") & (frame["measure"] == measure)]


@pytest.mark.parametrize("measure", list(identity_ness.MEASURES))
def test_values_are_those_of_the_frame(measure: str, small: Frames) -> None:
    data = identity_ness.plot(*small, measure=measure).data
    rows = of_probe(small[0], measure)
    seeds = data[(data["kind"] == "seed") & (data["panel"] == "block")].set_index(["run_id", "place"])["value"]
    end = rows[rows["iteration"] == 100].set_index(["run_id", "place"])["value"]
    pd.testing.assert_series_equal(seeds.sort_index(), end.sort_index(), check_index_type=False)
    over = data[(data["kind"] == "seed") & (data["panel"] == "training")].set_index(["run_id", "iteration"])["value"]
    wanted = rows.groupby(["run_id", "iteration"])["value"].mean()
    pd.testing.assert_series_equal(over.sort_index(), wanted.sort_index(), check_index_type=False)
    mean = data[(data["kind"] == "mean") & (data["panel"] == "training")].set_index(["network", "depth", "iteration"])
    wanted = rows.groupby(["network", "depth", "iteration"])["value"].mean()  # runs have equally many blocks
    pd.testing.assert_series_equal(mean["value"].sort_index(), wanted, check_index_type=False)


@pytest.mark.parametrize("measure", ["ratio", "change"])
def test_the_picture_shows_exactly_the_data(measure: str, probes: Frames) -> None:
    plot = identity_ness.plot(*probes, measure=measure)
    shown = 0
    for panel, x, where in (("block", "place", (PLAIN, RESIDUAL)), ("training", "iteration", (TRAINING, TRAINING))):
        for network, place in zip(("plain", "residual"), where, strict=True):
            here = plot.data[(plot.data["panel"] == panel) & (plot.data["network"] == network)]
            for (label, kind), lines in here.groupby(["label", "kind"]):
                gid = f"{network}-{label} {kind}"
                drawn = [line for line in plot.figure.axes[place].lines if line.get_gid() == gid]
                wanted = [run for _, run in lines.groupby("run_id")] if kind == "seed" else [lines]
                assert len(drawn) == len(wanted)
                for line, values in zip(drawn, wanted, strict=True):
                    at = pd.Series(line.get_ydata(), line.get_xdata() * (10_000 if panel == "training" else 1)).dropna()
                    np.testing.assert_allclose(at.index, values[x].astype(float))
                    np.testing.assert_array_equal(at, values["value"])
                    shown += 1
    lines = [line for axes in plot.figure.axes for line in axes.lines]
    crosses = [line for line in lines if str(line.get_gid()).endswith("diverged")]
    assert shown == len(lines) - len(crosses) and len(crosses) == 1


def test_no_line_spans_a_block_that_has_no_change(small: Frames) -> None:
    axes = identity_ness.plot(*small, measure="change").figure.axes
    (plain,) = (line for line in axes[PLAIN].lines if line.get_gid() == "plain-20 mean")
    assert plain.get_xdata()[np.isnan(plain.get_ydata())].tolist() == [4, 7]
    (residual,) = (line for line in axes[RESIDUAL].lines if line.get_gid() == "residual-20 mean")
    assert not np.isnan(residual.get_ydata()).any()
    (alone,) = (line for line in axes[PLAIN].lines if line.get_gid() == "plain-8 mean")
    assert alone.get_ydata().shape == (1,) and alone.get_marker() == "." and alone.get_markevery() == [0]


def test_panels_of_a_row_share_their_scale_and_name_it(small: Frames) -> None:
    for measure, (name, _) in identity_ness.MEASURES.items():
        axes = identity_ness.plot(*small, measure=measure).figure.axes
        assert axes[PLAIN].get_ylabel() == name
        assert len({panel.get_ylim() for panel in axes}) == 1
        titles = [panel.get_title("left") for panel in axes]
        assert titles == ["plain  (n = 2)", "residual  (n = 2)", "mean over blocks"]


def test_a_run_with_a_lost_block_has_no_mean_over_blocks(small: Frames) -> None:
    frame, runs = small
    lost = (frame["run_id"] == runs["run_id"].iloc[0]) & (frame["place"] == 1) & (frame["iteration"] == 50)
    data = identity_ness.plot(frame.assign(value=frame["value"].mask(lost, np.inf)), runs).data
    over = data[(data["panel"] == "training") & (data["network"] == "plain") & (data["depth"] == 8)]
    gone = over[~np.isfinite(over["value"])]
    assert set(gone["kind"]) == {"seed", "mean"} and set(gone["iteration"]) == {50}


def test_another_iteration_changes_the_blocks_alone(small: Frames) -> None:
    first, last = (identity_ness.plot(*small, iteration=iteration).data for iteration in (0, None))
    shown = [data[data["panel"] == "training"].reset_index(drop=True) for data in (first, last)]
    pd.testing.assert_frame_equal(*shown)
    blocks = first[(first["panel"] == "block") & (first["kind"] == "seed")]
    rows = of_probe(small[0], "ratio")
    assert sorted(blocks["value"]) == sorted(rows[rows["iteration"] == 0]["value"])


def test_one_measurement_of_one_network_draws() -> None:
    plot = identity_ness.plot(*probed(depths=(8,), networks=("residual",), seeds=1, iterations=(100,)))
    (axes,) = (axes for axes in plot.figure.axes if axes.get_title("left") == "mean over blocks")
    (mean,) = (line for line in axes.lines if line.get_gid() == "residual-8 mean")
    assert mean.get_marker() == "." and axes.get_xlim()[1] > 100


def test_unknown_measures_are_refused(small: Frames) -> None:
    with pytest.raises(StudyError, match="unknown measure 'chnage'; did you mean 'change'"):
        identity_ness.plot(*small, measure="chnage")

"""The gradients figure against the probes that it was drawn from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from study.errors import StudyError
from study.plotting.probes import gradients
from study.plotting.probes.gradients import DECADES

from .conftest import Frames
from .probed import layer, probed

RATIO, PLAIN, RESIDUAL = range(3)  # the panels of a row


@pytest.fixture(scope="module")
def small() -> Frames:
    """Plain and residual 8 and 20, two seeds, measured three times."""
    return probed(depths=(8, 20), seeds=2, iterations=(0, 50, 100))


def heat_maps(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.images]


def cells(frame: pd.DataFrame, network: str, depth: int, measure: str = "norm") -> pd.DataFrame:
    here = frame[(frame["measure"] == measure) & (frame["probe"] == "gradients")]
    here = here[(here["network"] == network) & (here["depth"] == depth)]
    return np.exp(
        np.log(here.pivot(index=["place", "iteration"], columns="run_id", values="value")).mean(axis=1)
    ).unstack()


@pytest.mark.parametrize("measure", ["norm", "relative"])
def test_the_heat_maps_show_geometric_means_and_exactly_the_data(measure: str, small: Frames) -> None:
    plot = gradients.plot(*small, measure=measure)
    maps = heat_maps(plot.figure)
    points = [(network, depth) for depth in (8, 20) for network in ("plain", "residual")]
    assert len(maps) == len(points)
    for axes, (network, depth) in zip(maps, points, strict=True):
        assert axes.get_title("left") == f"{network}  (n = 2)"
        shown = plot.data[
            (plot.data["kind"] == "cell") & (plot.data["network"] == network) & (plot.data["depth"] == depth)
        ]
        table = shown.pivot(index="place", columns="iteration", values="value").to_numpy(float)
        np.testing.assert_array_equal(axes.images[0].get_array(), table)
        np.testing.assert_allclose(table, cells(small[0], network, depth, measure))
        assert axes.get_ylim() == (depth + 0.5, 0.5)  # the first layer on top
        assert [text.get_text() for text in axes.get_xticklabels()] == ["0", "50", "100"]
    scales = {(image.norm.vmin, image.norm.vmax) for axes in maps for image in axes.images}
    every = plot.data[plot.data["kind"] == "cell"]["value"]
    assert scales == {(every.min(), every.max())}


def test_every_seed_is_seen_in_the_ratio_of_first_and_last_convolution(small: Frames) -> None:
    plot = gradients.plot(*small)
    norms = small[0][small[0]["measure"] == "norm"]
    norms = norms[norms["probe"] == "gradients"].set_index(["run_id", "iteration", "place"])["value"]
    axes = plot.figure.axes[RATIO]
    assert axes.get_title("left") == "first ÷ last conv." and axes.get_yscale() == "log"
    drawn = [line for line in axes.lines if str(line.get_gid()) == "plain-plain seed"]
    runs = small[1][(small[1]["network"] == "plain") & (small[1]["depth"] == 8)]["run_id"]
    for line, run in zip(drawn, runs, strict=True):
        wanted = [norms[run, iteration, 1] / norms[run, iteration, 7] for iteration in (0, 50, 100)]  # 8 is the head
        np.testing.assert_allclose(line.get_ydata(), wanted)
    (mean,) = (line for line in axes.lines if str(line.get_gid()) == "plain-plain mean")
    np.testing.assert_allclose(mean.get_ydata(), np.sqrt(drawn[0].get_ydata() * drawn[1].get_ydata()))


def test_shortcuts_are_rows_of_the_heat_map_but_never_the_last_convolution() -> None:
    frame, runs = probed(depths=(8,), networks=("residual",), seeds=1, iterations=(0, 100))
    here = frame["layer"] == layer(7, 8)  # the last convolution becomes one on a shortcut
    odd = frame.assign(layer=frame["layer"].mask(here, "stages.2.0.shortcut.0"))
    data = gradients.plot(odd, runs).data
    norms = frame[(frame["measure"] == "norm") & (frame["iteration"] == 0)].set_index("place")["value"]
    ratio = data[(data["kind"] == "seed") & (data["iteration"] == 0)]["value"].item()
    assert ratio == pytest.approx(norms[1] / norms[6])
    assert data[data["kind"] == "cell"]["place"].max() == 8


def test_lost_runs_are_seen_and_not_averaged(probes: Frames) -> None:
    plot = gradients.plot(*probes)
    data = plot.data
    lost = data[(data["state"] == "diverged") & (data["kind"] == "seed")]
    assert lost["iteration"].max() == 16_000
    mean = data[(data["kind"] == "mean") & (data["network"] == "plain") & (data["depth"] == 56)]
    assert set(mean["n"]) == {3} and mean["iteration"].max() == 64_000
    crosses = [line for axes in plot.figure.axes for line in axes.lines if str(line.get_gid()).endswith("diverged")]
    assert [line.get_xydata().tolist() for line in crosses] == [[[1.6, pytest.approx(lost["value"].iloc[-1])]]]


def test_vanished_gradients_do_not_take_the_colours_from_the_others(small: Frames) -> None:
    frame, runs = small
    for value in (0.0, 1e-30):
        none = frame.assign(value=frame["value"].mask((frame["network"] == "plain") & (frame["place"] == 2), value))
        plot = gradients.plot(none, runs)
        every = plot.data[plot.data["kind"] == "cell"]["value"]
        assert every.min() == pytest.approx(value)
        image = heat_maps(plot.figure)[0].images[0]
        wanted = every.max() / 10**DECADES if value else every[every > 0].min()
        assert image.norm.vmin == pytest.approx(wanted)
        assert (image.get_array()[1] == image.norm.vmin).all()
        low = image.cmap(image.norm(image.norm.vmin))
        assert tuple(image.to_rgba(image.get_array())[1, 0]) == pytest.approx(low)


def test_cells_that_are_not_finite_are_grey_and_named(small: Frames) -> None:
    frame, runs = small
    lost = (frame["run_id"] == runs["run_id"].iloc[0]) & (frame["place"] == 3) & (frame["probe"] == "gradients")
    figure = gradients.plot(frame.assign(value=frame["value"].mask(lost)), runs).figure
    values = heat_maps(figure)[0].images[0].get_array()
    assert np.ma.getmaskarray(values)[2].all() and np.ma.getmaskarray(values).sum() == 3
    assert "not finite" in [text.get_text() for text in figure.legends[0].get_texts()]
    assert "not finite" not in [text.get_text() for text in gradients.plot(*small).figure.legends[0].get_texts()]


def test_many_iterations_are_marked_at_round_ones() -> None:
    frames = probed(depths=(8,), networks=("plain",), seeds=1, iterations=tuple(range(0, 64_001, 1_000)))
    axes = heat_maps(gradients.plot(*frames).figure)[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0", "2", "4", "6"]
    assert axes.get_xticks().tolist() == [0, 20, 40, 60]
    odd = probed(depths=(8,), networks=("plain",), seeds=1, iterations=(0, 7, 14, 21, 28, 35, 41))
    labels = [text.get_text() for text in heat_maps(gradients.plot(*odd).figure)[0].get_xticklabels()]
    assert labels == ["0", "21", "41"]


def test_variants_of_a_network_have_heat_maps_and_marks_of_their_own(small: Frames) -> None:
    other = probed(depths=(8, 20), networks=("residual",), seeds=1, iterations=(0, 50, 100), shortcut="B")
    figure = gradients.plot(*(pd.concat(pair) for pair in zip(small, other, strict=True))).figure
    titles = [axes.get_title("left") for axes in heat_maps(figure)]
    assert titles == 2 * ["plain  (n = 2)", "residual A  (n = 2)", "residual B  (n = 1)"]
    marks = {line.get_gid(): line.get_marker() for line in figure.axes[RATIO].lines}
    assert marks["residual-residual B mean"] != marks["residual-residual A mean"]


def test_a_depth_that_one_network_lacks_says_so(small: Frames) -> None:
    kept = ~((small[0]["network"] == "residual") & (small[0]["depth"] == 20))
    figure = gradients.plot(small[0][kept]).figure
    assert [axes.get_title("left") for axes in heat_maps(figure)] == [
        "plain  (n = 2)",
        "residual  (n = 2)",
        "plain  (n = 2)",
    ]
    assert figure.axes[3 + RESIDUAL].texts[-1].get_text() == "residual\nnot measured"


def test_unknown_measures_and_runs_that_are_all_lost_are_refused(small: Frames) -> None:
    with pytest.raises(StudyError, match="unknown measure 'nrom'; did you mean 'norm'"):
        gradients.plot(*small, measure="nrom")
    with pytest.raises(StudyError, match="no run that is done or under way has gradients"):
        gradients.plot(small[0], small[1].assign(state="diverged"))

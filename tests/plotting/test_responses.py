"""The responses figure against the probes that it was drawn from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from study.errors import StudyError
from study.plotting import figure
from study.plotting.base.style import depth_colour
from study.plotting.probes import responses

from .conftest import Frames
from .probed import probed


@pytest.fixture(scope="module")
def small() -> Frames:
    """Plain and residual 8 and 20, two seeds, measured at the start and at the end."""
    return probed(depths=(8, 20), seeds=2, iterations=(0, 100))


def test_values_are_those_of_the_frame(small: Frames) -> None:
    frame, runs = small
    data = responses.plot(*small).data
    seeds = data[(data["kind"] == "seed") & (data["order"] == "layer")].set_index(["run_id", "place"])["value"]
    end = frame[(frame["probe"] == "responses") & (frame["iteration"] == 100)].set_index(["run_id", "place"])["value"]
    pd.testing.assert_series_equal(seeds.sort_index(), end.sort_index(), check_index_type=False)
    means = data[(data["kind"] == "mean") & (data["order"] == "layer")].set_index(["network", "depth", "place"])[
        "value"
    ]
    fields = end.reset_index().merge(runs, on="run_id")
    wanted = fields.groupby(["network", "depth", "place"])["value"].mean()
    pd.testing.assert_series_equal(means.sort_index(), wanted.sort_index(), check_index_type=False)


def test_below_each_run_is_sorted_by_itself(small: Frames) -> None:
    data = responses.plot(*small).data
    seeds = data[data["kind"] == "seed"]
    for _, run in seeds.groupby("run_id"):
        layer, ranked = (run[run["order"] == order].set_index("place")["value"] for order in ("layer", "sorted"))
        assert ranked.tolist() == sorted(layer, reverse=True)
    ranked = seeds[seeds["order"] == "sorted"]
    means = data[(data["kind"] == "mean") & (data["order"] == "sorted")].set_index(["network", "depth", "place"])[
        "value"
    ]
    for (network, depth, rank), value in means.items():
        here = ranked[(ranked["network"] == network) & (ranked["depth"] == depth) & (ranked["place"] == rank)]
        assert value == pytest.approx(here["value"].mean())


def test_the_picture_shows_exactly_the_data(probes: Frames) -> None:
    plot = responses.plot(*probes)
    for axes, order in zip(plot.figure.axes, ("layer", "sorted"), strict=True):
        here = plot.data[plot.data["order"] == order]
        drawn = [(str(line.get_gid()), line) for line in axes.lines]
        for (network, label, kind), lines in here.groupby(["network", "label", "kind"]):
            mine = [line for gid, line in drawn if gid == f"{network}-{label} {kind}"]
            wanted = [run for _, run in lines.groupby("run_id")] if kind == "seed" else [lines]
            assert len(mine) == len(wanted) > 0
            for line, values in zip(mine, wanted, strict=True):
                np.testing.assert_array_equal(line.get_xdata(), values["place"])
                np.testing.assert_array_equal(line.get_ydata(), values["value"])
        assert len(drawn) == len(here.drop_duplicates(["kind", "network", "label", "run_id"]))


def test_depth_is_told_by_colour_and_network_by_dashes(small: Frames) -> None:
    lines = {line.get_gid(): line for line in responses.plot(*small).figure.axes[0].lines}
    for network, dashes in (("plain", "--"), ("residual", "-")):
        for depth in (8, 20):
            mean, seed = (lines[f"{network}-{depth} {kind}"] for kind in ("mean", "seed"))
            assert mean.get_color() == seed.get_color() == depth_colour(depth)
            assert mean.get_linestyle() == seed.get_linestyle() == dashes
            assert mean.get_linewidth() > seed.get_linewidth() and seed.get_alpha() < 0.5


def test_n_is_printed_and_where_it_differs_for_each_network(small: Frames) -> None:
    frame, runs = small
    whole = responses.plot(*small).figure
    assert [axes.get_title("left") for axes in whole.axes] == [
        "in layer order  (n = 2)",
        "sorted by magnitude  (n = 2)",
    ]
    fewer = runs[~((runs["network"] == "plain") & (runs["depth"] == 20) & (runs["seed"] == 1))]
    figure = responses.plot(frame[frame["run_id"].isin(fewer["run_id"])], fewer).figure
    assert figure.axes[0].get_title("left") == "in layer order  (n = 1 to 2)"
    assert "n: plain-8 2, plain-20 1, residual-8 2, residual-20 2" in [text.get_text() for text in figure.texts]


def test_the_scale_follows_the_spread_unless_told(small: Frames) -> None:
    frame, runs = small
    wild = frame.assign(value=frame["value"].where(frame["place"] != 1, 100 * frame["value"]))
    scales = {"linear": (frame, "auto"), "log": (wild, "auto")}
    for scale, (values, option) in scales.items():
        axes = responses.plot(values, runs, scale=option).figure.axes
        assert [a.get_yscale() for a in axes] == [scale, scale]
        assert all(line.get_ydata().max() <= a.get_ylim()[1] for a in axes for line in a.lines)
    assert responses.plot(wild, runs, scale="linear").figure.axes[0].get_ylim()[0] == 0
    with pytest.raises(StudyError, match="unknown scale 'lgo'; did you mean 'log'"):
        responses.plot(*small, scale="lgo")


def test_another_iteration_is_an_option(small: Frames) -> None:
    frame, _ = small
    plot = responses.plot(*small, iteration=0)
    first = frame[(frame["probe"] == "responses") & (frame["iteration"] == 0)]["value"]
    shown = plot.data[(plot.data["kind"] == "seed") & (plot.data["order"] == "layer")]["value"]
    assert sorted(shown) == sorted(first)
    assert "at iteration 0" in plot.caption
    assert "at iteration 0" in " ".join(text.get_text() for text in plot.figure.texts)


def test_data_sets_have_rows_of_their_own(small: Frames) -> None:
    other = probed(depths=(8,), seeds=1, iterations=(0, 100), dataset="digits")
    drawn = responses.plot(*(pd.concat(pair) for pair in zip(small, other, strict=True))).figure
    assert [axes.texts[0].get_text() for axes in drawn.axes] == ["cifar10", "", "digits", ""]
    assert [len(axes.lines) for axes in drawn.axes] == [12, 12, 4, 4]


def test_the_caption_says_where_the_protocol_is_not_the_papers(small: Frames) -> None:
    assert "Not as in He et al. 2015" in responses.plot(*small).caption
    other = probed(depths=(8,), seeds=1, dataset="digits")
    assert "data set digits, not cifar10" in responses.plot(*other).caption


def test_fig7_is_the_same_figure(small: Frames) -> None:
    one, other = (figure(name, *small) for name in ("fig7", "responses"))
    for left, right in zip(one.axes[0].lines, other.axes[0].lines, strict=True):
        np.testing.assert_array_equal(left.get_xydata(), right.get_xydata())

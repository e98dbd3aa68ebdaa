"""The effective_depth figure against the probes that it was drawn from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from study.errors import StudyError
from study.plotting.probes import effective_depth

from .conftest import Frames
from .probed import probed

PLAIN, RESIDUAL, PATHS = range(3)  # the panels of a row
SHOWN = {"deleted": {"plain": PLAIN, "residual": RESIDUAL}, "paths": {"residual": PATHS}}


@pytest.fixture(scope="module")
def small() -> Frames:
    """Plain and residual 8 and 20, two seeds, measured at the start and at the end."""
    return probed(depths=(8, 20), seeds=2, iterations=(0, 100))


def test_values_are_what_the_error_rises_by(small: Frames) -> None:
    data = effective_depth.plot(*small).data
    end = small[0][(small[0]["iteration"] == 100) & (small[0]["probe"] == "paths")]
    deleted = end[end["measure"] == "deleted_error"].set_index(["run_id", "place"])["value"]
    whole = end[end["measure"] == "error"].set_index("run_id")["value"]
    seeds = data[(data["panel"] == "deleted") & (data["kind"] == "seed")].set_index(["run_id", "place"])["value"]
    assert len(seeds) == len(deleted) and deleted.min() > whole.min()
    for (run, place), rise in seeds.items():
        assert rise == deleted[run, place] - whole[run]
    means = data[(data["panel"] == "deleted") & (data["kind"] == "mean")]
    for mean in means.to_dict("records"):
        here = data[(data["kind"] == "seed") & (data["panel"] == "deleted") & (data["place"] == mean["place"])]
        here = here[(here["network"] == mean["network"]) & (here["depth"] == mean["depth"])]
        assert mean["value"] == pytest.approx(here["value"].mean()) and mean["n"] == 2


def test_the_picture_shows_exactly_the_data(probes: Frames) -> None:
    plot = effective_depth.plot(*probes)
    shown = 0
    for panel, places in SHOWN.items():
        for network, place in places.items():
            here = plot.data[(plot.data["panel"] == panel) & (plot.data["network"] == network)]
            for (label, kind), lines in here.groupby(["label", "kind"]):
                gid = f"{network}-{label} {kind}"
                drawn = [line for line in plot.figure.axes[place].lines if line.get_gid() == gid]
                wanted = [run for _, run in lines.groupby("run_id")] if kind == "seed" else [lines]
                assert len(drawn) == len(wanted)
                for line, values in zip(drawn, wanted, strict=True):
                    points = pd.Series(line.get_ydata(), line.get_xdata()).dropna()
                    assert points.index.tolist() == values["place"].tolist()
                    assert points.tolist() == values["value"].tolist()
                    shown += 1
    lines = [str(line.get_gid()) for axes in plot.figure.axes for line in axes.lines]
    assert shown == len([gid for gid in lines if gid.endswith((" seed", " mean"))])


def test_effective_depths_are_marked_at_their_mean_number_of_branches(small: Frames) -> None:
    plot = effective_depth.plot(*small)
    frame = small[0][(small[0]["iteration"] == 100) & (small[0]["network"] == "residual")]
    shares = frame[frame["measure"] == "path_share"]
    branches = (shares["place"] * shares["value"]).groupby(shares["run_id"]).sum()
    depths = frame[frame["measure"] == "effective_depth"].set_index("run_id")["value"]
    np.testing.assert_allclose(depths, 2 + 2 * branches.reindex(depths.index))
    marks = {line.get_gid(): line for line in plot.figure.axes[PATHS].lines if str(line.get_gid()).endswith("depth")}
    for depth in (8, 20):
        ids = small[1][(small[1]["network"] == "residual") & (small[1]["depth"] == depth)]["run_id"]
        np.testing.assert_allclose(marks[f"residual-{depth} seed depth"].get_xdata(), branches[ids])
        np.testing.assert_allclose(marks[f"residual-{depth} mean depth"].get_xdata(), [branches[ids].mean()])
        written = [text.get_text() for text in plot.figure.axes[PATHS].texts]
        assert f"depth {depth}: {depths[ids].mean():.1f}" in written
    assert not [gid for gid in marks if gid.startswith("plain") and len(marks[gid].get_xdata())]


def test_texts_stand_above_the_curves(probes: Frames) -> None:
    for frames in (probes, probed(depths=(8, 20, 32, 44, 56, 110), networks=("residual",), seeds=1, iterations=(0, 1))):
        axes = effective_depth.plot(*frames).figure.axes[-1]
        top = max(np.nanmax(line.get_ydata()) for line in axes.lines if len(line.get_ydata()))
        lowest = min(text.get_window_extent().y0 for text in axes.texts if text.get_text())
        assert axes.transData.transform((0, top))[1] < lowest


def test_the_error_of_the_whole_network_is_said(small: Frames) -> None:
    plot = effective_depth.plot(*small)
    whole = plot.data[(plot.data["panel"] == "whole") & (plot.data["kind"] == "mean")].set_index(["network", "depth"])[
        "value"
    ]
    errors = small[0][(small[0]["measure"] == "error") & (small[0]["iteration"] == 100)]
    assert whole["plain", 20] == pytest.approx(
        errors[(errors["network"] == "plain") & (errors["depth"] == 20)]["value"].mean()
    )
    said = " ".join(text.get_text() for text in plot.figure.texts)
    assert f"plain-8 {whole['plain', 8]:.1f}, plain-20 {whole['plain', 20]:.1f}" in said


def test_plain_networks_alone_have_no_panel_of_paths(small: Frames) -> None:
    plot = effective_depth.plot(small[0][small[0]["network"] == "plain"])
    assert [axes.get_title("left") for axes in plot.figure.axes] == ["plain  (n = 2)"]
    assert set(plot.data["panel"]) == {"deleted", "whole"} and "branches" not in plot.caption


def test_a_data_set_without_residual_networks_says_so(small: Frames) -> None:
    other = probed(depths=(8,), networks=("plain",), seeds=1, iterations=(0, 100), dataset="digits")
    axes = effective_depth.plot(*(pd.concat(pair) for pair in zip(small, other, strict=True))).figure.axes
    assert [text.get_text() for text in axes[3 + PATHS].texts][-1] == "residual networks\nnot measured"


def test_deletions_that_lower_the_error_are_in_sight(small: Frames) -> None:
    frame, runs = small
    better = (frame["measure"] == "deleted_error") & (frame["place"] == 1)
    axes = effective_depth.plot(frame.assign(value=frame["value"].mask(better, 0.0)), runs).figure.axes
    lowest = min(np.nanmin(line.get_ydata()) for line in axes[RESIDUAL].lines)
    assert lowest < 0 and axes[RESIDUAL].get_ylim()[0] < lowest
    assert axes[PLAIN].get_ylim() == axes[RESIDUAL].get_ylim()


def test_paths_without_deletions_are_refused(small: Frames) -> None:
    with pytest.raises(
        StudyError, match="nothing to draw: no run of the probe 'paths' has errors with a block deleted"
    ):
        effective_depth.plot(small[0][small[0]["measure"] != "deleted_error"], small[1])


def test_long_paths_that_were_taken_together_are_said_to_be(small: Frames) -> None:
    note = "the last point of the paths is of all longer ones together"
    assert note not in effective_depth.plot(*small).caption
    frame, runs = small
    long = (frame["measure"] == "path_share") & (frame["depth"] == 20) & (frame["place"] > 5)
    assert note in effective_depth.plot(frame[~long], runs).caption

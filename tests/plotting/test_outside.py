"""Nothing that was measured leaves a picture unsaid: what lies beyond an axis or a scale of colours is named with its value."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from study.plotting import plot

from . import variants
from .conftest import Frames


def spiked(frames: Frames, network: str, depth: int, error: float, seed: int = 0) -> Frames:
    """The first test point of a run is so large."""
    curves, runs = frames
    mine = (curves["network"] == network) & (curves["depth"] == depth) & (curves["seed"] == seed)
    curves = curves.copy()
    curves.loc[curves[mine & (curves["split"] == "test")]["iteration"].idxmin(), "error"] = error
    return curves, runs


@pytest.mark.parametrize("figure", ["fig1", "fig6", "degradation"])
def test_a_point_above_the_axis_is_named(figure: str, make: Callable[..., Frames]) -> None:
    frames = spiked(make(depths=(20, 56), seeds=2, evaluations=8), "plain", 56, 98.76)
    drawn = plot(figure, *frames)
    top = drawn.figure.axes[0].get_ylim()[1]
    assert top < 98.76
    words = drawn.caption
    assert f"above {top:.4g} %" in words and "plain-56 up to 98.76" in words
    on_picture = " ".join(text.get_text() for text in drawn.figure.texts)
    assert "plain-56 up to 98.76" in on_picture


@pytest.mark.parametrize("figure", ["fig1", "fig6", "degradation"])
def test_what_an_axis_holds_is_not_named(figure: str, make: Callable[..., Frames]) -> None:
    curves, runs = make(depths=(20, 56), seeds=2, evaluations=8)
    near = curves.assign(error=np.minimum(curves["error"], 12.0))
    drawn = plot(figure, near, runs)
    assert "Beyond the picture" not in drawn.caption
    assert all(axes.get_ylim()[1] >= 12.0 for axes in drawn.figure.axes)


def test_a_small_excess_is_shown_rather_than_told(make: Callable[..., Frames]) -> None:
    curves, runs = make(depths=(20,), seeds=1, evaluations=8)
    stuck = curves.assign(error=57.8)  # and one point of 83, which a headroom of 1.4 would cut off
    stuck.loc[stuck.index[0], "error"] = 83.0
    drawn = plot("degradation", stuck[stuck["split"] != "train"], runs)
    assert "Beyond" not in drawn.caption or drawn.figure.axes[0].get_ylim()[1] >= 83


def test_figure_4_names_what_its_window_leaves_out_at_both_ends(make: Callable[..., Frames]) -> None:
    curves, runs = make(depths=(18, 34), seeds=1, evaluations=8, dataset="imagenet", recipe="he2015_imagenet")
    drawn = plot("fig4", curves, runs)
    low, high = drawn.figure.axes[0].get_ylim()
    beyond = curves[curves["split"].isin(["train_clean", "test"])]["error"]
    assert ("above" in drawn.caption) == (beyond > high).any() and ("below" in drawn.caption) == (beyond < low).any()


def test_shortcuts_name_test_errors_above_their_axis() -> None:
    drawn = plot("shortcuts", *variants.shortcuts())
    assert "above 20 %" in drawn.caption and "up to" in drawn.caption


@pytest.mark.parametrize("figure", ["contours", "surface3d"])
def test_values_beyond_the_levels_are_named(figure: str, planes: pd.DataFrame) -> None:
    frame = planes.copy()
    two = (frame["dims"] == 2) & (frame["split"] == "train") & (frame["network"] == "plain") & (frame["depth"] == 20)
    frame.loc[frame[two].index[0], "loss"] = 4321.0
    frame.loc[frame[two].index[40], "loss"] = 0.0123
    words = plot(figure, frame, None).caption
    assert "above 9.6 nats" in words and "plain-20 up to 4321" in words
    assert "below 0.1 nats" in words and "plain-20 down to 0.0123" in words


def test_a_loss_of_zero_on_a_logarithmic_axis_is_named(planes: pd.DataFrame) -> None:
    frame = planes.copy()
    line = frame[(frame["dims"] == 1) & (frame["split"] == "train") & (frame["depth"] == 20)].index
    frame.loc[line[0], "loss"] = 0.0
    assert "loss not above 0" in plot("line1d", frame, None, scale="log").caption.lower()


def test_vanished_gradients_are_named(probes: Frames) -> None:
    frame, runs = probes
    here = (frame["probe"] == "gradients") & (frame["measure"] == "norm") & (frame["network"] == "plain")
    faint = frame.assign(value=frame["value"].where(~here | (frame["place"] != 1), 1e-30))
    assert "down to 1e-30" in plot("gradients", faint, runs).caption


@pytest.mark.parametrize("figure", ["responses", "identity_ness"])
def test_zeros_of_a_logarithmic_axis_are_named(figure: str, probes: Frames) -> None:
    frame, runs = probes
    here = (frame["network"] == "plain") & (frame["place"] == 1)
    zeros = frame.assign(value=frame["value"].where(~here, 0.0))
    assert "values not above 0" in plot(figure, zeros, runs, scale="log").caption.lower()

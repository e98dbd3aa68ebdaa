"""The time axis from which idle stretches are cut."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from study.plotting import timescale


def test_without_long_idle_stretches_nothing_is_cut() -> None:
    times = timescale.scale([0, 50, 150], [40, 90, 200], 200)
    assert times.cuts == () and times.name == "min"
    np.testing.assert_allclose(times.place([0, 30, 200]), [0, 0.5, 200 / 60])


def test_a_long_idle_stretch_is_cut_and_order_is_kept() -> None:
    day = 86_400.0
    times = timescale.scale([0, 20, 9 * day], [60, 100, 9 * day + 50], 9 * day + 50)
    assert times.cuts == (timescale.Cut(100, 9 * day),) and times.name == "s"
    places = times.place([0, 100, 4 * day, 9 * day, 9 * day + 50])
    assert (np.diff(places) > 0).all() and np.isnan(times.place([float("nan")])[0])
    np.testing.assert_allclose(places[[0, 1, 3]], [0, 100, 100 + 0.08 * 150])
    at, texts = times.ticks()
    assert texts[0] == "0" and "777,600" in texts and len(texts) == len(set(texts))
    assert (np.diff(at) >= timescale.APART * places[-1] - 1e-9).all()
    inside = (at > places[1] + 1e-9) & (at < places[3] - 1e-9)
    assert not inside.any()


def test_a_cut_is_marked_and_says_how_long_it_is() -> None:
    axes = Figure().add_subplot()
    timescale.mark(axes, timescale.scale([0, 7200], [60, 7260], 7260), says=True)
    assert [text.get_text() for text in axes.texts] == ["119 min idle"]
    assert [line.get_gid() for line in axes.lines] == ["cut", "cut"]


def test_work_that_took_no_time_is_no_reason_to_cut() -> None:
    times = timescale.scale([0, 500], [0, 500], 500)
    assert times.cuts == () and np.isfinite(times.ticks()[0]).all()
    assert timescale.scale([0], [0], 0.0).ticks()[1] == ["0"]

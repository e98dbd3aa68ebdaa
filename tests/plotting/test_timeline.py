"""The timeline against the attempts that it was drawn from."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from study.errors import StudyError
from study.plotting import gantt, timeline
from study.plotting.canvas import Plot
from study.plotting.style import styled

from .boxes import unreadable, written
from .tried import attempt, crowd, eventful, frames, run


def bars(axes: Axes, outcome: str) -> np.ndarray:
    """(begin, finish, row) of each bar of a panel, sorted."""
    shapes = [c for c in axes.collections if c.get_gid() == outcome]
    corners = [path.vertices[:4] for shape in shapes for path in shape.get_paths()]
    found = [(c[:, 0].min(), c[:, 0].max(), c[:, 1].mean()) for c in corners]
    return np.array(sorted(found, key=lambda bar: (bar[2], bar[0]))).reshape(-1, 3)


def words(plot: Plot) -> str:
    return "\n".join(text.get_text() for text in written(plot.figure))


def test_the_picture_shows_exactly_the_data() -> None:
    plot = timeline.plot(*eventful())
    axes = plot.figure.axes[0]
    tries = plot.data[plot.data["kind"] == "attempt"]
    assert len(tries) == 9
    for outcome in timeline.OUTCOMES:
        here = tries[tries["outcome"] == outcome].sort_values(["row", "begin"])
        assert not here.empty
        wanted = here[["begin", "finish", "row"]].to_numpy(float) / [60, 60, 1]
        np.testing.assert_allclose(bars(axes, outcome), wanted, atol=1e-9)
    assert axes.get_xlabel() == "time since the first start (min)"
    (strip,) = plot.figure.axes[1:]
    steps = plot.data[plot.data["kind"] == "at_once"]
    assert steps["at_once"].max() == 3 and steps["at_once"].iloc[-1] == 0
    outline = strip.collections[0].get_paths()[0].vertices
    assert set(np.round(outline[:, 1])) == set(steps["at_once"].astype(float))
    assert strip.get_xlim() == axes.get_xlim()


def test_times_count_from_the_first_start() -> None:
    data = timeline.plot(*eventful()).data
    again = data[(data["run_id"] == "plain-20-cifar10-s1") & (data["attempt"] == 2)].iloc[0]
    assert (again["begin"], again["finish"], again["outcome"], again["place"]) == (900, 1300, "done", "node2")


def test_what_cut_attempts_short_is_numbered_and_named() -> None:
    plot = timeline.plot(*eventful())
    notes = words(plot)
    assert "interrupted: 1 = Ctrl-C (1 attempt); 2 = preemption (SIGUSR2) (1" in notes
    assert "failed: 3 = CUDA out of memory (1 attempt)" in notes
    marks = {(t.get_text(), t.xy[1]) for t in plot.figure.axes[0].texts if t.get_gid() == "cause"}
    wanted = plot.data.dropna(subset="cause")
    assert {(f"{c:.0f}", row) for c, row in zip(wanted["cause"], wanted["row"], strict=True)} <= marks
    assert {mark for mark, _ in marks} == {"1", "2", "3", "×", "▸", "?"}


def test_a_killed_attempt_ends_at_its_last_sign_and_is_open_to_the_next_start() -> None:
    plot = timeline.plot(*eventful())
    killed = plot.data[plot.data["outcome"] == "unknown"].iloc[0]
    assert (killed["begin"], killed["finish"], killed["until"]) == (20, 200, 900)
    (tails,) = [c for c in plot.figure.axes[0].collections if c.get_gid() == "until"]
    np.testing.assert_allclose(tails.get_segments()[0], [[200 / 60, killed["row"]], [15, killed["row"]]])
    assert "no recorded end (?): 1 attempt" in words(plot)


def test_a_killed_attempt_of_which_nothing_more_is_known_has_no_length() -> None:
    one = run("plain", 20, 0, "interrupted")
    data = timeline.plot(*frames([attempt(one, 1, 5, None, None)], [one])).data
    bar = data[data["kind"] == "attempt"].iloc[0]
    assert (bar["begin"], bar["finish"], bar["outcome"]) == (0, 0, "unknown") and np.isnan(bar["until"])


def test_places_have_letters_and_absent_runs_are_named() -> None:
    plot = timeline.plot(*eventful())
    notes = words(plot)
    assert "places, cpu: a = node1; b = node2" in notes
    letters = [(t.get_text(), t.xy[1]) for t in plot.figure.axes[0].texts if t.get_gid() == "place"]
    tries = plot.data[plot.data["kind"] == "attempt"]
    assert sorted(letters) == sorted(zip(tries["place"].map({"node1": "a", "node2": "b"}), tries["row"], strict=True))
    for said in (
        "diverged (×): plain-56 seed 1",
        "failed: residual-20 seed 0",
        "running: residual-56 seed 0",
        "missing: residual-56 seed 1",
    ):
        assert said in notes
    assert plot.data[plot.data["kind"] == "missing"]["run_id"].tolist() == ["residual-56-cifar10-s1"]
    assert "7 runs, 9 attempts" in notes and "from 2026-11-22 09:31 UTC" in notes


def test_rows_by_place() -> None:
    plot = timeline.plot(*eventful(), by="place")
    rows = plot.data[plot.data["kind"] != "at_once"]
    assert list(dict.fromkeys(rows.sort_values("row")["group"])) == ["node1", "node2", "not started"]
    assert (rows.groupby("row")["group"].nunique() == 1).all() and rows["row"].nunique() == 9
    with pytest.raises(StudyError, match="unknown grouping 'plce'; did you mean 'place'"):
        timeline.plot(*eventful(), by="plce")


def test_without_attempts_a_run_is_one_bar() -> None:
    table, runs = eventful()
    began = pd.Timestamp("2026-11-22", tz="UTC")
    runs["started"] = [began + pd.Timedelta(hours=n) for n in range(6)] + [pd.NaT]
    runs["finished"] = [began + pd.Timedelta(hours=n + 2) for n in range(4)] + [pd.NaT] * 3
    plot = timeline.plot(table.iloc[:0], runs)
    drawn = plot.data[plot.data["kind"] == "run"]
    assert len(drawn) == 6 and drawn["outcome"].tolist().count("done") == 3
    done = drawn[drawn["outcome"] == "done"]
    assert (done["finish"] - done["begin"]).tolist() == [7200] * 3
    assert "attempts were not collected of 6 runs" in words(plot)
    assert plot.figure.axes[0].get_xlabel().endswith("(h)")
    mixed = timeline.plot(
        table[table["run_id"] != runs["run_id"].iloc[0]], runs
    ).data  # two sweeps, of which one is older
    assert (mixed["kind"] == "run").sum() == 1 and (mixed["kind"] == "attempt").sum() == 8


def test_nothing_started_is_refused() -> None:
    table, runs = eventful()
    with pytest.raises(StudyError, match="of none of the 7 runs is known when it was started"):
        timeline.plot(table.iloc[:0], runs)
    with pytest.raises(StudyError, match="the attempts frame lacks end, outcome"):
        timeline.plot(table.drop(columns=["end", "outcome"]), runs)
    with pytest.raises(StudyError, match="the attempts frame lacks depth"):
        timeline.plot(table.drop(columns="depth"))


def test_runs_may_be_left_out() -> None:
    data = timeline.plot(eventful()[0]).data
    assert "missing" not in set(data["kind"]) and data["run_id"].nunique() == 6


def test_odd_values_draw() -> None:
    one, other = run("plain", 20, 0), run("plain", 56, 0, "interrupted")
    tries = [
        attempt(one, 1, 100, 40, "done"),  # a host whose clock is behind
        attempt(other, 1, 0, 50, "vanished", "?", host=None, device=None),
        attempt(other, 2, 60, 70, None),
    ]
    plot = timeline.plot(*frames(tries, [one, other]))
    drawn = plot.data[plot.data["kind"] == "attempt"]
    assert (drawn["finish"] >= drawn["begin"]).all() and drawn["outcome"].tolist() == ["done", "unknown", "unknown"]
    lost = frames(tries, [one, other])
    lost[0].loc[0, "start"] = pd.NaT
    data = timeline.plot(*lost).data
    assert data[data["kind"] == "missing"]["run_id"].tolist() == [one["run_id"]]


@pytest.mark.parametrize(("seconds", "unit"), [(100, "s"), (5000, "min"), (100_000, "h"), (1_000_000, "days")])
def test_units_fit(seconds: float, unit: str) -> None:
    one = run("plain", 20, 0)
    axes = timeline.plot(*frames([attempt(one, 1, 0, seconds, "done")], [one])).figure.axes[0]
    assert axes.get_xlabel().endswith(f"({unit})") and len(axes.get_xticks()) > 2


def test_conditions_have_panels_of_their_own() -> None:
    one, other = run("plain", 20, 0), run("plain", 20, 0, dataset="cifar10-jpeg")
    plot = timeline.plot(*frames([attempt(one, 1, 0, 10, "done"), attempt(other, 1, 20, 30, "done")], [one, other]))
    assert len(plot.figure.axes) == 4 and set(plot.data["condition"]) == {"cifar10", "cifar10-jpeg"}
    assert plot.figure.axes[0].get_xlim() == plot.figure.axes[1].get_xlim()
    with styled("paper"):
        assert unreadable(plot.figure) == []
    assert words(plot).count("cifar10-jpeg") == 1


def test_an_idle_week_is_cut_out() -> None:
    table, runs = eventful()
    table = table[table["outcome"] != "running"].copy()
    late = table["attempt"] > 1
    table.loc[late, ["start", "end"]] += pd.Timedelta(days=7)
    with styled("paper"):
        plot = timeline.plot(table, runs)
    axes = plot.figure.axes[0]
    assert axes.get_xlim()[1] < 100 and "days idle" in words(plot)  # minutes
    assert plot.data["finish"].max() > 7 * 86_400  # the CSV has the times as they were
    with styled("paper"):
        assert unreadable(plot.figure) == []


def test_many_runs_have_thin_rows_and_fewer_words() -> None:
    hundred = timeline.plot(*crowd(100))
    assert hundred.figure.get_figheight() < 8
    names = [t.get_text() for t in hundred.figure.axes[0].texts]
    assert "plain-20" in names and "residual-110" in names and "0" not in names
    assert not [t for t in hundred.figure.axes[0].texts if t.get_gid() in ("cause", "place")]
    assert "interrupted: preemption (SIGUSR2) (10 attempts)" in words(hundred)
    assert "on 3 places, NVIDIA H100 80GB HBM3: gpu00, gpu01, gpu02; by=place" in words(hundred).replace("\n", " ")


def test_thousands_of_runs_draw_in_time() -> None:
    many = crowd(5000, workers=64, hosts=8)
    began = time.process_time()
    plot = timeline.plot(*many)
    assert time.process_time() - began < 3
    assert (plot.data["kind"] == "attempt").sum() > 5000 and plot.figure.get_figheight() < 9
    drawn = sum(len(c.get_paths()) for c in plot.figure.axes[0].collections if c.get_gid() in gantt.LOOKS)
    assert drawn == (plot.data["kind"] == "attempt").sum()
    assert "diverged (×): 143 runs, too many to name here" in words(plot)


@pytest.mark.parametrize("style", ["paper", "talk"])
@pytest.mark.parametrize(
    ("made", "by"),
    [(eventful, "network"), (eventful, "place"), (lambda: crowd(40), "network"), (lambda: crowd(100), "place")],
)
def test_no_text_overlaps_or_is_cut_off(style: str, made, by: str) -> None:  # type: ignore[no-untyped-def]
    with styled(style):
        faults = unreadable(timeline.plot(*made(), by=by).figure)
    marks = {"1", "2", "3", "×", "?", "a", "b", "c"}  # of bars that are short, these may touch
    assert not [f for f in faults if not set(f.removeprefix("on each other: ").split(" | ")) & marks]

"""What the figures of probes have in common: which runs and values they show, and what they say of the rest."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from study.errors import StudyError
from study.plotting import figure
from study.plotting.base.style import depth_colour, styled
from study.plotting.probes.frames import at, averaged, means, measured, not_finite
from study.plotting.probes.lines import looks

from .conftest import Frames
from .probed import probed

ALL = ("responses", "gradients", "identity_ness", "effective_depth")
PROBE = {"responses": "responses", "gradients": "gradients", "identity_ness": "identity", "effective_depth": "paths"}


def together(*frames: Frames) -> Frames:
    return pd.concat([f for f, _ in frames], ignore_index=True), pd.concat([r for _, r in frames], ignore_index=True)


def texts(drawn: Figure) -> str:
    return "\n".join(text.get_text() for text in drawn.texts)


@pytest.fixture(scope="module")
def small() -> Frames:
    """Plain and residual 8 and 20, two seeds, measured at the start and at the end."""
    return probed(depths=(8, 20), seeds=2, iterations=(0, 100))


@pytest.mark.parametrize("name", ALL)
def test_frames_that_cannot_feed_a_figure_say_what_to_do(name: str, small: Frames) -> None:
    frame, runs = small
    for nothing in (frame[:0], frame[frame["probe"] != PROBE[name]]):
        with pytest.raises(StudyError, match=f"nothing to draw: .*`study probe SWEEP --probes {PROBE[name]}` does it"):
            figure(name, nothing, runs)
    with pytest.raises(StudyError, match="the probes frame lacks place, value"):
        figure(name, frame.drop(columns=["place", "value"]), runs)
    with pytest.raises(StudyError, match="the runs frame lacks depth"):
        figure(name, frame, runs.drop(columns="depth"))
    with pytest.raises(StudyError, match="the probes frame lacks depth"):
        figure(name, frame.drop(columns="depth"))
    with pytest.raises(StudyError, match="probes of 1 runs that the runs frame does not list"):
        figure(name, frame, runs[1:])


@pytest.mark.parametrize("name", ALL)
def test_every_figure_names_the_runs_that_it_lacks(name: str, probes: Frames) -> None:
    notes = texts(figure(name, *probes))
    for note in (
        "diverged (×): plain-56 seed 3 at iteration 20,000", "running: residual-20 seed 1 at iteration 40,000",
        "missing: residual-56 seed 2", "not measured: plain-20 seed 0",
    ):  # fmt: skip
        assert note in notes


@pytest.mark.parametrize("name", ALL)
def test_every_figure_names_values_that_are_not_finite_and_draws_the_others(name: str, small: Frames) -> None:
    frame, runs = small
    frame = frame.copy()
    odd = (frame["run_id"] == runs["run_id"].iloc[0]) & (frame["place"] == 1)
    frame.loc[odd, "value"] = np.where(frame.loc[odd, "iteration"] == 0, np.nan, np.inf)
    assert "not finite: plain-8 seed 0 (" in texts(figure(name, frame, runs))
    for value in (np.nan, 0.0, -1.0, 1e-30):
        FigureCanvasAgg(figure(name, frame.assign(value=value), runs)).draw()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("style", ["paper", "talk"])
def test_no_text_overlaps_or_is_cut_off(name: str, style: str, probes: Frames) -> None:
    with styled(style):
        drawn = figure(name, *probes, style=style)
        FigureCanvasAgg(drawn).draw()
        found = [text for text in drawn.findobj(Text) if text.get_visible() and text.get_text().strip()]
        # Ticks outside of the axis' view are texts too, though they are not drawn.
        drawn_texts = [text for text in found if not _is_hidden_tick(drawn, text)]
        boxes = [(text.get_text(), text.get_window_extent()) for text in drawn_texts]
    assert len(boxes) > 10
    page = drawn.bbox
    for number, (text, box) in enumerate(boxes):
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1, text
        for other, there in boxes[:number]:
            across = min(box.x1, there.x1) - max(box.x0, there.x0)
            along = min(box.y1, there.y1) - max(box.y0, there.y0)
            assert across <= 0 or along <= 0.3 * min(box.height, there.height), (text, other)


def _is_hidden_tick(drawn: Figure, text: Text) -> bool:
    for axes in drawn.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if text in (tick.label1, tick.label2):
                    return not (axes.axison and low <= tick.get_loc() <= high)
    return False


def test_the_end_is_each_runs_own_last_iteration(small: Frames) -> None:
    longer = probed(depths=(20,), networks=("plain",), seeds=1, iterations=(0, 300), recipe="other")
    both = together(small, longer)
    rows = at(measured(*both, "responses", ["std"]), None).rows
    assert rows.groupby("recipe")["iteration"].unique().map(list).to_dict() == {"he2015_cifar": [100], "other": [300]}


def test_a_run_that_was_not_measured_at_the_end_is_named_and_left_out(small: Frames) -> None:
    frame, runs = small
    early = runs["run_id"].iloc[0]
    frame = frame[(frame["run_id"] != early) | (frame["iteration"] == 0)]
    end = at(measured(frame, runs, "responses", ["std"]), None)
    assert early not in set(end.rows["run_id"])
    assert "not measured at the last iteration: plain-8 seed 0" in end.notes
    with pytest.raises(StudyError, match="no run was measured at the last iteration; iteration= takes 0"):
        at(measured(frame[frame["iteration"] == 0], runs, "responses", ["std"]), None)


def test_at_an_iteration_of_ones_choice_runs_count_whatever_became_of_them(probes: Frames) -> None:
    evidence = measured(*probes, "responses", ["std"])
    early = at(evidence, 16_000)
    assert {"diverged", "running", "done"} == set(early.rows["state"])
    assert early.subtitle.endswith("at iteration 16,000")
    late = at(evidence, 48_000)
    assert "not measured at iteration 48,000: residual-20 seed 1; plain-56 seed 3" in late.notes
    with pytest.raises(
        StudyError, match="no run was measured at iteration 7; iteration= takes 0, 16,000, 32,000, 48,000"
    ):
        at(evidence, 7)


def test_means_are_of_one_set_of_seeds() -> None:
    rows = pd.DataFrame({
        "condition": "", "network": "plain", "depth": 20, "label": "20", "run_id": [*"aaabbb"],
        "place": [1, 2, 3, 1, 2, 4], "value": [1.0, 2, 3, 4, np.inf, 6],
    })  # fmt: skip
    found = means(rows, ["place"]).set_index("place")
    assert found["value"].to_dict() == {1: 2.5, 2: pytest.approx(np.nan, nan_ok=True)}  # 3 and 4 one run lacks
    assert set(found["n"]) == {2}
    assert means(rows, ["place"], geometric=True).set_index("place")["value"][1] == pytest.approx(2)
    assert means(rows.assign(value=0.0), ["place"], geometric=True)["value"].tolist() == [0, 0]


def test_runs_under_way_are_averaged_while_none_is_done_and_lost_ones_never() -> None:
    rows = pd.DataFrame(
        {"condition": "", "network": "plain", "depth": 20, "label": [*"ttttuuu"], "run_id": [*"abcdefg"]}
    )
    rows["state"] = ["done", "done", "running", "diverged", "running", "diverged", "failed"]
    assert averaged(rows)["run_id"].tolist() == ["a", "b", "e"]


def test_values_that_are_not_finite_are_counted_by_run(small: Frames) -> None:
    evidence = measured(*small, "responses", ["std"])
    assert not_finite(evidence.rows, evidence.runs) == []
    rows = evidence.rows.copy()
    rows.loc[(rows["network"] == "residual") & (rows["depth"] == 8) & (rows["place"] < 3), "value"] = -np.inf
    wanted = "not finite: residual-8 seed 0 (4 of 14 values); residual-8 seed 1 (4 of 14 values)"
    assert not_finite(rows, evidence.runs) == [wanted]


def test_points_that_were_never_measured_are_named_and_change_no_label(small: Frames) -> None:
    other = probed(depths=(20,), networks=("residual",), seeds=2, iterations=(0, 100), shortcut="B")
    evidence = measured(small[0], together(small, other)[1], "responses", ["std"])
    assert set(evidence.runs["label"]) == {"8", "20"}
    assert evidence.notes == ["not measured: residual-20 seeds 0, 1"]
    stray = other[1].assign(dataset="digits", state="failed")
    evidence = measured(small[0], pd.concat([small[1], stray]), "responses", ["std"])
    assert evidence.title == "cifar10" and evidence.notes == ["failed: residual-20 (digits) seeds 0, 1"]


def test_of_twins_the_one_that_was_measured_is_shown(small: Frames) -> None:
    frame, runs = small
    frame, runs = frame.assign(snapshot_every="every"), runs.assign(snapshot_every="every")
    unmeasured = runs.assign(snapshot_every=None, run_id=runs["run_id"] + "-bare", point_id=runs["point_id"] + "-bare")
    evidence = measured(frame, pd.concat([runs, unmeasured]), "responses", ["std"])
    assert set(evidence.rows["run_id"]) == set(frame["run_id"])
    assert evidence.notes == [] and set(evidence.runs["label"]) == {"8", "20"}
    twice = pd.concat([frame, frame.assign(run_id=frame["run_id"] + "-bare", value=7.0)])
    both = measured(twice, pd.concat([runs, unmeasured]), "responses", ["std"]).rows
    assert both.groupby(["network", "depth", "seed"])["run_id"].nunique().tolist() == [1] * 8


def test_runs_may_be_left_out(small: Frames) -> None:
    assert measured(small[0], None, "responses", ["std"]).rows.equals(measured(*small, "responses", ["std"]).rows)


def test_depths_have_their_colours_networks_their_dashes_and_variants_marks() -> None:
    data = pd.DataFrame({
        "network": ["plain", "residual", "residual", "residual"], "depth": [20, 20, 20, 56],
        "label": ["20", "20 A", "20 B", "56"],
    })  # fmt: skip
    found = looks(data)
    assert {key: (look["color"], look["linestyle"]) for key, look in found.items()} == {
        ("plain", "20"): (depth_colour(20), "--"), ("residual", "20 A"): (depth_colour(20), "-"),
        ("residual", "20 B"): (depth_colour(20), "-"), ("residual", "56"): (depth_colour(56), "-"),
    }  # fmt: skip
    assert [look.get("marker") for look in found.values()] == [None, "o", "s", None]

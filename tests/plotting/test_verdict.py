"""The verdict's figure against the verdict itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import study
from study.errors import StudyError
from study.plotting.base.style import styled
from study.plotting.curves import verdict
from tests.stats.conftest import degrades, sweep

from .boxes import unreadable, written
from .conftest import Frames, cut, run_id


def words(plot: verdict.Plot) -> str:
    return "\n".join(text.get_text() for text in written(plot.figure))


def test_the_numbers_are_the_verdicts(absences: Frames) -> None:
    data = verdict.plot(*absences).data
    means = data[data["kind"] == "mean"].set_index("contrast")
    table = study.verdict(*absences).table()
    train = table[table["measure"] == "train"].drop_duplicates("contrast").set_index("contrast")
    for name in ("plain-56 − plain-20", "residual-56 − residual-20", "plain-56 − residual-56"):
        mine, theirs = means.loc[[name]].iloc[0], train.loc[name]
        assert (mine["difference"], mine["n"], mine["p"]) == (theirs["mean"], theirs["n"], theirs["p"])
        np.testing.assert_array_equal(mine[["low", "high"]].astype(float), theirs[["low", "high"]].astype(float))
    assert means["question"].tolist() == [
        "plain-56 − plain-20, training error", "residual-56 − residual-20, training error",
        "relief by the shortcut, 20 to 56 layers", "plain-56 − residual-56, training error",
        "plain-56 − plain-20, test − training error", "residual-56 − residual-20, test − training error",
    ]  # fmt: skip


def test_the_picture_shows_exactly_the_data(absences: Frames) -> None:
    plot = verdict.plot(*absences)
    axes = plot.figure.axes[0]
    for question, here in plot.data.groupby("question"):
        drawn = {
            kind: [line for line in axes.lines if line.get_gid() == f"{question} {kind}"]
            for kind in ("seed", "mean", "diverged")
        }
        seeds = here[here["kind"] == "seed"]["difference"]
        np.testing.assert_array_equal(drawn["seed"][0].get_xdata(), seeds[seeds.abs() < math.inf])
        mean = here[here["kind"] == "mean"].iloc[0]
        assert drawn["mean"][0].get_xdata()[0] == mean["difference"]
        assert len(drawn["diverged"]) == (seeds.abs() == math.inf).sum()
        (bar,) = [c for c in axes.collections if c.get_gid() == question]
        ends = bar.get_segments()[0][:, 0] if mean["n"] > 3 and np.isfinite(mean["low"]) else [np.nan] * 2
        np.testing.assert_array_equal(ends, [mean["low"], mean["high"]])


def test_the_answer_stands_beside_each_difference(absences: Frames) -> None:
    plot = verdict.plot(*absences)
    answers = [text.get_text() for text in plot.figure.axes[0].texts if text.get_gid() == "answer"]
    assert answers == ["rises with depth", *["cannot tell"] * 5]
    tests = [text.get_text() for text in plot.figure.axes[0].texts if text.get_gid() == "test"]
    assert tests[0] == "p = 0.031†, n = 5" and tests[4].startswith("two-sided p = ")
    notes = words(plot).replace("\n", " ")
    assert "Does depth raise the training error of plain networks? Yes." in notes
    assert "Does the shortcut mend it (residual)? Cannot tell: all 3 seeds point to 'yes'" in notes
    assert "† the smallest p that so many pairs can give" in notes


def test_diverged_runs_stand_at_the_edge_they_speak_for(make: Callable[..., Frames]) -> None:
    frames = make(seeds=5, iterations=400, evaluations=8)
    for seed in (0, 1):
        frames = cut(frames, run_id(frames[1], "plain", 56, seed), "diverged", 100)
    frames = cut(frames, run_id(frames[1], "plain", 20, 2), "diverged", 100)
    plot = verdict.plot(*frames)
    crosses = [
        line for line in plot.figure.axes[0].lines if line.get_gid() == "plain-56 − plain-20, training error diverged"
    ]
    places = sorted(float(line.get_xdata()[0]) for line in crosses)
    assert places[0] == 0 and 0.9 < places[1] < places[2] == 1
    assert "diverged" in [text.get_text() for text in plot.figure.legends[0].get_texts()]


def test_unpaired_undecided_and_absent_runs_are_named(absences: Frames) -> None:
    notes = words(verdict.plot(*absences)).replace("\n", " ")
    assert "unpaired: seed 1: residual-20 is still running; seed 4: residual-56 is missing" in notes
    assert "diverged (×): plain-56 seed 3 at iteration 9,700" in notes and "missing: residual-56 seed 4" in notes
    assert "left undecided by diverged runs, counted in n and not drawn: 1 pair" in notes


def test_one_seed_has_no_interval_and_no_p(make: Callable[..., Frames]) -> None:
    plot = verdict.plot(*make(seeds=1, iterations=400))
    means = plot.data[plot.data["kind"] == "mean"]
    assert means[["low", "high"]].isna().all(axis=None)
    assert {t.get_text() for t in plot.figure.axes[0].texts if t.get_gid() == "test"} == {"n = 1"}
    assert means["p"].isna().all() and "95 %" not in plot.figure.legends[0].get_texts()[-1].get_text()


def test_its_csv_has_whole_numbers_and_no_p_of_one_seed(make: Callable[..., Frames], tmp_path: Path) -> None:
    for seeds, tested in ((1, False), (2, True)):
        path = tmp_path / "verdict.csv"
        verdict.plot(*make(seeds=seeds, iterations=400)).data.to_csv(path, index=False)
        rows = pd.read_csv(path, dtype=str).fillna("")
        of_seeds, means = rows[rows["kind"] == "seed"], rows[rows["kind"] == "mean"]
        assert set(of_seeds["seed"]) == set(map(str, range(seeds))) and set(means["n"]) == {str(seeds)}
        assert set(means["sides"]) <= {"1", "2"} and (means["p"] != "").all() == tested
        assert (means[["low", "high"]] == "").all(axis=None)


def test_one_network_or_one_depth_gives_what_there_is(make: Callable[..., Frames]) -> None:
    data = verdict.plot(*make(networks=("plain",), seeds=2, iterations=400)).data
    assert data["question"].nunique() == 2
    data = verdict.plot(*make(depths=(56,), seeds=2, iterations=400)).data
    assert set(data["question"]) == {"plain-56 − residual-56, training error"}
    with pytest.raises(StudyError, match="nothing to draw: no seed has a result of two depths"):
        verdict.plot(*make(depths=(56,), networks=("plain",), seeds=2, iterations=400))
    with pytest.raises(StudyError, match="unknown training split 'tran'; did you mean 'train'"):
        verdict.plot(*make(seeds=1, iterations=400), training="tran")


def test_groups_are_panels_with_titles(make: Callable[..., Frames]) -> None:
    one, other = (make(seeds=2, iterations=400, dataset=name) for name in ("cifar10", "cifar10-jpeg"))
    plot = verdict.plot(pd.concat([one[0], other[0]]), pd.concat([one[1], other[1]]))
    assert len(plot.figure.axes) == 2 and plot.data["group"].nunique() == 2
    assert [axes.texts[0].get_text() for axes in plot.figure.axes] == list(plot.data["group"].unique())
    assert words(plot).replace("\n", " ").count("Does depth raise the training error of plain networks?") == 2


def test_established_differences_say_so() -> None:
    data = verdict.plot(*sweep(degrades, depths=(20, 56, 110))).data
    means = data[data["kind"] == "mean"].set_index("question")
    assert means.loc["plain-110 − plain-20, training error", "answer"] == "rises with depth"
    assert means.loc["residual-110 − residual-20, training error", "answer"] == "falls with depth"
    assert means.loc["relief by the shortcut, 20 to 110 layers", "answer"] == "depth costs less"


@pytest.mark.parametrize("style", ["paper", "talk"])
@pytest.mark.parametrize("options", [("A",), ("A", "B")])
def test_no_text_overlaps_or_is_cut_off(style: str, options: tuple[str, ...], make: Callable[..., Frames]) -> None:
    parts = [make(depths=(20, 1202), seeds=3, iterations=400, evaluations=8, shortcut=option) for option in options]
    curves, runs = (pd.concat(frames).drop_duplicates() for frames in zip(*parts, strict=True))
    curves = curves[~((curves["network"] == "plain") & (curves["point_id"].str.contains("-B-")))]
    runs = runs[~((runs["network"] == "plain") & (runs["point_id"].str.contains("-B-")))]
    frames = cut((curves, runs.drop_duplicates("run_id")), run_id(parts[0][1], "plain", 1202, 1), "diverged", 100)
    with styled(style):
        assert unreadable(verdict.plot(*frames).figure) == []

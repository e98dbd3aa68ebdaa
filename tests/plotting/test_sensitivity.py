"""The sensitivity figure against the runs that it was drawn from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from study.errors import StudyError
from study.plotting.base.style import styled
from study.plotting.curves import sensitivity

from .boxes import unreadable, written
from .conftest import Frames, cut
from .settings import cell, together
from .settings import sensitivity as full


@pytest.fixture(scope="module")
def plain110() -> Frames:
    return full()


def words(plot: sensitivity.Plot) -> str:
    return "\n".join(text.get_text() for text in written(plot.figure))


def test_final_values_are_the_last_iterations(plain110: Frames) -> None:
    curves, _ = plain110
    data = sensitivity.plot(*plain110).data
    seeds = data[data["kind"] == "seed"].set_index("run_id")["error"]
    done = curves[(curves["iteration"] == 400) & (curves["split"] == "train_clean")].set_index("run_id")["error"]
    pd.testing.assert_series_equal(seeds.sort_index(), done.sort_index(), check_index_type=False)
    assert len(seeds) == 60
    tested = sensitivity.plot(*plain110, split="test").data
    assert tested[tested["kind"] == "seed"]["error"].mean() > seeds.mean()


def test_the_picture_shows_exactly_the_data(plain110: Frames) -> None:
    plot = sensitivity.plot(*plain110)
    panels = {(row, column): part for (row, column), part in plot.data.groupby(["row", "column"])}
    titles = ["none", "error", "iterations"], ["glorot", "he_fan_in", "he_fan_out"]
    keys = [(f"warm-up: {row}", f"initialisation: {column}") for row in titles[0] for column in titles[1]]
    for axes, key in zip(plot.figure.axes, keys, strict=True):
        assert axes.get_title("left") == key[1]
        here = panels[key]
        lines = {line.get_gid(): line for line in axes.lines}
        for kind in ("seed", "diverged"):
            wanted = here[here["kind"] == kind]
            np.testing.assert_array_equal(lines[kind].get_xdata(), wanted["place"])
        np.testing.assert_array_equal(lines["seed"].get_ydata(), here[here["kind"] == "seed"]["error"])
        (ticks,) = [c for c in axes.collections if c.get_gid() == "mean"]
        means = here[(here["kind"] == "mean") & here["error"].notna()]
        np.testing.assert_array_equal([s[0, 1] for s in ticks.get_segments()], means["error"])
        assert lines["chance"].get_ydata()[0] == 90


def test_means_and_n(plain110: Frames) -> None:
    plot = sensitivity.plot(*plain110)
    data = plot.data
    seeds = data[data["kind"] == "seed"].groupby(["row", "column", "setting"])["error"]
    means = data[data["kind"] == "mean"].set_index(["row", "column", "setting"])
    pd.testing.assert_series_equal(
        means["error"].astype(float).sort_index(), seeds.mean().sort_index(), check_names=False, check_index_type=False
    )
    assert means["n"].loc["warm-up: none", "initialisation: he_fan_out", "0.1"] == 1
    ticks = [label.get_text() for label in plot.figure.axes[2].get_xticklabels()]
    assert ticks == ["0.01\nn=3", "0.03\nn=3", "0.1\nn=1"]
    nothing_planned = plot.figure.axes[3].get_xticklabels()[0]
    assert nothing_planned.get_text() == "0.01\n–"


def test_absent_runs_are_named_with_their_settings(plain110: Frames) -> None:
    plot = sensitivity.plot(*plain110)
    notes = words(plot).replace("\n", " ")
    assert "plain-110 (learning rate 0.1, initialisation he_fan_out, warm-up none) seed 0 at iteration 100" in notes
    assert "missing: plain-110 (learning rate 0.01, initialisation glorot, warm-up none) seed 2" in notes
    assert len(plot.data[plot.data["kind"] == "diverged"]) == 2
    assert "plain-110 · he2015_cifar" in notes and "changed: learning_rate" not in notes
    assert "60 of 63 runs done" in plot.caption


def test_seeds_stand_beside_each_other(plain110: Frames) -> None:
    data = sensitivity.plot(*plain110).data
    marks = data[data["kind"].isin(["seed", "diverged"])]
    assert not marks.duplicated(["row", "column", "place"]).any()


@pytest.mark.parametrize(
    "varied", [("recipe.learning_rate",), ("initialisation",), ("recipe.warmup", "initialisation")]
)
def test_any_fields_that_vary(varied: tuple[str, ...]) -> None:
    starts = ("glorot", "he_fan_in") if "initialisation" in varied else ("glorot",)
    rates = (0.1, 0.03) if "recipe.learning_rate" in varied else (0.1,)
    warmups = ("none", "error") if "recipe.warmup" in varied else ("none",)
    parts = [cell(r, s, w, seeds=1) for r in rates for s in starts for w in warmups]
    plot = sensitivity.plot(*together(parts))
    assert len(plot.data[plot.data["kind"] == "seed"]) == len(parts)
    assert len(plot.figure.axes) == (2 if len(varied) == 2 else 1)


def test_a_field_that_follows_from_another_is_no_axis() -> None:
    parts = []
    for rate, decay, milestones in ((0.1, 1e-4, [200, 300]), (0.03, 5e-4, [300])):
        frames = cell(rate, "glorot", "none", seeds=1, **{"recipe.weight_decay": decay})
        for frame in frames:  # a list is an array in a frame that was read from Parquet
            frame["recipe.schedule.at"] = [np.array(milestones)] * len(frame)
        parts.append(frames)
    plot = sensitivity.plot(*together(parts))
    assert len(plot.figure.axes) == 1 and plot.figure.axes[0].get_xlabel() == "learning rate"
    told = (
        "milestones 300 (learning rate 0.03) and 200/300 (learning rate 0.1); "
        "weight decay 0.0005 (learning rate 0.03) and 0.0001 (learning rate 0.1)"
    )
    assert f"what differs along with these: {told}" in words(plot).replace("\n", " ")


def test_further_networks_are_rows_or_left_out(make: Callable[..., Frames]) -> None:
    one, other = cell(0.1, "glorot", "none", seeds=1), cell(0.03, "glorot", "none", seeds=1)
    plain = make(depths=(20,), networks=("plain",), seeds=1, iterations=400, **{"recipe.learning_rate": 0.1})
    assert "left out, as nothing of their recipe varies: plain-20" in words(
        sensitivity.plot(*together([one, other, plain]))
    )
    more = [
        make(depths=(56,), networks=("residual",), seeds=1, iterations=400, **{"recipe.learning_rate": rate})
        for rate in (0.1, 0.03)
    ]
    for number, (curves, runs) in enumerate(more):
        for frame in (curves, runs):
            frame["run_id"], frame["point_id"] = f"r{number}-" + frame["run_id"], f"r{number}-" + frame["point_id"]
            frame["initialisation"], frame["recipe.warmup"] = "glorot", "none"
    plot = sensitivity.plot(*together([one, other, *more]))
    assert [axes.texts[0].get_text() for axes in plot.figure.axes] == ["plain-110", "residual-56"]


def test_the_chance_level_is_drawn_where_the_classes_are_known(plain110: Frames) -> None:
    for name, guess in (("cifar100", 99.0), ("image_folder", None), ("unheard_of", None)):
        runs = plain110[1].assign(data=name)
        assert sensitivity.chance(runs) == guess
    curves, runs = plain110
    low = sensitivity.plot(
        curves.assign(error=curves["error"] / 20), runs
    ).figure  # far below it: the axis is not stretched
    assert low.axes[0].get_ylim()[1] < 10
    assert not any(text.get_text().startswith("guessing") for text in low.legends[0].get_texts())


def test_where_nothing_varies_there_is_nothing_to_draw(small: Frames) -> None:
    with pytest.raises(StudyError, match="nothing to draw: the runs of no network differ in recipe or initialisation"):
        sensitivity.plot(*small)
    with pytest.raises(StudyError, match="unknown split 'tst'; did you mean 'test'"):
        sensitivity.plot(*small, split="tst")


def test_without_a_finished_run_there_is_nothing_to_draw() -> None:
    frames = together([cell(rate, "glorot", "none", seeds=1) for rate in (0.1, 0.03)])
    for run in frames[1]["run_id"]:
        frames = cut(frames, run, "running", 200)
    with pytest.raises(StudyError, match="none of the 2 runs is done"):
        sensitivity.plot(*frames)


@pytest.mark.parametrize("style", ["paper", "talk"])
def test_no_text_overlaps_or_is_cut_off(style: str, plain110: Frames) -> None:
    with styled(style):
        assert unreadable(sensitivity.plot(*plain110).figure) == []
        alone = together([cell(rate, "glorot", "none", seeds=1) for rate in (0.1, 0.03)])
        assert unreadable(sensitivity.plot(*alone).figure) == []

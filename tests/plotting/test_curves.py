"""Figures of curves: the numbers they show, which runs they show, and what they say of the others."""

import math

import numpy as np
import pytest

import study
from study.plotting import plot, table
from tests.frames import same, together
from tests.stats.conftest import degrades, sweep

from . import variants
from .conftest import cut
from .conftest import study as make
from .planes import notes


def final(curves, split):
    """run id -> error at the last iteration."""
    own = curves[(curves["split"] == split) & (curves["iteration"] == curves["iteration"].max())]
    return own.set_index("run_id")["error"]


def test_degradation_has_every_seed_and_the_mean_over_finished_ones(absences, drawn):
    data = drawn("degradation").data
    curves = absences[0][absences[0]["split"] != "train"]
    keys = ["network", "depth", "split", "iteration"]
    same(
        data[data["kind"] == "seed"].set_index(["run_id", *keys])["error"], curves.set_index(["run_id", *keys])["error"]
    )
    done = curves[curves["state"] == "done"]
    means = data[data["kind"] == "mean"].set_index(keys)
    same(means["error"], done.groupby(keys)["error"].mean())
    assert means["n"].groupby(["network", "depth"]).first().to_dict() == {
        ("plain", 20): 5, ("plain", 56): 4, ("residual", 20): 4, ("residual", 56): 4,
    }  # fmt: skip


def test_the_drawn_lines_have_the_numbers_of_the_data(drawn):
    """The one test that looks at the drawn lines: for one figure, since all use the same code."""
    figure, data, _ = drawn("degradation")
    for axes, network in zip(figure.axes, ("plain", "residual"), strict=True):
        curves = data[(data["network"] == network) & data["kind"].isin(["seed", "mean"])]
        groups = [group for _, group in curves.groupby(["depth", "split", "kind", "run_id"], dropna=False)]
        wanted = {tuple(map(tuple, group[["iteration", "error"]].to_numpy() / [10_000, 1])) for group in groups}
        lines = [line for line in axes.lines if line.get_gid() not in ("lr_drop", "lost")]
        assert {tuple(map(tuple, line.get_xydata())) for line in lines} == wanted


def test_absent_runs_are_named(drawn):
    for name in ("degradation", "depth_error"):
        for words in (notes(drawn(name)), drawn(name).caption):
            assert "iverged (×): plain-56 seed 3 at iteration 9,700" in words
            assert "issing: ResNet-56 seed 4" in words
    assert "running: ResNet-20 seed 1 at iteration 30,000" in notes(drawn("degradation"))
    assert "17 of 20 runs done" in drawn("degradation").caption


@pytest.mark.slow
@pytest.mark.parametrize("seeds, kinds", [(7, {"seed", "mean"}), (51, {"least", "most", "mean"})])
def test_many_seeds_are_drawn_as_a_band(seeds, kinds):
    """Of very many the frame has the ends of the band alone."""
    curves, runs = make(depths=(20,), networks=("plain",), seeds=seeds, evaluations=4)
    drawn = plot("degradation", curves, runs)
    (axes,) = drawn.figure.axes
    assert set(drawn.data["kind"]) - {"lr_drop"} == kinds
    final = curves[(curves["split"] == "test") & (curves["iteration"] == curves["iteration"].max())]["error"].mean()
    assert [text.get_text() for text in axes.texts if text.get_gid() == "end"] == [f"20: {final:.1f} %"]
    ends = {tuple(band.get_paths()[0].get_extents().intervaly.round(6)) for band in axes.collections}
    values = curves[curves["split"] != "train"].groupby("split")["error"]
    assert ends == {
        (values.get_group(split).min().round(6), values.get_group(split).max().round(6)) for split in values.groups
    }


@pytest.mark.slow
def test_options_of_degradation(small):
    running = plot("degradation", *small, training="train")
    assert set(running.data["split"].dropna()) == {"train", "test"}
    clipped = plot("degradation", *small, ymax=2)
    assert clipped.figure.axes[0].get_ylim() == (0, 2) and "above 2 %" in clipped.caption


def test_depth_error_has_final_values_means_and_intervals(absences, small, drawn):
    curves, runs = absences
    data = drawn("depth_error").data
    done = runs.loc[runs["state"] == "done", "run_id"]
    for split in ("train_clean", "test"):
        own = data[data["split"] == split]
        last = final(curves, split).loc[done]
        same(own[own["kind"] == "seed"].set_index("run_id")["error"], last)
        fields = runs.set_index("run_id").loc[done, ["network", "depth"]]
        means = own[own["kind"] == "mean"].set_index(["network", "depth"])
        same(means["error"], last.groupby([fields["network"], fields["depth"]]).mean())
        assert (means["low"] < means["error"]).all() and (means["error"] < means["high"]).all()
    assert "BCa bootstrap 95 % intervals from 4 seeds on (10,000 resamples, seed 0)" in notes(drawn("depth_error"))
    few = plot("depth_error", *small)  # three seeds
    assert few.data[["low", "high"]].isna().all(axis=None) and "bootstrap" not in notes(few)


def test_families_are_lines_of_their_own():
    data = plot("depth_error", *make(depths=(18, 20, 34, 56), networks=("plain",), seeds=1, iterations=400)).data
    depths = data.groupby("line")["depth"].unique().map(sorted).to_dict()
    assert depths == {"plain (CIFAR family)": [20, 56], "plain (ImageNet family)": [18, 34]}


@pytest.fixture(scope="module")
def fig6():
    """The networks of figure 6, one seed, and one of 1202 layers."""
    usual = make(depths=(20, 32, 44, 56, 110), seeds=1, evaluations=8)
    deepest = make(depths=(1202,), networks=("residual",), seeds=1, evaluations=8)
    return plot("fig6", *together(usual, deepest))


def test_fig6_has_the_papers_panels_and_values(fig6):
    data = fig6.data
    depths = data[data["kind"] == "seed"].groupby("panel")["depth"].unique().map(sorted).to_dict()
    assert depths == {"plain": [20, 32, 44, 56, 110], "ResNet": [20, 32, 44, 56, 110], "ResNet, 110+": [110, 1202]}
    theirs = {kind: group.groupby("panel")["error"].apply(sorted).to_dict() for kind, group in data.groupby("kind")}
    assert theirs["digitised"] == {"plain": [9.6, 10.1, 11.3, 13.2]}
    assert theirs["reported"] == {"ResNet": [6.61, 6.97, 7.17, 7.51, 8.75], "ResNet, 110+": [6.61, 7.93]}
    assert all(axes.get_ylim() == (0, 20) for axes in fig6.figure.axes)


@pytest.mark.parametrize(
    "fields",
    [{"dataset": "cifar10-jpeg"}, pytest.param({"recipe_changes": "iterations"}, marks=pytest.mark.slow)],
    ids=["dataset", "recipe"],
)
def test_another_protocol_has_no_values_of_the_paper(fields):
    drawn = plot("fig6", *make(seeds=1, evaluations=4, **fields))
    assert not set(drawn.data["kind"]) & {"reported", "digitised", "digitised range"}
    assert "Not as in He et al. 2015" in drawn.caption and next(iter(fields.values())) in drawn.caption


def test_fig6_leaves_out_other_networks_and_names_them():
    usual, other = make(seeds=1, evaluations=4), make(seeds=1, evaluations=4, networks=("residual",), shortcut="B")
    drawn = plot("fig6", *together(usual, other))
    assert "left out: ResNet-20 B, ResNet-56 B" in notes(drawn)
    assert not set(drawn.data["run_id"]) & set(other[1]["run_id"])


@pytest.mark.slow
def test_fig1_and_fig4_choose_their_networks():
    lines = plot("fig1", *make(depths=(8, 32, 110), seeds=1, evaluations=4)).data.dropna(subset="depth")
    assert set(lines["network"]) == {"plain"} and set(lines["depth"]) == {8, 110}
    assert lines.groupby("panel")["split"].unique().map(list).to_dict() == {
        "training error": ["train_clean"], "test error": ["test"],
    }  # fmt: skip
    wide = {"depths": (18, 34, 20), "seeds": 1, "evaluations": 4, "dataset": "imagenet", "recipe": "he2015_imagenet"}
    drawn = plot("fig4", *make(**wide))
    assert set(drawn.data["depth"].dropna()) == {18, 34} and "centre crops" in drawn.caption


def test_shortcuts_are_compared_with_the_usual_network(drawn):
    data = drawn("shortcuts").data
    assert list(data["panel"].unique()) == ["1×1 conv", "scaled", "exclusive gate, bias 0", "exclusive gate, bias -6"]
    theirs = data[data["kind"] == "reported"].set_index(["panel", "role"])["error"]
    assert set(theirs.xs("usual", level="role")) == {6.61}
    assert theirs.xs("variant", level="role").to_dict() == {
        "1×1 conv": 12.22, "exclusive gate, bias -6": 8.70, "exclusive gate, bias 0": math.inf, "scaled": 12.35,
    }  # fmt: skip
    curves = variants.shortcuts()[0]
    seeds = data[(data["kind"] == "seed") & (data["split"] == "test") & (data["role"] == "variant")]
    wanted = curves[(curves["split"] == "test") & curves["run_id"].isin(seeds["run_id"])]
    same(seeds.set_index(["run_id", "iteration"])["error"], wanted.set_index(["run_id", "iteration"])["error"])
    assert "Diverged (×): ResNet-110 scaled seed 1 at iteration 9,700." in drawn("shortcuts").caption


def test_orders_are_compared_at_one_depth(drawn):
    after, pre = "110: BN after addition (basic)", "110: full pre-activation (basic)"
    deep = "164: full pre-activation (bottleneck)"
    assert list(drawn("orders").data["panel"].unique()) == [after, pre, deep]
    assert list(drawn("preactivation").data["panel"].unique()) == [pre, deep]
    assert "Left out: ResNet-110 bn_after_add." in drawn("preactivation").caption


def test_the_verdicts_figure_has_the_verdicts_numbers(absences, drawn):
    data = drawn("verdict").data
    means = data[data["kind"] == "mean"]
    table = study.verdict(*absences).table()
    train = table[table["measure"] == "train"].drop_duplicates("contrast").set_index("contrast")
    mine = means.drop_duplicates("contrast").set_index("contrast")
    for name in ("plain-56 − plain-20", "ResNet-56 − ResNet-20", "plain-56 − ResNet-56"):
        for here, there in (("difference", "mean"), ("n", "n"), ("p", "p"), ("low", "low"), ("high", "high")):
            np.testing.assert_equal(float(mine.loc[name, here]), float(train.loc[name, there]))
    assert means["answer"].tolist() == ["rises with depth", *["cannot tell"] * 5]
    assert means["question"].iloc[2] == "relief by the shortcut, 20 to 56 layers"
    assert "unpaired: seed 1: ResNet-20 is still running; seed 4: ResNet-56 is missing" in notes(drawn("verdict"))


def test_established_differences_say_so():
    data = plot("verdict", *sweep(degrades, depths=(20, 56, 110))).data
    answers = data[data["kind"] == "mean"].set_index("question")["answer"]
    assert answers["plain-110 − plain-20, training error"] == "rises with depth"
    assert answers["ResNet-110 − ResNet-20, training error"] == "falls with depth"
    assert answers["relief by the shortcut, 20 to 110 layers"] == "depth costs less"


def test_of_many_networks_the_verdicts_figure_has_what_the_answers_are_about():
    names = ("he_fan_in", "he_fan_out", "glorot", "orthogonal", "delta_orthogonal", "lsuv")
    frames = together(*(sweep(degrades, initialisation=name) for name in names))
    drawn = plot("verdict", *frames)
    asked = drawn.data.query("kind == 'mean'")["question"]
    assert len(asked) == 12 and all("plain-56 − plain-20" in text or "relief" in text for text in asked)
    assert "plain-56 − plain-20 (glorot), training error" in set(asked)
    assert "left out: 24 further comparisons" in notes(drawn) and drawn.figure.get_figheight() < 7


def test_a_cure_has_a_cross_for_each_run_that_diverged():
    curves, runs = variants.cures()
    lost = runs.loc[(runs["shortcut"] == "rezero") & (runs["depth"] == 56), "run_id"].iloc[0]
    frames = cut((curves, runs), lost, "diverged", 100)
    drawn = plot("cures", *frames)
    seeds = drawn.data.query("cure == 'ResNet, rezero' and kind == 'seed'")["share"]
    assert np.isneginf(seeds).sum() == 1 and len(seeds) == 4
    assert [mark.get_xdata()[0] for mark in drawn.figure.axes[0].lines if mark.get_marker() == "x"] == [0.02]
    assert table("cures", *frames).set_index("cure").loc["ResNet, rezero", "answer"].endswith("1 of 4 diverged at 56")


def test_one_seed_has_no_interval_and_no_p():
    means = plot("verdict", *make(seeds=1, iterations=400, evaluations=4)).data.query("kind == 'mean'")
    assert means[["low", "high", "p"]].isna().all(axis=None) and set(means["n"]) == {1}


def test_sensitivity_has_the_last_error_of_every_run(drawn, fed):
    curves, runs = fed("sensitivity")
    data = drawn("sensitivity").data
    seeds = data[data["kind"] == "seed"]
    done = runs.loc[runs["state"] == "done", "run_id"]
    same(seeds.set_index("run_id")["error"], final(curves, "train_clean").loc[done])
    keys = ["row", "column", "setting"]
    means = data[data["kind"] == "mean"].set_index(keys)
    same(means["error"].dropna(), seeds.groupby(keys)["error"].mean())
    assert means.loc[("warm-up: none", "initialisation: he_fan_out", "0.1"), "n"] == 1
    assert "60 of 63 runs done" in drawn("sensitivity").caption
    words = "missing: plain-110 (learning rate 0.01, initialisation glorot, warm-up none) seed 2"
    assert words in notes(drawn("sensitivity"))


@pytest.mark.slow
def test_a_field_that_follows_from_another_is_no_axis():
    parts = [
        variants.cell(rate, "glorot", "none", seeds=1, **{"recipe.weight_decay": decay})
        for rate, decay in ((0.1, 1e-4), (0.03, 5e-4))
    ]
    drawn = plot("sensitivity", *together(*parts))
    assert len(drawn.figure.axes) == 1 and drawn.figure.axes[0].get_xlabel() == "learning rate"
    assert "weight decay 0.0005 (learning rate 0.03) and 0.0001 (learning rate 0.1)" in notes(drawn)

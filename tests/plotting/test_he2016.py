"""I16's figures 1, 3 and 6 against the frames that they were drawn from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from study.errors import StudyError
from study.plotting.base.page import Plot
from study.plotting.curves import he2016

from . import variants
from .conftest import Frames


def panels(plot: Plot) -> list[str]:
    return [axes.get_title("left") for axes in plot.figure.axes if axes.get_title("left")]


@pytest.fixture(scope="module")
def shortcuts() -> Plot:
    return he2016.shortcuts(*variants.shortcuts())


def test_a_panel_for_each_shortcut(shortcuts: Plot) -> None:
    assert panels(shortcuts) == ["1×1 conv", "scaled", "exclusive gate, bias 0", "exclusive gate, bias -6"]
    roles = shortcuts.data.groupby("panel")["role"].unique().map(sorted)
    assert all(list(both) == ["usual", "variant"] for both in roles)


def test_the_picture_shows_exactly_the_data(shortcuts: Plot) -> None:
    lefts = [axes for axes in shortcuts.figure.axes if axes.get_title("left")]
    rights = [axes for axes in shortcuts.figure.axes if axes.yaxis.get_label_position() == "right"]
    assert len(lefts) == len(rights) == 4
    for left, right in zip(lefts, rights, strict=True):
        mine = shortcuts.data[shortcuts.data["panel"] == left.get_title("left")]
        for axes, value, split in ((left, "loss", "train_clean"), (right, "error", "test")):
            rows = mine[(mine["split"] == split) & mine["kind"].isin(["seed", "mean"])]
            wanted = {
                tuple(map(tuple, group[["iteration", value]].to_numpy(float) / [10_000, 1]))
                for _, group in rows.groupby(["role", "kind", "run_id"], dropna=False)
            }
            drawn = {
                tuple(map(tuple, np.asarray(line.get_xydata(), float)))
                for line in axes.lines
                if str(line.get_gid()).endswith(split)
            }
            assert drawn == wanted
            assert all(line.get_linestyle() == ("--" if split == "train_clean" else "-") for line in axes.lines
                       if str(line.get_gid()).endswith(split))  # fmt: skip


def test_the_papers_values_and_failures(shortcuts: Plot) -> None:
    values = shortcuts.data[shortcuts.data["kind"] == "reported"]
    theirs = values[values["role"] == "variant"].set_index("panel")["error"].to_dict()
    assert theirs == {
        "1×1 conv": 12.22, "exclusive gate, bias -6": 8.70, "exclusive gate, bias 0": np.inf, "scaled": 12.35,
    }  # fmt: skip
    assert set(values[values["role"] == "usual"]["error"]) == {6.61}
    said = [text.get_text() for axes in shortcuts.figure.axes for text in axes.texts]
    assert said.count("fails in the paper") == 1


def test_final_errors_and_n_are_written(shortcuts: Plot) -> None:
    finals = [text.get_text() for axes in shortcuts.figure.axes for text in axes.texts if "→" in text.get_text()]
    assert len(finals) == 4 and "(n=2)" in finals[0] and "(n=1)" in finals[1] and "↑" in finals[2]
    assert "Diverged (×): residual-110 scaled seed 1 at iteration 9,700." in shortcuts.caption


def test_orders_are_compared_at_their_depth_alone() -> None:
    plot = he2016.orders(*variants.orders())
    assert panels(plot) == [
        "110: BN after addition (basic)", "110: full pre-activation (basic)", "164: full pre-activation (bottleneck)",
    ]  # fmt: skip
    for _, rows in plot.data[plot.data["kind"] == "seed"].groupby("panel"):
        assert rows["depth"].nunique() == 1


def test_preactivation_leaves_other_orders_out() -> None:
    plot = he2016.preactivation(*variants.orders())
    assert panels(plot) == ["110: full pre-activation (basic)", "164: full pre-activation (bottleneck)"]
    assert "Left out: residual-110 bn_after_add." in plot.caption


def test_no_value_beside_another_data_set() -> None:
    frames = variants.together(
        variants.variant(seeds=1, dataset="cifar10-jpeg"),
        variants.variant(seeds=1, dataset="cifar10-jpeg", shortcut="C"),
    )
    plot = he2016.shortcuts(*frames)
    assert not (plot.data["kind"] == "reported").any() and "data set cifar10-jpeg, not cifar10" in plot.caption


@pytest.mark.parametrize("name", ["shortcuts", "orders", "preactivation"])
def test_nothing_to_compare_is_one_line(name: str, make: Callable[..., Frames]) -> None:
    with pytest.raises(StudyError, match="nothing to draw: no residual network has both"):
        getattr(he2016, name)(*make(seeds=1, evaluations=8))


def test_curves_without_losses_are_refused() -> None:
    curves, runs = variants.orders()
    with pytest.raises(StudyError, match="the curves frame lacks loss"):
        he2016.orders(curves.drop(columns="loss"), runs)

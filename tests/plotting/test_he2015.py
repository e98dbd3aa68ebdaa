"""R15's figures 1, 4 and 6 against the frames that they were drawn from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from study.errors import StudyError
from study.plotting.base.page import Plot
from study.plotting.base.style import depth_colour
from study.plotting.curves import he2015

from .conftest import Frames, cut, run_id, study


def titles(plot: Plot) -> list[str]:
    return [axes.get_title("left") for axes in plot.figure.axes]


def marks(axes: Axes, gid: str) -> list[tuple[float, float]]:
    return [tuple(line.get_xydata()[0]) for line in axes.lines if line.get_gid() == gid]


@pytest.fixture(scope="module")
def whole() -> Frames:
    """Figure 6's networks, three seeds, and one of 1202 layers."""
    usual = study(depths=(20, 32, 44, 56, 110), seeds=3, evaluations=20)
    deepest = study(depths=(1202,), networks=("residual",), seeds=1, evaluations=20)
    return pd.concat([usual[0], deepest[0]], ignore_index=True), pd.concat([usual[1], deepest[1]], ignore_index=True)


def test_fig6_has_the_papers_three_panels(whole: Frames) -> None:
    plot = he2015.fig6(*whole)
    assert titles(plot) == ["plain  (n = 3)", "ResNet  (n = 3)", "ResNet, 110+"]
    depths = plot.data[plot.data["kind"] == "mean"].groupby("panel")["depth"].unique().map(sorted).to_dict()
    assert depths == {"plain": [20, 32, 44, 56, 110], "ResNet": [20, 32, 44, 56, 110], "ResNet, 110+": [110, 1202]}
    assert all(axes.get_ylim() == (0, 20) for axes in plot.figure.axes)
    for axes in plot.figure.axes:
        guides = [line for line in axes.lines if line.get_gid() == "guide"]
        assert [line.get_ydata()[0] for line in guides] == [5, 10, 20]


def test_fig6_shows_exactly_its_data(whole: Frames) -> None:
    plot = he2015.fig6(*whole)
    for axes, panel in zip(plot.figure.axes, ("plain", "ResNet", "ResNet, 110+"), strict=True):
        mine = plot.data[(plot.data["panel"] == panel) & plot.data["kind"].isin(["seed", "mean"])]
        groups = dict(iter(mine.groupby(["depth", "split", "kind", "run_id"], dropna=False)))
        drawn = [line for line in axes.lines if str(line.get_gid()).split()[-1] in ("train_clean", "test")]
        assert len(drawn) == len(groups)
        for (depth, split, kind, run), group in groups.items():
            gid = f"{run if kind == 'seed' else 'mean'} {split}"
            [line] = [x for x in drawn if x.get_gid() == gid and x.get_color() == depth_colour(depth)]
            np.testing.assert_array_equal(line.get_xydata(), group[["iteration", "error"]] / [10_000, 1])


def test_fig6_sets_the_papers_values_beside_its_protocol_alone(whole: Frames) -> None:
    plain, residual, deep = he2015.fig6(*whole).figure.axes
    assert sorted(y for _, y in marks(plain, "digitised")) == [9.6, 10.1, 11.3, 13.2] and not marks(plain, "reported")
    ranges = {str(line.get_gid()): line for line in plain.collections}
    assert set(ranges) == {"digitised range"} and len(plain.collections) == 4
    assert sorted(tuple(line.get_segments()[0][:, 1]) for line in plain.collections) == [
        (1, 1.5),
        (1, 1.5),
        (2, 3),
        (5, 6),
    ]
    assert sorted(y for _, y in marks(residual, "reported")) == [6.61, 6.97, 7.17, 7.51, 8.75]
    assert sorted(y for _, y in marks(deep, "reported")) == [6.61, 7.93]
    legend = [text.get_text() for text in plain.figure.legends[0].get_texts()]
    assert "He et al. 2015, figure 6 (digitised, ±0.2)" in legend


@pytest.mark.parametrize(
    "fields",
    [
        {"dataset": "cifar10-jpeg"}, {"recipe": "quick"}, {"recipe_changes": "iterations"}, {"train_subset": 5000},
        {"precision": "bf16"},
    ],
    ids=lambda fields: next(iter(fields)),
)  # fmt: skip
def test_no_value_beside_another_protocol(fields: dict[str, object], make: Callable[..., Frames]) -> None:
    plot = he2015.fig6(*make(seeds=1, evaluations=8, **fields))
    assert not set(plot.data["kind"]) & {"reported", "digitised", "digitised range"}
    value = str(next(iter(fields.values()))).replace("5000", "5,000")
    assert "Not as in He et al. 2015" in plot.caption and value in plot.caption


def test_fig6_leaves_out_other_networks_and_says_so(make: Callable[..., Frames]) -> None:
    a, b = make(seeds=1, evaluations=8), make(seeds=1, evaluations=8, networks=("residual",), shortcut="B")
    plot = he2015.fig6(pd.concat([a[0], b[0]]), pd.concat([a[1], b[1]]))
    assert any("left out: residual-20 B, residual-56 B" in text.get_text() for text in plot.figure.texts)
    assert "residual-20-cifar10-he2015_cifar-B-fp32-s0" not in set(plot.data["run_id"])


def test_fig6_where_nearly_all_is_above_20(make: Callable[..., Frames]) -> None:
    curves, runs = make(seeds=1, evaluations=8)
    curves["error"] = 50 + curves["error"] / 3
    assert he2015.fig6(curves, runs).figure.axes[0].get_ylim()[1] > 50
    assert he2015.fig6(curves, runs, ymax=30).figure.axes[0].get_ylim() == (0, 30)


def test_nothing_ends_out_of_sight_but_by_the_papers_protocol(make: Callable[..., Frames]) -> None:
    for recipe, top in (("he2015_cifar", 20), ("quick", 60)):
        curves, runs = make(seeds=1, evaluations=8, recipe=recipe)
        curves.loc[(curves["depth"] == 56) & (curves["network"] == "plain"), "error"] += 50
        for plot in (he2015.fig1(curves, runs), he2015.fig6(curves, runs)):
            assert (plot.figure.axes[0].get_ylim()[1] > top) == (recipe == "quick")


def test_fig1_is_plain_20_and_56(whole: Frames) -> None:
    plot = he2015.fig1(*whole)
    assert titles(plot) == ["training error  (n = 3)", "test error  (n = 3)"]
    lines = plot.data[plot.data["kind"] != "lr_drop"]
    assert set(lines["network"]) == {"plain"} and set(lines["depth"]) == {20, 56}
    assert dict(lines.groupby("panel")["split"].unique().map(list)) == {
        "training error": ["train_clean"],
        "test error": ["test"],
    }


def test_fig1_of_other_depths_takes_the_ends(make: Callable[..., Frames]) -> None:
    assert set(he2015.fig1(*make(depths=(8, 32, 110), seeds=1, evaluations=8)).data["depth"].dropna()) == {8, 110}


def test_fig4_is_thin_and_bold(make: Callable[..., Frames]) -> None:
    plot = he2015.fig4(*make(depths=(18, 34, 20), seeds=2, evaluations=8))
    assert titles(plot) == ["plain  (n = 2)", "ResNet  (n = 2)"]
    assert set(plot.data["depth"].dropna()) == {18, 34}
    for axes in plot.figure.axes:
        widths = {str(line.get_gid()): line.get_linewidth() for line in axes.lines}
        assert widths["mean test"] > 2 * widths["mean train_clean"]
        assert all(line.get_linestyle() == "-" for line in axes.lines if str(line.get_gid()).startswith("mean"))


def test_fig4_of_imagenet_has_the_papers_axis(make: Callable[..., Frames]) -> None:
    curves, runs = make(depths=(18, 34), seeds=1, evaluations=8, dataset="imagenet", recipe="he2015_imagenet")
    curves["error"] = 25 + curves["error"]
    plot = he2015.fig4(curves, runs)
    assert all(axes.get_ylim() == (20, 60) for axes in plot.figure.axes) and "centre crops" in plot.caption


@pytest.mark.parametrize(
    ("name", "frames"), [("fig1", {"networks": ("residual",)}), ("fig1", {"depths": (20,)}), ("fig4", {})]
)
def test_nothing_to_draw_is_one_line(name: str, frames: dict[str, object], make: Callable[..., Frames]) -> None:
    with pytest.raises(
        StudyError, match=r"^nothing to draw: there are no .* networks of the (CIFAR|ImageNet) family|^nothing"
    ):
        getattr(he2015, name)(*make(seeds=1, evaluations=8, **frames))


def test_absent_runs_are_named(make: Callable[..., Frames]) -> None:
    frames = make(seeds=2, evaluations=8)
    frames = cut(frames, run_id(frames[1], "plain", 56, 1), "diverged", 30_000)
    frames = cut(frames, run_id(frames[1], "residual", 20, 0), "pending", 0)
    plot = he2015.fig6(*frames)
    notes = "\n".join(text.get_text() for text in plot.figure.texts)
    assert "diverged (×): plain-56 seed 1 at iteration 30,000" in notes and "missing: residual-20 seed 0" in notes
    assert "Diverged (×): plain-56 seed 1" in plot.caption and "6 of 8 runs done" in plot.caption

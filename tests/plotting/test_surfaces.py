"""Figures of surfaces: every measured point, which surface of a network is shown, and what is said of the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from matplotlib.contour import ContourSet

from study.config import choices
from study.config.surface import Surface
from study.plotting import plot
from study.plotting.base.page import Plot
from study.plotting.surfaces.frames import BN, NORMALISATIONS, PLANES, shown
from study.plotting.surfaces.lattice import Lattice

from .bends import curved, way
from .planes import four, notes, surface, together

Drawn = Callable[[str], Plot]
Fed = Callable[[str], tuple[pd.DataFrame, pd.DataFrame | None]]
OF_PLANES = ("contours", "surface3d")
TINY = (5, 5)


@pytest.mark.parametrize("name", OF_PLANES)
def test_every_point_and_the_minimum_are_in_the_data(name: str, planes: pd.DataFrame, drawn: Drawn) -> None:
    data = drawn(name).data
    wanted = planes[(planes["dims"] == 2) & (planes["split"] == "train")]
    points = data[data["kind"] == "point"]
    merged = points.merge(wanted, on=["surface_id", "i", "j"], suffixes=("", "_wanted"))
    assert len(points) == len(merged) == len(wanted)
    np.testing.assert_array_equal(merged["loss"], merged["loss_wanted"])
    lowest = data[data["kind"] == "minimum"].set_index("column")["loss"]
    finite = wanted[np.isfinite(wanted["loss"])]
    assert sorted(lowest) == sorted(finite.groupby("surface_id")["loss"].min())
    assert list(lowest.index) == ["plain-20", "plain-56", "ResNet-20", "ResNet-56"]


def test_levels_are_round_on_a_logarithmic_scale(drawn: Drawn) -> None:
    drawings = [artist for axes in drawn("contours").figure.axes for artist in axes.collections]
    contours = [artist for artist in drawings if isinstance(artist, ContourSet) and artist.filled]
    filled = [artist.levels for artist in contours if len(artist.levels) > 2]  # not those that hatch
    np.testing.assert_allclose(filled, [[0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10]] * 4)
    bars = [axes for axes in drawn("contours").figure.axes if axes.get_label() == "colour bar"]
    assert len(bars) == 1 and bars[0].get_ylabel() == "loss (nats)"


def test_alpha_goes_across_and_beta_up() -> None:
    points = shown(surface(shape=(5, 3), spans=(1.0, 0.5)), None, 2, {"train": ""}).points
    grid = Lattice(points.sample(frac=1, random_state=1))
    assert grid.alpha.tolist() == [-1, -0.5, 0, 0.5, 1] and grid.beta.tolist() == [-0.5, 0, 0.5]
    np.testing.assert_allclose(grid.values("alpha"), np.repeat(grid.alpha[:, None], 3, axis=1))
    np.testing.assert_allclose(grid.values("beta"), np.repeat(grid.beta[None], 5, axis=0))


@pytest.mark.parametrize("name", OF_PLANES)
def test_points_without_a_finite_loss_and_missing_points_are_named(name: str) -> None:
    frame = surface(shape=TINY)
    frame.loc[(frame["i"] == 2) & (frame["j"] == 2), "loss"] = np.inf
    lost = plot(name, frame, None)
    assert "no finite loss: plain-20 at 1 of 25 points" in notes(lost)
    rest = plot(name, frame[~((frame["i"] == 2) & (frame["j"] == 2))], None)
    assert "incomplete: plain-20 has 24 of 25 points" in notes(rest)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*OF_PLANES, "line1d"])
def test_degenerate_losses_draw(name: str) -> None:
    for value in (np.nan, np.inf, 0.0, 1e30):
        assert plot(name, surface(shape=(3, 1 if name == "line1d" else 3)).assign(loss=value), None).figure.axes


@pytest.mark.slow
def test_of_several_surfaces_the_first_is_shown_and_the_others_are_named() -> None:
    first = surface(shape=TINY)
    frame = together(
        surface(shape=TINY, seed=1), surface(shape=TINY, number=1), surface(shape=TINY, plane="pca"), first
    )
    drawn = plot("contours", frame, None)
    assert set(drawn.data["surface_id"]) == set(first["surface_id"])
    assert "not shown: 3 more surfaces of these networks (seed 1; plane pca; number 1)" in notes(drawn)
    for option in ({"seed": 1}, {"number": 1}, {"plane": "pca"}):
        [(field, value)] = option.items()
        assert (plot("contours", frame, None, **option).data[field] == value).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_PLANES)
def test_rows_are_kinds_of_bn_statistics_and_recipes_that_differ(name: str) -> None:
    drawn = plot(name, together(four(("frozen",), shape=(3, 3)), surface(shape=(3, 3), bn="batch")), None)
    texts = [text.get_text() for axes in drawn.figure.axes for text in axes.texts]
    assert "BN with each batch's own statistics" in texts and "plain-56\nnot measured" in texts
    slow = surface(depth=56, shape=(3, 3), recipe_changes="learning_rate")
    drawn = plot(name, together(surface(shape=(3, 3)), slow), None)
    assert "recipe he2015_cifar (changed: learning_rate): plain-56" in notes(drawn)


def test_networks_without_a_surface_and_lines_are_named() -> None:
    frame = surface(shape=TINY)
    runs = frame.drop_duplicates("run_id")
    lost = runs.assign(run_id="x", point_id="x", depth=110, state="diverged")
    assert "without a surface: plain-110 (diverged)" in notes(plot("contours", frame, pd.concat([runs, lost])))
    line = plot("contours", together(frame, surface(shape=(3, 1))), None)
    assert "left out, with 1 dimension: plain-20" in notes(line)


def test_the_header_says_what_is_shown(drawn: Drawn) -> None:
    for words in ("cifar10 ", "training loss of 50,000 images", "plane: random 0, filter-normalised", "11×11 points", "fp32",
                  "BN with the statistics of training (frozen)", "seed 0", "he2015_cifar"):  # fmt: skip
        assert words in notes(drawn("contours")), words


@pytest.mark.slow
def test_values_beyond_the_levels_are_named() -> None:
    frame = surface(shape=TINY)
    frame.loc[frame.index[0], "loss"], frame.loc[frame.index[12], "loss"] = 4321.0, 0.00123
    caption = plot("contours", frame, None).caption
    assert "above 10 nats" in caption and "plain-20 up to 4321" in caption and "plain-20 down to 0.00123" in caption
    top = plot("surface3d", frame, None, top=5.0)
    assert top.data["height"].max() == 5 and "beyond the picture, above 5 nats: plain-20 up to 4321" in notes(top)


@pytest.mark.slow
def test_heights_are_losses_on_the_scale_that_is_said() -> None:
    low = surface(shape=TINY).assign(loss=lambda rows: 1.0 + rows["alpha"] ** 2)
    high = surface(shape=TINY).assign(loss=lambda rows: 1.0 + 1e4 * rows["alpha"] ** 2)
    flat, steep = plot("surface3d", low, None), plot("surface3d", high, None)
    np.testing.assert_allclose(flat.data["height"], flat.data["loss"])
    np.testing.assert_allclose(steep.data["height"], np.log10(steep.data["loss"]))
    assert "on a linear scale" in flat.caption and "on a log scale" in steep.caption


def test_lines_have_loss_and_error_of_both_splits(planes: pd.DataFrame, drawn: Drawn) -> None:
    data = drawn("line1d").data
    wanted = planes[planes["dims"] == 1]
    merged = data.merge(wanted, on=["surface_id", "split", "i"], suffixes=("", "_wanted"))
    assert len(merged) == len(data) == len(wanted)
    for column in ("alpha", "loss", "error"):
        np.testing.assert_array_equal(merged[column], merged[f"{column}_wanted"])


def test_lines_name_points_without_a_finite_loss_and_both_networks() -> None:
    frame = surface(shape=(5, 1), plane="interpolate")
    frame.loc[(frame["i"] == 3) & (frame["split"] == "train"), "loss"] = np.inf
    said = notes(plot("line1d", frame, None))
    assert "no finite loss: plain-20 at 1 of 5 points of split train" in said
    assert "α = 0 and 1: the two trained networks." in said


def test_ratios_of_the_hessians_eigenvalues(drawn: Drawn, fed: Fed) -> None:
    frame = fed("hessian_ratio")[0]
    data = drawn("hessian_ratio").data
    kept = frame[frame["split"] == "train"].merge(data, on=["surface_id", "i", "j"], suffixes=("", "_drawn"))
    known = (kept["lambda_max"] > 0) & kept["lambda_min"].notna()
    assert len(kept) == len(data) and (~known).any()
    np.testing.assert_allclose(kept.loc[known, "ratio"], (kept["lambda_min"] / kept["lambda_max"]).abs()[known])
    assert kept.loc[~known, "ratio"].isna().all()


def test_points_without_a_ratio_are_named() -> None:
    frame = curved(shape=(5, 3))
    frame.loc[(frame["i"] == 0) & (frame["j"] == 0), ["lambda_max", "lambda_min"]] = np.nan
    frame.loc[(frame["i"] == 4) & (frame["j"] == 2), ["lambda_max", "lambda_min"]] = [0.0, -3.0]
    frame.loc[frame["i"] == 2, "lambda_min"] = 0.5
    frame.loc[(frame["i"] == 3) & (frame["j"] == 0), "lambda_min"] = -60.0
    drawn = plot("hessian_ratio", frame, None)
    assert "no finite eigenvalues (hatched): plain-20 at 1 of 15 points" in notes(drawn)
    assert "no positive eigenvalue (dotted): plain-20 at 1 of 15 points" in notes(drawn)
    assert "convex, all eigenvalues above 0: plain-20 at 3 of 15 points" in notes(drawn)
    assert "above 0.5: plain-20 at 1 of 15 points" in notes(drawn)
    assert "1,024 training images" in notes(drawn)


def test_a_trajectory_has_the_lattice_and_every_snapshot(drawn: Drawn, fed: Fed) -> None:
    frame = fed("trajectory")[0]
    data = drawn("trajectory").data
    wanted = frame[frame["split"] == "train"]
    merged = data.merge(wanted, on=["surface_id", "iteration", "i", "j"], suffixes=("", "_wanted"))
    assert len(merged) == len(data) == len(wanted)
    for column in ("alpha", "beta", "loss", "residual", "explained_a"):
        np.testing.assert_array_equal(merged[column], merged[f"{column}_wanted"])
    steps = data[data["kind"] == "snapshot"]
    assert steps.groupby("column")["iteration"].apply(lambda own: own.is_monotonic_increasing).all()
    marked = data.dropna(subset="milestone")
    assert set(zip(marked["milestone"], marked["iteration"], strict=True)) == {(32_000, 32_000), (48_000, 48_000)}


@pytest.mark.slow
def test_a_trajectory_says_what_its_plane_is() -> None:
    small = way(shape=(5, 3), snapshots=9)
    both = together(small.assign(centred=False), small.assign(centred=True, surface_id="other-000000000000"))
    one = plot("trajectory", both, None)
    assert "principal components, centred" in notes(one) and "(pca uncentred)" in notes(one)
    assert "largest distance from the plane, in the unit of the axes: plain-20: 0.3 at iteration 32,000" in notes(one)
    assert one.figure.axes[0].get_xlabel() == "α (81.0 %)"
    lost = way("residual", shape=(5, 3), snapshots=9)
    none = plot("trajectory", together(small, lost[lost["iteration"].isna()]), None)
    assert "no snapshot has been measured: ResNet-20" in notes(none)
    given = small.assign(plane="random", normalisation="filter", explained_a=np.nan, explained_b=np.nan)
    assert "projected by least squares" in plot("trajectory", given, None).caption


def test_every_setting_has_its_words() -> None:
    normalisations = get_args(get_args(Surface.model_fields["normalisation"].annotation)[0])
    for words, known in (
        (NORMALISATIONS, normalisations),
        (PLANES, get_args(choices.Plane)),
        (BN, get_args(choices.BatchNorm)),
    ):
        assert set(words) == set(known)

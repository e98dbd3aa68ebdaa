"""Figures of surfaces: every measured point, which surface of a network is shown, and what is said of the others."""

from typing import get_args

import numpy as np
import pandas as pd
import pytest
from matplotlib.contour import ContourSet

from study import config
from study.config.surface import Surface
from study.plotting import plot
from study.plotting.surfaces.frames import BN, NORMALISATIONS, PLANES, shown
from study.plotting.surfaces.lattice import Lattice

from .planes import curved, four, notes, surface, together, way

OF_PLANES = ("contours", "surface3d")
TINY = (5, 5)


def says(name, frame, *words, runs=None, **options):
    """The figure, whose notes or caption have these words."""
    drawn = plot(name, frame, runs, **options)
    for text in words:
        assert text in notes(drawn) or text in drawn.caption, text
    return drawn


def lost_at(i, j, shape=TINY, **fields):
    """A surface whose training loss is infinite at a point."""
    frame = surface(shape=shape, **fields)
    frame.loc[(frame["i"] == i) & (frame["j"] == j) & (frame["split"] == "train"), "loss"] = np.inf
    return frame


@pytest.mark.parametrize("name", [*OF_PLANES, "line1d", "trajectory", "hessian_ratio"])
def test_every_measured_value_is_in_the_data(name, drawn, fed):
    frame, data = fed(name)[0], drawn(name).data
    wanted = frame[(frame["dims"] == (1 if name == "line1d" else 2)) & frame["split"].isin(data["split"])]
    points = data[data["kind"] != "minimum"] if "kind" in data else data
    keys = [key for key in ("surface_id", "split", "iteration", "i", "j") if key in data]
    merged = points.merge(wanted, on=keys, suffixes=("", "_wanted"))
    assert len(points) == len(merged) == len(wanted)
    for column in {"alpha", "beta", "loss", "error", "residual", "explained_a", "lambda_min"} & {*data}:
        np.testing.assert_array_equal(merged[column], merged[f"{column}_wanted"])


@pytest.mark.parametrize("name", OF_PLANES)
def test_the_minimum_of_each_network_is_marked(name, planes, drawn):
    data = drawn(name).data
    lowest = data[data["kind"] == "minimum"].set_index("column")["loss"]
    finite = planes[(planes["dims"] == 2) & (planes["split"] == "train") & np.isfinite(planes["loss"])]
    assert sorted(lowest) == sorted(finite.groupby("surface_id")["loss"].min())
    assert list(lowest.index) == ["plain-20", "plain-56", "ResNet-20", "ResNet-56"]


def test_levels_are_round_on_a_logarithmic_scale(drawn):
    drawings = [artist for axes in drawn("contours").figure.axes for artist in axes.collections]
    contours = [artist for artist in drawings if isinstance(artist, ContourSet) and artist.filled]
    filled = [artist.levels for artist in contours if len(artist.levels) > 2]  # not those that hatch
    np.testing.assert_allclose(filled, [[0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10]] * 4)
    bars = [axes for axes in drawn("contours").figure.axes if axes.get_label() == "colour bar"]
    assert len(bars) == 1 and bars[0].get_ylabel() == "loss (nats)"


def test_alpha_goes_across_and_beta_up():
    points = shown(surface(shape=(5, 3), spans=(1.0, 0.5)), None, 2, {"train": ""}).points
    grid = Lattice(points.sample(frac=1, random_state=1))
    assert grid.alpha.tolist() == [-1, -0.5, 0, 0.5, 1] and grid.beta.tolist() == [-0.5, 0, 0.5]
    np.testing.assert_allclose(grid.values("alpha"), np.repeat(grid.alpha[:, None], 3, axis=1))
    np.testing.assert_allclose(grid.values("beta"), np.repeat(grid.beta[None], 5, axis=0))


def test_points_without_a_value_and_missing_points_are_named():
    frame = lost_at(2, 2)
    says("contours", frame, "no finite loss: plain-20 at 1 of 25 points")
    says("contours", frame[np.isfinite(frame["loss"])], "incomplete: plain-20 has 24 of 25 points")
    line = lost_at(3, 0, (5, 1), plane="interpolate")
    says("line1d", line, "plain-20 (training) at 1 of 5 points", "α = 0 and 1: the two trained networks.")


@pytest.mark.slow
@pytest.mark.parametrize("name", [*OF_PLANES, "line1d"])
def test_degenerate_losses_draw(name):
    for value in (np.nan, np.inf, 0.0, 1e30):
        assert plot(name, surface(shape=(3, 1 if name == "line1d" else 3)).assign(loss=value), None).figure.axes


@pytest.mark.slow
def test_of_several_surfaces_the_first_is_shown_and_the_others_are_named():
    others = ({"seed": 1}, {"number": 1}, {"plane": "pca"})
    first = surface(shape=TINY)
    frame = together(*[surface(shape=TINY, **other) for other in others], first)
    drawn = says("contours", frame, "not shown: 3 more surfaces of these networks (seed 1; plane pca; number 1)")
    assert set(drawn.data["surface_id"]) == set(first["surface_id"])
    for other in others:
        [(field, value)] = other.items()
        assert (plot("contours", frame, None, **other).data[field] == value).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_PLANES)
def test_rows_are_kinds_of_bn_statistics_and_recipes_that_differ(name):
    drawn = plot(name, together(four(("frozen",), shape=(3, 3)), surface(shape=(3, 3), bn="batch")), None)
    texts = [text.get_text() for axes in drawn.figure.axes for text in axes.texts]
    assert "BN with each batch's own statistics" in texts and "plain-56\nnot measured" in texts
    slow = surface(depth=56, shape=(3, 3), recipe_changes="learning_rate")
    says(name, together(surface(shape=(3, 3)), slow), "recipe he2015_cifar (changed: learning_rate): plain-56")


def test_networks_without_a_surface_and_lines_are_named():
    frame = together(surface(shape=TINY), surface(shape=(3, 1)))
    runs = frame.drop_duplicates("run_id")
    runs = pd.concat([runs, runs.assign(run_id="x", point_id="x", depth=110, state="diverged")])
    words = ("without a surface: plain-110 (diverged)", "left out, with 1 dimension: plain-20")
    says("contours", frame, *words, runs=runs)


def test_the_header_says_what_is_shown(drawn):
    for words in ("cifar10 ", "training loss of 50,000 images", "plane: random 0, filter-normalised", "11×11 points", "fp32",
                  "BN with the statistics of training (frozen)", "seed 0", "he2015_cifar"):  # fmt: skip
        assert words in notes(drawn("contours")), words


@pytest.mark.slow
def test_values_beyond_the_levels_are_named():
    frame = surface(shape=TINY)
    frame.loc[frame.index[0], "loss"], frame.loc[frame.index[12], "loss"] = 4321.0, 0.00123
    says("contours", frame, "above 10 nats", "plain-20 up to 4321", "plain-20 down to 0.00123")
    top = says("surface3d", frame, "beyond the picture, above 5 nats: plain-20 up to 4321", top=5.0)
    assert top.data["height"].max() == 5


@pytest.mark.slow
def test_heights_are_losses_on_the_scale_that_is_said():
    low = surface(shape=TINY).assign(loss=lambda rows: 1.0 + rows["alpha"] ** 2)
    flat = says("surface3d", low, "on a linear scale")
    steep = says("surface3d", low.assign(loss=1e4 * low["loss"]), "on a log scale")
    np.testing.assert_allclose(flat.data["height"], flat.data["loss"])
    np.testing.assert_allclose(steep.data["height"], np.log10(steep.data["loss"]))


def test_ratios_of_the_hessians_eigenvalues(drawn):
    data = drawn("hessian_ratio").data
    known = (data["lambda_max"] > 0) & data["lambda_min"].notna()
    assert (~known).any() and data.loc[~known, "ratio"].isna().all()
    np.testing.assert_allclose(data["ratio"][known], (data["lambda_min"] / data["lambda_max"]).abs()[known])


def test_points_without_a_ratio_are_named():
    frame = curved(shape=(5, 3))
    frame.loc[(frame["i"] == 0) & (frame["j"] == 0), ["lambda_max", "lambda_min"]] = np.nan
    frame.loc[(frame["i"] == 4) & (frame["j"] == 2), ["lambda_max", "lambda_min"]] = [0.0, -3.0]
    frame.loc[frame["i"] == 2, "lambda_min"] = 0.5
    frame.loc[(frame["i"] == 3) & (frame["j"] == 0), "lambda_min"] = -60.0
    says(
        "hessian_ratio", frame, "no finite eigenvalues (hatched): plain-20 at 1 of 15 points",
        "no positive eigenvalue (dotted): plain-20 at 1 of 15 points", "above 0.5: plain-20 up to ",
        "convex, all eigenvalues above 0: plain-20 at 3 of 15 points", "1,024 training images",
    )  # fmt: skip


def test_a_trajectory_has_its_snapshots_in_order_and_the_drops_of_the_rate(drawn):
    data = drawn("trajectory").data
    steps = data[data["kind"] == "snapshot"]
    assert steps.groupby("column")["iteration"].apply(lambda own: own.is_monotonic_increasing).all()
    marked = data.dropna(subset="milestone")
    assert set(zip(marked["milestone"], marked["iteration"], strict=True)) == {(32_000, 32_000), (48_000, 48_000)}


@pytest.mark.slow
def test_a_trajectory_says_what_its_plane_is():
    small = way(shape=(5, 3), snapshots=9)
    both = together(small.assign(centred=False), small.assign(centred=True, surface_id="other-000000000000"))
    off = "largest distance from the plane, in the unit of the axes: plain-20: 0.3 at iteration 32,000"
    one = says("trajectory", both, "principal components, centred", "(pca uncentred)", off)
    assert one.figure.axes[0].get_xlabel() == "α (81.0 %)"
    lost = way("residual", shape=(5, 3), snapshots=9)
    says("trajectory", together(small, lost[lost["iteration"].isna()]), "no snapshot has been measured: ResNet-20")
    given = small.assign(plane="random", normalisation="filter", explained_a=np.nan, explained_b=np.nan)
    says("trajectory", given, "projected by least squares")


def test_every_setting_has_its_words():
    normalisations = get_args(get_args(Surface.model_fields["normalisation"].annotation)[0])
    assert set(NORMALISATIONS) == set(normalisations)
    assert set(PLANES) == set(get_args(config.Plane)) and set(BN) == set(get_args(config.BatchNorm))

"""The contours figure against the surfaces that it was drawn from."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.path import Path

from study.config.surface import Surface
from study.errors import StudyError
from study.plotting.base.style import styled
from study.plotting.surfaces import contours
from study.plotting.surfaces.frames import NORMALISATIONS, shown
from study.plotting.surfaces.lattice import lattice, triangles

from .planes import four, surface, together


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.texts)


def panels(figure: Figure) -> dict[str, Axes]:
    return {axes.get_title("left"): axes for axes in figure.axes if axes.get_label() != "colour bar"}


def sets(axes: Axes) -> list[ContourSet]:
    return [artist for artist in axes.collections if isinstance(artist, ContourSet)]


def filled(axes: Axes, x: float, y: float) -> bool:
    """Whether a place is inside a band's outline and not inside a hole of it."""
    polygons = [polygon for path in sets(axes)[1].get_paths() for polygon in path.to_polygons()]
    return sum(Path(polygon).contains_point((x, y)) for polygon in polygons) % 2 == 1


def hatched(axes: Axes) -> np.ndarray:
    """Corners of the polygons without a finite value."""
    found = [patch.get_path().vertices for patch in axes.patches if patch.get_gid() == "no finite value"]
    return np.concatenate(found) if found else np.empty((0, 2))


def test_networks_stand_in_the_houses_order_and_axes_are_equal(planes: pd.DataFrame) -> None:
    figure = contours.plot(planes).figure
    assert list(panels(figure)) == ["plain-20", "plain-56", "ResNet-20", "ResNet-56"]
    assert all(axes.get_aspect() == 1 for axes in panels(figure).values())


def test_levels_and_colours_are_those_of_li_et_al_and_shared(planes: pd.DataFrame) -> None:
    for axes in panels(contours.plot(planes).figure).values():
        for drawn in sets(axes):
            np.testing.assert_allclose(drawn.levels, np.arange(0.1, 10, 0.5))
    colours = [sets(axes)[1].get_facecolor()[:3] for axes in panels(contours.plot(planes).figure).values()]
    for other in colours[1:]:
        np.testing.assert_array_equal(other, colours[0])
    for axes in panels(contours.plot(planes, of="error").figure).values():
        assert list(sets(axes)[0].levels) == [5, 10, 20, 30, 40, 50, 60, 70, 80, 90]


def test_alpha_goes_across_and_beta_up() -> None:
    """A lattice of 5 × 3 points whose loss rises with alpha only: its lines are upright."""
    slope = surface(shape=(5, 3), spans=(1.0, 0.5))
    slope["loss"] = 2 + slope["alpha"]
    axes = contours.plot(slope).figure.axes[0]
    assert axes.get_xlim() == (-1, 1) and axes.get_ylim() == (-0.5, 0.5)
    lines = sets(axes)[0]
    for level, path in zip(lines.levels, lines.get_paths(), strict=True):
        if 1 < level < 3:
            np.testing.assert_allclose(path.vertices[:, 0], level - 2, atol=1e-9)
            assert path.vertices[:, 1].min() == -0.5 and path.vertices[:, 1].max() == 0.5


def test_the_frame_has_every_point_and_the_minimum(planes: pd.DataFrame) -> None:
    data = contours.plot(planes, split="test").data
    wanted = planes[(planes["dims"] == 2) & (planes["split"] == "test")]
    assert (data["kind"] == "point").sum() == len(wanted)
    merged = data[data["kind"] == "point"].merge(wanted, on=["surface_id", "i", "j"], suffixes=("", "_wanted"))
    np.testing.assert_array_equal(merged["loss"], merged["loss_wanted"])
    lowest = data[data["kind"] == "minimum"].set_index("column")["loss"]
    for (network, depth), group in wanted.groupby(["network", "depth"]):
        name = f"{'ResNet' if network == 'residual' else network}-{depth}"
        assert lowest[name] == group.loc[np.isfinite(group["loss"]), "loss"].min()


def test_the_minimum_is_marked_where_it_is() -> None:
    frame = surface(shape=(5, 3))
    frame.loc[(frame["i"] == 3) & (frame["j"] == 0), "loss"] = 0.001
    axes = contours.plot(frame).figure.axes[0]
    star = next(line for line in axes.lines if line.get_gid() == "minimum")
    assert star.get_xydata().tolist() == [[0.5, -1.0]] and axes.get_title("right") == "min 0.001"


def test_points_without_a_finite_loss_are_hatched_and_never_bridged() -> None:
    frame = surface(shape=(5, 5))
    middle = (frame["i"] == 2) & (frame["j"] == 2)
    for value in (np.nan, np.inf, -np.inf):
        frame.loc[middle, "loss"] = value
        plot = contours.plot(frame)
        axes = plot.figure.axes[0]
        corners = hatched(axes)
        assert corners.min() == -0.5 and corners.max() == 0.5
        assert not filled(axes, 0.01, 0.02) and filled(axes, 0.26, 0.27) and filled(axes, 0.7, 0.6)
        assert "no finite loss: plain-20 at 1 of 25 points" in texts(plot.figure)
        assert "no finite loss" in [text.get_text() for text in plot.figure.legends[0].get_texts()]
    assert not len(hatched(contours.plot(surface(shape=(5, 5))).figure.axes[0]))


def test_the_figure_of_the_error_says_where_there_is_no_loss(planes: pd.DataFrame) -> None:
    assert "no finite loss: plain-56 at 7 of 121 points" in texts(contours.plot(planes, of="error").figure)


def test_missing_points_are_neither_filled_nor_hatched() -> None:
    frame = surface(shape=(5, 5))
    figure = contours.plot(frame[~((frame["i"] == 2) & (frame["j"] == 2))]).figure
    axes = figure.axes[0]
    assert not len(hatched(axes))
    assert not filled(axes, 0.01, 0.02) and filled(axes, 0.26, 0.27) and filled(axes, 0.7, 0.6)
    assert "incomplete: plain-20 has 24 of 25 points; `study surface` goes on with them" in texts(figure).replace(
        "\n", " "
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("refine", [0, 1])
def test_a_surface_without_any_finite_loss_draws(value: float, refine: int) -> None:
    frame = surface(shape=(5, 3), refine=refine).assign(loss=value)
    plot = contours.plot(frame)
    assert len(hatched(plot.figure.axes[0])) and (plot.data["kind"] == "point").all()


def test_a_surface_of_very_large_losses_draws() -> None:
    frame = surface(shape=(5, 3))
    frame["loss"] = 10 ** (30 * (1 + frame["alpha"].abs()))
    assert sets(contours.plot(frame).figure.axes[0])


def test_all_measured_points_of_a_refined_surface_count() -> None:
    frame = surface(shape=(5, 5), refine=2)
    dip = (frame["level"] == 2) & (frame["i"] == 9) & (frame["j"] == 8)
    assert dip.sum() == 2  # both splits
    frame.loc[dip, "loss"] = 0.0001
    plot = contours.plot(frame)
    axes = plot.figure.axes[0]
    assert (plot.data["level"] == 2).any()
    around = [Path(polygon) for polygon in sets(axes)[1].get_paths()[0].to_polygons()]  # of what is below 0.1
    x, y = frame.loc[dip, ["alpha", "beta"]].iloc[0]
    assert any(path.contains_point((x + 0.003, y + 0.001)) for path in around)


def test_triangles_cover_the_lattice_once_and_turn_left() -> None:
    for refine in (0, 1, 2):
        frame = surface(shape=(5, 3), refine=refine)
        points = shown(frame, None, 2, {"train": ""}).points
        corners = points[["alpha", "beta"]].to_numpy(float)[triangles(points)]
        (a, b, c) = (corners[:, k] for k in range(3))
        areas = ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2
        assert (areas > 0).all() and areas.sum() == pytest.approx(4)


def test_triangles_do_not_span_missing_points() -> None:
    for refine in (0, 1):
        points = shown(surface(shape=(7, 7), refine=refine), None, 2, {"train": ""}).points
        step = 2**refine
        inner = points["i"].between(2 * step, 4 * step) & points["j"].between(2 * step, 4 * step)
        rest = points[~inner].reset_index(drop=True)
        corners = rest[["alpha", "beta"]].to_numpy(float)[triangles(rest)]
        middle = corners.mean(axis=1)
        assert not (np.abs(middle).max(axis=1) < 0.3).any()


def test_the_lattice_is_not_transposed() -> None:
    points = shown(surface(shape=(5, 3), spans=(1.0, 0.5)), None, 2, {"train": ""}).points.sample(
        frac=1, random_state=1
    )
    grid = lattice(points)
    assert grid.alpha.tolist() == [-1, -0.5, 0, 0.5, 1] and grid.beta.tolist() == [-0.5, 0, 0.5]
    np.testing.assert_allclose(grid.values(points, "alpha"), np.repeat(grid.alpha[:, None], 3, axis=1))
    np.testing.assert_allclose(grid.values(points, "beta"), np.repeat(grid.beta[None], 5, axis=0))


def test_a_row_for_each_kind_of_bn_statistics() -> None:
    figure = contours.plot(four(("batch", "frozen", "recalibrated"), shape=(5, 5))).figure
    titles = [text.get_text() for axes in figure.axes for text in axes.texts if text.get_text()]
    assert titles == [
        "BN with the statistics of training (frozen)", "BN recalibrated at each point",
        "BN with each batch's own statistics",
    ]  # fmt: skip
    header = next(text.get_text() for text in figure.texts if text.get_text().startswith("training loss"))
    assert "BN" not in header


def test_a_network_without_one_of_the_rows_is_said_to_be_not_measured() -> None:
    frame = together(four(("frozen",), shape=(5, 5)), surface(shape=(5, 5), bn="batch"))
    figure = contours.plot(frame).figure
    said = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert [text for text in said if "not measured" in text] == [
        f"{name}\nnot measured" for name in ("plain-56", "ResNet-20", "ResNet-56")
    ]


def test_recipes_have_rows_only_where_a_network_was_trained_by_several() -> None:
    """In L18's figure 5 deep networks without shortcuts were trained at another rate, and stand beside the others."""
    slow = {"shape": (5, 5), "recipe_changes": "learning_rate"}
    usual = [surface(shape=(5, 5)), surface("residual", 56, shape=(5, 5))]
    figure = contours.plot(together(*usual, surface(depth=56, **slow))).figure
    assert not [text for axes in figure.axes for text in axes.texts if text.get_text()]
    assert list(panels(figure)) == ["plain-20", "plain-56", "ResNet-56"]
    said = texts(figure).replace("\n", " ")
    assert "recipe he2015_cifar: plain-20, ResNet-56; recipe he2015_cifar (changed: learning_rate): plain-56" in said
    again = surface(point_id="plain-20-slow", run_id="plain-20-slow-s0", **slow)
    figure = contours.plot(together(*usual, surface(depth=56, **slow), again)).figure
    titles = [text.get_text() for axes in figure.axes for text in axes.texts if "not measured" not in text.get_text()]
    assert [title for title in titles if title] == ["he2015_cifar", "he2015_cifar (changed: learning_rate)"]


def test_the_header_says_what_is_shown(planes: pd.DataFrame) -> None:
    header = texts(contours.plot(planes).figure).replace("\n", " ")
    for words in ("cifar10 ", "training loss of 50,000 images", "plane: random 0, filter-normalised", "11×11 points", "fp32",
                  "BN with the statistics of training (frozen)", "seed 0", "he2015_cifar"):  # fmt: skip
        assert words in header, words
    assert "test error of 10,000 images" in texts(contours.plot(planes, of="error", split="test").figure)


def test_what_differs_between_panels_is_said_in_a_note() -> None:
    figure = contours.plot(together(surface(shape=(5, 5)), surface(depth=56, seed=1, shape=(5, 5)))).figure
    assert "seed 0: plain-20; seed 1: plain-56" in texts(figure)


def test_of_several_surfaces_the_first_is_shown_and_the_others_are_named() -> None:
    more = [surface(shape=(5, 5), seed=1), surface(shape=(5, 5), number=1), surface(shape=(5, 5), plane="pca")]
    frame = together(*more, surface(shape=(5, 5)))
    plot = contours.plot(frame)
    assert set(plot.data["surface_id"]) == set(frame["surface_id"].iloc[-1:])
    said = texts(plot.figure).replace("\n", " ")
    assert (
        "not shown: 3 more surfaces of these networks (seed 1; plane pca; number 1); plane=, number=, seed= to" in said
    )
    for option in ({"seed": 1}, {"number": 1}, {"plane": "pca"}):
        data = contours.plot(frame, **option).data
        assert all((data[field] == value).all() for field, value in option.items())


def test_lines_are_left_out_and_named(planes: pd.DataFrame) -> None:
    assert "left out, with 1 dimension: plain-20, plain-56, ResNet-20, ResNet-56" in texts(contours.plot(planes).figure)


def test_networks_without_a_surface_are_named(make: object) -> None:
    frame = surface(shape=(5, 5))
    runs = frame.drop_duplicates("run_id")
    lost = runs.assign(run_id="x", point_id="x", depth=110, state="diverged")
    other = runs.assign(run_id="y", point_id="y", network="residual")
    figure = contours.plot(frame, pd.concat([runs, lost, other])).figure
    assert "without a surface: plain-110 (diverged), ResNet-20" in texts(figure)


def test_checkpoints_of_a_trajectory_are_no_points_of_the_lattice() -> None:
    frame = surface(shape=(5, 5))
    way = frame.head(1).assign(iteration=pd.array([100], dtype="Int64"), loss=0.0, alpha=9.0)
    assert contours.plot(together(frame, way)).data["alpha"].max() == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"of": "los"}, "unknown quantity 'los'; did you mean 'loss'?"),
        ({"split": "tets"}, "unknown split 'tets'; did you mean 'test'?"),
        ({"seed": 3}, "no surface has seed 3; there are 0"),
        ({"plane": "randm"}, "no surface has plane 'randm'; did you mean 'random'?"),
    ],
)
def test_what_is_not_there_is_refused(options: dict[str, str | int], message: str, planes: pd.DataFrame) -> None:
    with pytest.raises(StudyError) as caught:
        contours.plot(planes, **options)  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_nothing_to_draw(planes: pd.DataFrame) -> None:
    for nothing in (pd.DataFrame(), planes.iloc[:0]):
        with pytest.raises(StudyError, match="no surface has been measured; `study surface SWEEP` measures them"):
            contours.plot(nothing)
    with pytest.raises(StudyError, match="no surface has 2 dimensions; the figure line1d draws the others"):
        contours.plot(planes[planes["dims"] == 1])
    with pytest.raises(StudyError, match="the surfaces have no values of split 'test'"):
        contours.plot(planes[planes["split"] == "train"], split="test")
    with pytest.raises(StudyError, match="the surfaces frame lacks refine, alpha"):
        contours.plot(planes.drop(columns=["refine", "alpha"]))


@pytest.mark.parametrize("count", [1, 2, 4, 5])
def test_no_text_overlaps_or_is_cut_off(count: int) -> None:
    depths = (8, 20, 56, 110, 1202)[:count]
    with styled("paper"):
        figure = contours.plot(together(*[surface(depth=depth, shape=(5, 5)) for depth in depths])).figure
        figure.draw_without_rendering()
        boxes = [text.get_window_extent() for text in figure.texts if text.get_text()]
        for axes in figure.axes:
            labels = [axes.title, axes._left_title, axes._right_title, *axes.get_xticklabels(), *axes.get_yticklabels()]
            boxes += [
                text.get_window_extent() for text in (*labels, axes.xaxis.label, axes.yaxis.label) if text.get_text()
            ]
    page = figure.bbox
    for number, box in enumerate(boxes):
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1
        for other in boxes[:number]:
            across = min(box.x1, other.x1) - max(box.x0, other.x0)
            along = min(box.y1, other.y1) - max(box.y0, other.y0)
            assert across <= 0 or along <= 0.3 * box.height


def test_every_normalisation_has_its_words() -> None:
    known = get_args(get_args(Surface.model_fields["normalisation"].annotation)[0])
    assert set(NORMALISATIONS) == set(known) == {"filter", "layer", "model", "weight"}

"""The hessian_ratio figure against the surfaces that it was drawn from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from study.errors import StudyError
from study.plotting.base.style import styled
from study.plotting.surfaces import hessian_ratio

from .bends import curved, four
from .boxes import unreadable
from .planes import together


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.texts).replace("\n", " ")


def cells(axes: Axes) -> dict[tuple[float, float], np.ndarray]:
    """Centre -> colour of each cell of a panel."""
    drawn = next(artist for artist in axes.collections if isinstance(artist, PolyCollection))
    centres = [tuple(np.round(path.vertices[:-1].mean(axis=0), 9) + 0.0) for path in drawn.get_paths()]
    return dict(zip(centres, drawn.get_facecolors(), strict=True))


def patches(axes: Axes, name: str) -> np.ndarray:
    """Corners of the polygons of a kind."""
    found = [patch.get_path().vertices for patch in axes.patches if patch.get_gid() == name]
    return np.concatenate(found) if found else np.empty((0, 2))


def small(**fields: object) -> pd.DataFrame:
    return curved(shape=(5, 3), **fields)  # type: ignore[arg-type]


def test_the_picture_shows_exactly_the_data() -> None:
    frame = four(curved, shape=(5, 5))
    plot = hessian_ratio.plot(frame)
    assert len(plot.data) == 100
    kept = frame[frame["split"] == "train"].merge(plot.data, on=["surface_id", "i", "j"], suffixes=("", "_drawn"))
    known = (kept["lambda_max"] > 0) & kept["lambda_min"].notna()
    np.testing.assert_allclose(kept.loc[known, "ratio"], (kept["lambda_min"] / kept["lambda_max"]).abs()[known])
    assert kept.loc[~known, "ratio"].isna().all() and (~known).sum() == 2  # one unknown, one concave
    norm, colours = hessian_ratio._colouring()
    for axes, (_, points) in zip(plot.figure.axes[:4], plot.data.groupby("column", sort=False), strict=False):
        found, there = cells(axes), points[points["ratio"].notna()]
        assert len(found) == len(there)
        for point in there.itertuples():
            key = (round(point.alpha, 9) + 0.0, round(point.beta, 9) + 0.0)
            np.testing.assert_allclose(found[key], colours(norm(point.ratio)))


def test_colours_go_from_0_to_a_half_and_what_is_above_is_said() -> None:
    frame = small()
    frame.loc[frame["i"] == 0, "lambda_min"] = -18.0
    frame.loc[(frame["i"] == 0) & (frame["j"] == 0), "lambda_min"] = -60.0
    plot = hessian_ratio.plot(frame)
    said = texts(plot.figure)
    largest = plot.data["ratio"].max()
    count = int((plot.data["ratio"] > 0.5).sum())
    assert (
        f"above 0.5: plain-20 at {count} of 15 points, at most {largest:.2g}" in said
        and f"{largest:.2g}" in plot.caption
    )
    bar = next(axes for axes in plot.figure.axes if axes.get_label() == "colour bar")
    assert bar.get_ylim() == (0, 0.5)
    assert "above" not in texts(hessian_ratio.plot(small()).figure)


def test_what_has_no_ratio_is_hatched_or_dotted_and_named() -> None:
    frame = small()
    frame.loc[(frame["i"] == 0) & (frame["j"] == 0), ["lambda_max", "lambda_min"]] = np.nan
    frame.loc[(frame["i"] == 1) & (frame["j"] == 0), "lambda_max"] = np.inf
    frame.loc[(frame["i"] == 4) & (frame["j"] == 2), ["lambda_max", "lambda_min"]] = [0.0, -3.0]
    plot = hessian_ratio.plot(frame)
    axes = plot.figure.axes[0]
    assert len(cells(axes)) == 12 and plot.data["ratio"].isna().sum() == 3
    assert len(patches(axes, "no finite value")) == 10 and patches(axes, "no finite value").max() < 0
    assert len(patches(axes, "no positive eigenvalue")) == 5 and patches(axes, "no positive eigenvalue").min() > 0
    said = texts(plot.figure)
    assert "no finite eigenvalues (hatched): plain-20 at 2 of 15 points" in said
    assert "no positive eigenvalue (dotted): plain-20 at 1 of 15 points" in said
    entries = [text.get_text() for text in plot.figure.legends[0].get_texts()]
    assert {"no finite eigenvalues", "no positive eigenvalue"} <= set(entries)


def test_convex_points_are_named() -> None:
    frame = small()
    frame.loc[frame["i"] == 2, "lambda_min"] = 0.5
    assert "convex, all eigenvalues being above 0: plain-20 at 3 of 15 points" in texts(
        hessian_ratio.plot(frame).figure
    )


def test_cells_are_as_large_as_their_lattice_is_wide_and_finer_ones_on_top() -> None:
    axes = hessian_ratio.plot(curved(shape=(5, 5), refine=1)).figure.axes[0]
    drawn = next(artist for artist in axes.collections if isinstance(artist, PolyCollection))
    widths = np.array([np.ptp(path.vertices[:, 0]) for path in drawn.get_paths()])
    assert set(np.round(widths, 9)) == {0.5, 0.25} and (np.diff(widths) <= 1e-9).all()
    assert axes.get_xlim() == (-1.25, 1.25)


def test_missing_points_are_blank_and_named() -> None:
    frame = small()
    figure = hessian_ratio.plot(frame[~((frame["i"] == 2) & (frame["j"] == 1))]).figure
    assert (0.0, 0.0) not in cells(figure.axes[0]) and not figure.axes[0].patches
    assert "incomplete: plain-20 has 14 of 15 points" in texts(figure)
    assert figure.axes[0].get_title("right") == ""
    assert hessian_ratio.plot(frame).figure.axes[0].get_title("right") == "0.02"


def test_images_are_those_of_the_hessian_and_either_split_may_have_it() -> None:
    assert "Hessian of the loss of 1,024 training images" in texts(hessian_ratio.plot(small()).figure)
    frame = small()
    alone = frame[frame["split"] == "train"].assign(split="test")  # measured with `data: test`
    pd.testing.assert_series_equal(hessian_ratio.plot(alone).data["ratio"], hessian_ratio.plot(frame).data["ratio"])
    assert hessian_ratio.plot(frame.drop(columns="curvature_images")).data["ratio"].notna().all()


def test_only_surfaces_with_curvature_are_shown_also_where_nothing_was_found() -> None:
    lost = small(depth=56).assign(lambda_max=np.nan, lambda_min=np.nan)
    plain = small(network="residual").assign(lambda_max=np.nan, lambda_min=np.nan, curvature_images=pd.NA)
    leading = small(network="residual", depth=56, plane="hessian").assign(lambda_max=np.nan, lambda_min=np.nan)
    frame = together(small(), lost, plain, leading)
    figure = hessian_ratio.plot(frame, frame.drop_duplicates("run_id")).figure
    assert [axes.get_title("left") for axes in figure.axes[:-1]] == ["plain-20", "plain-56"]
    said = texts(figure)
    assert "no finite eigenvalues (hatched): plain-56 at 15 of 15 points" in said
    assert "without a surface with curvature: ResNet-20, ResNet-56" in said


def test_a_row_for_each_kind_of_bn_statistics() -> None:
    frame = together(*(curved(depth=56, shape=(5, 3), bn=bn) for bn in ("frozen", "batch")))
    figure = hessian_ratio.plot(frame).figure
    assert len(figure.axes) == 3 and "plain-56 (BN with each batch's own statistics) at" in texts(figure)


def test_nothing_to_draw(planes: pd.DataFrame) -> None:
    with pytest.raises(StudyError, match="no surface has been measured"):
        hessian_ratio.plot(pd.DataFrame())
    with pytest.raises(
        StudyError, match="no surface was measured with its curvature; `study surface SWEEP --curvature`"
    ):
        hessian_ratio.plot(planes)
    with pytest.raises(StudyError, match="the surfaces frame lacks lambda_min"):
        hessian_ratio.plot(small().drop(columns="lambda_min"))
    with pytest.raises(StudyError, match="no surface has seed 3; there are 0"):
        hessian_ratio.plot(small(), seed=3)


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("style", ["paper", "talk"])
def test_no_text_overlaps_or_is_cut_off(count: int, style: str) -> None:
    with styled(style):
        frame = together(*[small(network="residual", depth=depth) for depth in (20, 56, 110, 1202)[:count]])
        assert unreadable(hessian_ratio.plot(frame).figure) == []

"""The spectrum figure against the frames that it was drawn from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from study.errors import StudyError
from study.plotting.base.style import depth_colour, styled
from study.plotting.probes import spectrum

from .bends import spectra
from .boxes import unreadable
from .conftest import Frames, cut, run_id


@pytest.fixture(scope="module")
def frames() -> Frames:
    return spectra(seeds=3)


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.texts).replace("\n", " ")


def lines(axes: Axes) -> dict[str, np.ndarray]:
    """gid -> (x, y) of every curve."""
    return {str(line.get_gid()): line.get_xydata() for line in axes.lines if line.get_gid() != "floor"}


def marks(axes: Axes, label: str) -> list[float]:
    drawn = next(c for c in axes.collections if isinstance(c, LineCollection) and c.get_gid() == f"extremes {label}")
    return [segment[0, 0] for segment in drawn.get_segments()]


def corner(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def nan(frame: pd.DataFrame, run: str) -> pd.DataFrame:
    """The same frame, in which all that was found of a run is NaN."""
    return frame.assign(value=frame["value"].where(frame["run_id"] != run))


def test_the_picture_shows_exactly_the_data(frames: Frames) -> None:
    plot = spectrum.plot(*frames)
    assert [axes.get_title("left") for axes in plot.figure.axes] == ["plain  (n = 3)", "residual  (n = 3)"]
    for axes, network in zip(plot.figure.axes, ("plain", "residual"), strict=True):
        own = plot.data[plot.data["network"] == network]
        curves = own[own["kind"].isin(["seed", "mean"])]
        drawn = lines(axes)
        groups = dict(iter(curves.groupby(["kind", "label", "run_id"], dropna=False)))
        assert len(drawn) == len(groups) == 8
        for (kind, label, run), curve in groups.items():
            xy = drawn[run if kind == "seed" else f"mean {label}"]
            np.testing.assert_array_equal(xy, curve[["eigenvalue", "density"]])
        for label, line in own[own["kind"].isin(["largest", "smallest"])].groupby("label"):
            assert marks(axes, str(label)) == list(line["eigenvalue"])


def test_what_is_drawn_was_measured(frames: Frames) -> None:
    frame, runs = frames
    data = spectrum.plot(*frames).data
    last = frame[frame["iteration"] == 64_000]
    for kind in ("largest", "smallest"):
        wanted, found = (rows.sort_values(["run_id", value])[value] for rows, value in
                         ((last[last["measure"] == kind], "value"), (data[data["kind"] == kind], "eigenvalue")))  # fmt: skip
        np.testing.assert_array_equal(wanted, found)
    assert set(data.loc[data["kind"] == "seed", "run_id"]) == set(runs["run_id"])
    assert set(data["iteration"]) == {64_000} and set(data["images"]) == {1024}


def test_the_density_is_that_of_gaussians_around_the_nodes() -> None:
    run = pd.DataFrame({
        "measure": ["density_node", "density_weight"] * 2, "place": [1, 1, 2, 2], "value": [-1.0, 0.25, 2.0, 0.75],
    })  # fmt: skip
    grid = np.linspace(-4, 5, 2001)
    found = spectrum.density(run.sample(frac=1, random_state=0), grid, 0.3)
    bell = lambda x: np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)  # noqa: E731
    assert found is not None
    np.testing.assert_allclose(found, (0.25 * bell((grid + 1) / 0.3) + 0.75 * bell((grid - 2) / 0.3)) / 0.3)
    assert np.trapezoid(found, grid) == pytest.approx(1)


def test_every_density_has_the_area_of_1_and_means_are_over_seeds(frames: Frames) -> None:
    data = spectrum.plot(*frames).data
    for (kind, *_), curve in data[data["density"].notna()].groupby(
        ["kind", "network", "label", "run_id"], dropna=False
    ):
        assert np.trapezoid(curve["density"], curve["eigenvalue"]) == pytest.approx(1, abs=2e-3), kind
    seeds = data[data["kind"] == "seed"].groupby(["network", "label", "eigenvalue"])["density"].mean()
    means = data[data["kind"] == "mean"].set_index(["network", "label", "eigenvalue"])["density"]
    np.testing.assert_allclose(means.sort_index(), seeds.sort_index())


def test_panels_share_their_axes_and_depths_have_their_colours(frames: Frames) -> None:
    plain, residual = spectrum.plot(*frames).figure.axes
    assert plain.get_xlim() == residual.get_xlim() and plain.get_ylim() == residual.get_ylim()
    assert plain.get_yscale() == "log"
    for axes in (plain, residual):
        means = {line.get_gid(): line.get_color() for line in axes.lines if str(line.get_gid()).startswith("mean")}
        assert means == {"mean 20": depth_colour(20), "mean 56": depth_colour(56)}


def test_the_corner_has_the_ends_of_each_spectrum(frames: Frames) -> None:
    last = frames[0][frames[0]["iteration"] == 64_000]
    own = last[(last["network"] == "plain") & (last["depth"] == 56)]
    low, high = (
        own.loc[own["measure"] == "smallest", "value"].min(),
        own.loc[own["measure"] == "largest", "value"].max(),
    )
    said = f"56: {low:.3g} to {high:.3g}".replace("-", "−")
    assert said in corner(spectrum.plot(*frames).figure.axes[0])
    assert said in corner(spectrum.plot(*frames, reach=10.0).figure.axes[0])


def test_the_last_iteration_is_drawn_unless_another_is_asked_for(frames: Frames) -> None:
    first = spectrum.plot(*frames, iteration=0)
    assert set(first.data["iteration"]) == {0} and "iteration 0" in texts(first.figure)
    with pytest.raises(StudyError, match="the Hessian was not measured at iteration 7; it was at 0 and 64,000"):
        spectrum.plot(*frames, iteration=7)


def test_runs_that_were_not_measured_then_are_named_and_not_drawn(frames: Frames) -> None:
    frame, runs = frames
    late = run_id(runs, "plain", 56, 1)
    data = spectrum.plot(frame[(frame["run_id"] != late) | (frame["iteration"] == 0)], runs)
    assert late not in set(data.data["run_id"]) and "not measured then: plain-56 seed 1" in texts(data.figure)
    assert {"20 (n = 3)", "56 (n = 2)"} <= {text.split(":")[0] for text in corner(data.figure.axes[0])}


def test_absent_runs_are_named(frames: Frames) -> None:
    frame, runs = frames
    lost = run_id(runs, "plain", 56, 0)
    _, runs = cut((frame.assign(split="train", loss=0.0, error=0.0), runs), lost, "diverged", 9_700)
    _, runs = cut((frame, runs), run_id(runs, "residual", 56, 2), "failed", 100)
    kept = frame[(frame["run_id"] != lost) & (frame["run_id"] != run_id(runs, "residual", 56, 2))]
    said = texts(spectrum.plot(kept, runs).figure)
    assert "diverged (×): plain-56 seed 0 at iteration 9,700" in said and "failed: residual-56 seed 2" in said


def test_spectra_that_are_no_numbers_are_named_and_not_averaged(frames: Frames) -> None:
    frame, runs = frames
    lost = run_id(runs, "plain", 56, 2)
    plot = spectrum.plot(nan(frame, lost), runs)
    assert "no finite density: plain-56 seed 2" in texts(plot.figure)
    assert "eigenvalues that were not found: plain-56 seed 2" in texts(plot.figure)
    assert lost not in set(plot.data["run_id"]) and set(plot.data["n"].dropna()) == {2, 3}
    one = frame.assign(value=frame["value"].where((frame["run_id"] != lost) | (frame["measure"] != "density_node")))
    plot = spectrum.plot(one, runs)
    assert "no finite density: plain-56 seed 2" in texts(plot.figure) and "not found" not in texts(plot.figure)
    assert set(plot.data.loc[plot.data["run_id"] == lost, "kind"]) == {"largest", "smallest"}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nothing_finite_is_refused(frames: Frames, value: float) -> None:
    with pytest.raises(StudyError, match="no eigenvalue that was measured is a finite number"):
        spectrum.plot(frames[0].assign(value=value), frames[1])


def test_a_shorter_axis_counts_what_lies_beyond(frames: Frames) -> None:
    plot = spectrum.plot(*frames, reach=40.0)
    assert plot.figure.axes[0].get_xlim()[1] == 40 and plot.data["eigenvalue"].max() <= 40
    last = frames[0][(frames[0]["iteration"] == 64_000) & frames[0]["measure"].isin(["largest", "smallest"])]
    far = last[last["value"].abs() > 40]
    count = int(((far["network"] == "plain") & (far["depth"] == 56)).sum())
    assert "eigenvalues beyond 40 that were found:" in texts(plot.figure) and f"plain-56: {count}" in texts(plot.figure)
    with pytest.raises(StudyError, match="reach must be a positive number, not -1"):
        spectrum.plot(*frames, reach=-1)


def test_one_network_one_seed_and_no_runs() -> None:
    frame, _ = spectra(seeds=1)
    plot = spectrum.plot(frame[frame["network"] == "plain"])
    assert [axes.get_title("left") for axes in plot.figure.axes] == ["plain  (n = 1)"]
    assert "seed 0; 2 of 2 runs done" in plot.caption


def test_networks_of_one_depth_differ_in_their_dashes() -> None:
    a, b = (spectra(seeds=1, networks=("residual",), depths=(20,), shortcut=option) for option in "AB")
    figure = spectrum.plot(pd.concat([a[0], b[0]]), pd.concat([a[1], b[1]])).figure
    styles = {str(line.get_gid()): line.get_linestyle() for line in figure.axes[0].lines}
    assert styles["mean 20 A"] != styles["mean 20 B"]
    assert [text.get_text() for text in figure.legends[0].get_texts()][:2] == ["depth 20 A", "depth 20 B"]


def test_a_row_for_each_data_set_with_axes_of_its_own() -> None:
    one, other = (spectra(seeds=1, dataset=name) for name in ("cifar10", "cifar10-jpeg"))
    other[0].loc[:, "value"] *= np.where(other[0]["measure"] == "density_weight", 1, 3)
    figure = spectrum.plot(pd.concat([one[0], other[0]]), pd.concat([one[1], other[1]])).figure
    rows = [axes.texts[0].get_text() for axes in figure.axes[::2]]
    assert len(figure.axes) == 4 and rows == ["cifar10", "cifar10-jpeg"]
    assert figure.axes[2].get_xlim()[1] > 2 * figure.axes[0].get_xlim()[1]


def test_nothing_to_draw(frames: Frames) -> None:
    frame, runs = frames
    for nothing in (pd.DataFrame(), frame[frame["probe"] == "paths"]):
        with pytest.raises(StudyError, match="no Hessian has been measured; `study probe SWEEP --probes hessian`"):
            spectrum.plot(nothing, runs)
    with pytest.raises(StudyError, match="the probes frame lacks place, value"):
        spectrum.plot(frame.drop(columns=["place", "value"]), runs)
    with pytest.raises(StudyError, match="the probes frame lacks depth"):
        spectrum.plot(frame.drop(columns="depth"))


@pytest.mark.parametrize("style", ["paper", "talk"])
@pytest.mark.parametrize("networks", [("plain",), ("plain", "residual")])
def test_no_text_overlaps_or_is_cut_off(style: str, networks: tuple[str, ...]) -> None:
    with styled(style):
        assert unreadable(spectrum.plot(*spectra(seeds=2, networks=networks)).figure) == []

"""Figures of probes: the numbers they show, which runs and iterations, and what they say of the others."""

import numpy as np
import pytest

from study.plotting import plot
from tests.frames import same, together

from .conftest import OF_PROBES, run_id
from .planes import notes, spectra
from .probed import layer, probed

POINT = ["network", "depth", "place"]


@pytest.fixture(scope="module")
def small():
    """Plain and residual 8 and 20, two seeds, measured at the start and at the end."""
    return probed(depths=(8, 20), seeds=2, iterations=(0, 100))


def values(frame, measure, iteration=100):
    return frame[(frame["measure"] == measure) & (frame["iteration"] == iteration)]


def test_responses_in_layer_order_and_sorted(small):
    data = plot("responses", *small).data
    end = values(small[0], "std")
    for order in ("layer", "sorted"):
        own = data[data["order"] == order]
        seeds = own[own["kind"] == "seed"]
        if order == "layer":
            same(seeds.set_index(["run_id", "place"])["value"], end.set_index(["run_id", "place"])["value"])
        for _, run in seeds.groupby("run_id"):
            if order == "sorted":
                assert run["value"].is_monotonic_decreasing
        same(own[own["kind"] == "mean"].set_index(POINT)["value"], seeds.groupby(POINT)["value"].mean())


@pytest.mark.parametrize("measure", ["norm", "relative"])
def test_gradients_are_geometric_means(measure, small):
    data = plot("gradients", *small, measure=measure).data
    own = small[0][(small[0]["probe"] == "gradients") & (small[0]["measure"] == measure)]
    cells = data[data["kind"] == "cell"].set_index([*POINT, "iteration"])["value"]
    same(cells, np.exp(np.log(own["value"]).groupby([own[key] for key in (*POINT, "iteration")]).mean()))


def test_initial_gradients_are_those_before_the_first_step_with_the_flattest_first():
    frame, runs = probed(depths=(20, 56), seeds=2, iterations=(0, 100))
    data = plot("initial_gradients", frame, runs).data
    assert list(data["cure"].unique()) == ["ResNet", "plain"]
    first = values(frame, "norm", 0).query("layer != 'head'")
    means = np.log(first["value"]).groupby([first[name] for name in POINT]).mean().pipe(np.exp)
    same(data[data["kind"] == "mean"].set_index(POINT)["value"], means)
    deep = means.loc[("plain", 56)]
    assert data.loc[data["cure"] == "plain", "ratio"].unique() == pytest.approx([deep.max() / deep.min()])
    assert data["share"].max() == 1 and (data["n"].dropna() == 2).all()


def test_gradients_have_the_ratio_of_first_and_last_convolution():
    frame, runs = probed(depths=(8,), networks=("residual",), seeds=1, iterations=(0, 100))
    last = frame["layer"] == layer(7, 8)
    shortcut = frame.assign(layer=frame["layer"].mask(last, "stages.2.0.shortcut.0"))  # never the last convolution
    norms = values(frame, "norm", 0).set_index("place")["value"]
    for measured, place in ((frame, 7), (shortcut, 6)):
        data = plot("gradients", measured, runs).data
        ratio = data[(data["kind"] == "seed") & (data["iteration"] == 0)]["value"].item()
        assert ratio == pytest.approx(norms[1] / norms[place])


@pytest.mark.parametrize("measure", ["ratio", "change"])
def test_identity_ness_by_block_and_over_training(measure, small):
    data = plot("identity_ness", *small, measure=measure).data
    rows = small[0][(small[0]["probe"] == "identity") & (small[0]["measure"] == measure)]
    seeds = data[data["kind"] == "seed"]
    blocks = seeds[seeds["panel"] == "block"].set_index(["run_id", "place"])["value"]
    same(blocks, rows[rows["iteration"] == 100].set_index(["run_id", "place"])["value"])
    over = seeds[seeds["panel"] == "training"].set_index(["run_id", "iteration"])["value"]
    same(over, rows.groupby(["run_id", "iteration"])["value"].mean())


def test_effective_depth_has_the_rise_of_the_error_and_the_paths(small):
    drawn = plot("effective_depth", *small)
    seeds, means = (drawn.data[drawn.data["kind"] == kind] for kind in ("seed", "mean"))
    whole = values(small[0], "error").set_index("run_id")["value"]
    deleted, shares = (
        values(small[0], name).set_index(["run_id", "place"])["value"] for name in ("deleted_error", "path_share")
    )
    rise = deleted - whole.reindex(deleted.index, level="run_id")
    same(seeds[seeds["panel"] == "deleted"].set_index(["run_id", "place"])["value"], rise)
    same(seeds[seeds["panel"] == "paths"].set_index(["run_id", "place"])["value"], shares)
    depths = values(small[0], "effective_depth").groupby("depth")["value"].mean()
    said = ", ".join(f"ResNet-{depth} {mean:.1f}" for depth, mean in depths.items())
    assert f"effective depth (layers): {said}" in notes(drawn)
    error = means[(means["panel"] == "whole") & (means["network"] == "plain") & (means["depth"] == 20)]["value"].item()
    assert f"plain-20 {error:.1f}" in notes(drawn)


def test_networks_at_chance_are_hatched_and_named(small):
    frame, runs = small
    worst = frame["value"].mask((frame["measure"] == "error") & (frame["network"] == "plain"), 88.0)
    drawn = plot("effective_depth", frame.assign(value=worst), runs)
    assert "uninformative (hatched)" in notes(drawn) and "plain-20 errs 88.0 % (chance: 90 %)" in notes(drawn)
    assert {child.get_gid() for axes in drawn.figure.axes for child in axes.collections} >= {
        "at chance 8",
        "at chance 20",
    }
    assert "when a block is deleted: ResNet-20" in drawn.caption


def test_spectra_have_densities_of_area_1_and_the_extremes_of_every_seed(drawn, fed):
    frame, runs = fed("spectrum")
    data = drawn("spectrum").data
    assert set(data["iteration"]) == {64_000}
    last = frame[frame["iteration"] == 64_000]
    for kind in ("largest", "smallest"):
        wanted, found = last[last["measure"] == kind]["value"], data[data["kind"] == kind]["eigenvalue"]
        np.testing.assert_array_equal(np.sort(wanted), np.sort(found))
    curves = data[data["density"].notna()]
    for _, curve in curves.groupby(["kind", "network", "label", "run_id"], dropna=False):
        assert np.trapezoid(curve["density"], curve["eigenvalue"]) == pytest.approx(1, abs=2e-3)
    keys = ["network", "label", "eigenvalue"]
    seeds = curves[curves["kind"] == "seed"]
    same(curves[curves["kind"] == "mean"].set_index(keys)["density"], seeds.groupby(keys)["density"].mean())
    assert set(seeds["run_id"]) == set(runs["run_id"])


@pytest.mark.slow
def test_a_spectrum_within_reach_and_without_those_that_were_not_found(fed):
    frame, runs = fed("spectrum")
    lost = run_id(runs, "plain", 56, 2)
    near = plot("spectrum", frame.assign(value=frame["value"].where(frame["run_id"] != lost)), runs, reach=40.0)
    assert near.data["eigenvalue"].abs().max() <= 40
    far = frame[(frame["iteration"] == 64_000) & frame["measure"].isin(["largest", "smallest"])]
    far = far[(far["value"].abs() > 40) & (far["network"] == "plain") & (far["depth"] == 56) & (far["run_id"] != lost)]
    assert "eigenvalues found beyond 40" in notes(near) and f"plain-56: {len(far)}" in notes(near)
    assert "not finite: plain-56 seed 2 (" in notes(near) and lost not in set(near.data["run_id"])


@pytest.mark.parametrize("name", OF_PROBES)
def test_every_figure_names_the_runs_that_it_lacks(name, drawn):
    for note in (
        "diverged (×): plain-56 seed 3 at iteration 20,000", "running: ResNet-20 seed 1 at iteration 40,000",
        "missing: ResNet-56 seed 2", "not measured: plain-20 seed 0",
    ):  # fmt: skip
        assert note in notes(drawn("fig7" if name == "responses" else name))


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_PROBES)
def test_values_that_are_not_finite_are_named(name, small):
    frame, runs = small
    odd = (frame["run_id"] == runs["run_id"].iloc[0]) & (frame["place"] == 1)
    lost = frame["value"].mask(odd, np.where(frame["iteration"] == 0, np.nan, np.inf))
    assert "not finite: plain-8 seed 0 (" in notes(plot(name, frame.assign(value=lost), runs))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["responses", "gradients"])
def test_degenerate_values_draw(name, small):
    for value in (np.nan, 0.0, 1e-30):
        assert plot(name, small[0].assign(value=value), small[1]).figure.axes


def test_the_end_is_each_runs_last_iteration_and_data_sets_have_rows_of_their_own(small):
    longer = probed(depths=(20,), networks=("plain",), seeds=1, iterations=(0, 300), dataset="digits")
    drawn = plot("responses", *together(small, longer))
    shown = drawn.data[(drawn.data["kind"] == "seed") & (drawn.data["order"] == "layer")]["value"]
    assert sorted(shown) == sorted([*values(small[0], "std")["value"], *values(longer[0], "std", 300)["value"]])
    assert len([axes for axes in drawn.figure.axes if axes.get_title("left")]) == 8  # in layer order and sorted
    assert "data set digits, not cifar10" in drawn.caption


def test_a_run_that_was_not_measured_at_the_end_is_named_and_left_out(small):
    frame, runs = small
    early = runs["run_id"].iloc[0]
    drawn = plot("responses", frame[(frame["run_id"] != early) | (frame["iteration"] == 0)], runs)
    assert early not in set(drawn.data["run_id"])
    assert "not measured at the last iteration: plain-8 seed 0" in notes(drawn)


@pytest.mark.slow
def test_at_a_given_iteration_runs_count_whatever_their_state(probes):
    early = plot("responses", *probes, iteration=16_000)
    assert {"diverged", "running", "done"} == set(early.data["state"].dropna())
    late = plot("responses", *probes, iteration=48_000)
    assert "not measured at iteration 48,000: ResNet-20 seed 1; plain-56 seed 3" in notes(late)


def test_lost_runs_are_shown_and_not_averaged(drawn):
    data = drawn("gradients").data
    assert data[(data["state"] == "diverged") & (data["kind"] == "seed")]["iteration"].max() == 16_000
    mean = data[(data["kind"] == "mean") & (data["network"] == "plain") & (data["depth"] == 56)]
    assert set(mean["n"]) == {3}


@pytest.mark.slow
def test_values_beyond_the_picture_are_named(probes):
    frame, runs = probes
    first = (frame["network"] == "plain") & (frame["place"] == 1)
    zeros = plot("responses", frame.assign(value=frame["value"].mask(first, 0.0)), runs, scale="log")
    assert "values not above 0" in zeros.caption.lower()
    faint = plot("gradients", frame.assign(value=frame["value"].mask(first, 1e-30)), runs)
    assert "down to 1e-30" in faint.caption


@pytest.mark.slow
def test_variants_of_a_network_have_their_own_names():
    a, b = (spectra(seeds=1, networks=("residual",), depths=(20,), shortcut=option) for option in "AB")
    assert {"20 A", "20 B"} <= set(plot("spectrum", *together(a, b)).data["label"])

"""Differences by seed: who is paired with whom, what a lost run does, and when a difference is established."""

from __future__ import annotations

import math

import numpy as np
import pytest

from study.stats.outcomes import groups
from study.stats.pairs import Contrast, Term, contrast, split
from study.store.runs import LOST

from .conftest import degrades, nothing, overfits, sweep

INF, NAN = math.inf, math.nan


def plain(errors=degrades, **fields):
    line = groups(*sweep(errors, networks=["plain"], **fields))[0].plain
    assert line is not None
    return line


def rise(line, measure="train"):
    return contrast([Term(1, line, 56), Term(-1, line, 20)], measure, 1)


def of(*differences, expected=1):
    return Contrast("deep − shallow", "train", expected, tuple(range(len(differences))), differences)


def test_each_seed_is_compared_with_itself():
    found = rise(plain())
    wanted = [degrades("plain", 56, s)[0] - degrades("plain", 20, s)[0] for s in range(5)]
    assert found.name == "plain-56 − plain-20" and found.seeds == (0, 1, 2, 3, 4)
    assert found.differences == pytest.approx(wanted)
    assert (found.mean, found.std) == pytest.approx((np.mean(wanted), np.std(wanted, ddof=1)))
    assert found.median == pytest.approx(np.median(wanted))


def test_a_difference_of_differences():
    (group,) = groups(*sweep(degrades))
    assert group.plain is not None
    one, other = group.plain, group.residuals[0]
    found = contrast([Term(1, one, 56), Term(-1, one, 20), Term(-1, other, 56), Term(1, other, 20)], "train", 1)
    assert found.differences == pytest.approx([5.3] * 5)
    assert found.name == "plain-56 − plain-20 − ResNet-56 + ResNet-20"


def test_seeds_without_a_pair_are_named_with_the_reason():
    states = {("plain", 56, 0): "failed", ("plain", 20, 1): "running", ("plain", 56, 2): "pending"}
    curves, runs = sweep(degrades, networks=["plain"], states=states)
    gone = (runs["depth"] == 20) & (runs["seed"] == 3)
    (group,) = groups(curves[~curves["run_id"].isin(runs.loc[gone, "run_id"])], runs[~gone])
    assert group.plain is not None
    found = rise(group.plain)
    assert found.seeds == (4,) and found.n == 1
    assert found.absent == (
        "seed 0: plain-56 failed",
        "seed 1: plain-20 is still running",
        "seed 2: plain-56 is missing",
        "seed 3: plain-20 is not in the sweep",
    )


@pytest.mark.parametrize("lost", LOST)
def test_a_lost_run_counts_in_the_test_and_not_in_the_mean(lost):
    found = rise(plain(states={("plain", 56, 3): lost}))
    assert (found.n, len(found.numbers), found.worse, found.better) == (5, 4, 1, 0)
    assert found.p == 2**-5 and found.established == 1
    assert math.isfinite(found.mean) and math.isfinite(found.median)
    against = rise(plain(states={("plain", 20, 3): lost}))
    assert (against.worse, against.better) == (0, 1)
    assert against.p > 0.05 and against.established == 0


def test_lost_runs_on_both_sides_decide_nothing():
    found = rise(plain(states={("plain", 20, 3): "at_chance", ("plain", 56, 3): "diverged"}))
    assert found.lost == "diverged or stopped at chance"
    assert math.isnan(found.differences[3]) and found.undecided == 1
    assert found.p == 2**-4 and found.smallest_p == 2**-4


def test_divergence_alone_can_establish():
    found = rise(plain(states={("plain", 56, seed): "diverged" for seed in range(5)}))
    assert found.established == 1 and found.p == 2**-5 and found.median == INF and math.isnan(found.mean)
    assert found.needed.pairs is None
    assert rise(plain(seeds=4, states={("plain", 56, s): "diverged" for s in range(4)})).established == 0


@pytest.mark.parametrize(
    ("differences", "expected", "established"),
    [
        ((1.0, 1.1, 0.9, 1.2, 1.05), 1, 1),
        ((1.0, 1.1, 0.9, 1.2), 1, 0),  # four seeds can't reach 0.05
        ((-1.0, -1.1, -0.9, -1.2, -1.05), 1, 0),  # nor can five, against the expectation
        ((-1.0, -1.1, -0.9, -1.2, -1.05, -0.8), 1, -1),
        ((1.0, -1.1, 0.9, -1.2, 1.05), 1, 0),
        ((1.0,) * 5, 1, 1),  # no interval, but all signs agree
        ((), 1, 0),
        ((0.0,) * 6, 1, 0),
        ((INF, INF, INF, INF, INF, -3.0), 1, 0),  # the one number speaks against it
    ],
)
def test_when_a_difference_is_established(differences, expected, established):
    assert of(*differences, expected=expected).established == established


@pytest.mark.parametrize("errors", [degrades, nothing, overfits])
def test_the_test_error_is_the_training_error_and_the_gap(errors):
    found = split(plain(errors), 20, 56)
    whole = np.array(found.train.differences) + np.array(found.gap.differences)
    np.testing.assert_allclose(found.test.differences, whole, rtol=0, atol=2e-10)
    parts = [found.per_depth(part) for part in ("train", "gap", "test")]
    assert parts[0] + parts[1] == pytest.approx(parts[2], abs=1e-9)
    assert found.per_depth("test") == pytest.approx(found.test.mean / 3.6)

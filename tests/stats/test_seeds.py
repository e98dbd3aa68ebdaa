"""How many seeds: against the power of a t-test counted in simulated experiments, and against known tables."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from study.stats.significance import fewest, needed


def test_the_fewest_pairs() -> None:
    assert (fewest(), fewest(2)) == (5, 6)
    assert 2.0 ** -fewest() <= 0.05 < 2.0 ** -(fewest() - 1)


@pytest.mark.parametrize(("effect", "pairs"), [(0.2, 199), (0.5, 34), (0.8, 15)])
def test_it_is_cohens_table(effect: float, pairs: int) -> None:
    # n for a power of 0.8, two-sided 0.05, paired: as G*Power has it.
    assert needed(effect, 1.0, 5).pairs == pairs
    assert needed(-3 * effect, 3.0, 5).pairs == pairs


def test_that_many_have_the_power_and_one_fewer_has_not() -> None:
    pairs = needed(0.6, 1.0, 4).pairs
    assert pairs is not None
    draws = np.random.default_rng(2).normal(0.6, 1.0, (20_000, pairs))
    power = [np.mean(stats.ttest_1samp(draws[:, :n], 0.0, axis=1).pvalue < 0.05) for n in (pairs, pairs - 1)]
    assert power[0] > 0.79 and power[1] < 0.81 and power[0] > power[1]


def test_the_sign_flip_test_sets_the_floor() -> None:
    assert needed(80.0, 5.0, 3).pairs == 5
    assert needed(80.0, 5.0, 3, sides=2).pairs == 6


@pytest.mark.parametrize(
    ("mean", "std", "n", "why"),
    [
        (3.0, float("nan"), 1, "one seed has no spread"),
        (float("nan"), float("nan"), 0, "no seed has a number"),
        (3.0, 0.0, 4, "their spread is unknown"),
        (0.0, 1.0, 4, "more than 1,000"),
        (0.01, 1.0, 4, "more than 1,000"),
    ],
)
def test_where_nothing_can_be_estimated_it_says_so(mean: float, std: float, n: int, why: str) -> None:
    found = needed(mean, std, n)
    assert found.pairs is None and why in found.why

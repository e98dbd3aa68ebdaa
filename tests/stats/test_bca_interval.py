"""BCa intervals: equal to scipy's, with the coverage that the docs state, and a reason where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from study.stats.bca_interval import FEWEST, RESAMPLES, SEED, bca_interval

FIVE = [9.1, 9.5, 8.7, 9.9, 9.0]


def test_it_is_scipys_bca():
    skewed = np.array([1.0, 1.1, 1.2, 1.3, 1.4, 5.0])
    theirs = stats.bootstrap(
        (skewed,), lambda x, axis: np.mean(x, axis=axis).round(10), n_resamples=RESAMPLES, method="BCa",
        rng=np.random.default_rng(SEED),
    ).confidence_interval  # fmt: skip
    assert bca_interval(skewed)[:2] == pytest.approx(tuple(theirs), abs=1e-9)


def test_the_committed_bounds_stay():
    low, high, why = bca_interval(FIVE)
    assert (low, high, why) == (pytest.approx(8.92, abs=1e-9), pytest.approx(9.66, abs=1e-9), "")
    assert bca_interval(FIVE[::-1]) == bca_interval(iter(FIVE)) == (low, high, why)
    assert bca_interval(FIVE, level=0.5).high < high


def test_rounding_errors_do_not_move_it():
    # Four seeds have 256 resamples, of which 24 have the mean of the sample.
    rng = np.random.default_rng(4)
    samples = rng.normal(80.0, 5.0, (10, 4))
    moved = samples + rng.normal(0.0, 1e-13, samples.shape)
    before, after = ([bca_interval(row)[:2] for row in rows] for rows in (samples, moved))
    np.testing.assert_allclose(before, after, rtol=0, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "covered"), [(FEWEST, (0.75, 0.85)), (5, (0.80, 0.88)), (30, (0.91, 0.96))])
def test_coverage_of_the_true_mean(n, covered):
    samples = np.random.default_rng(1).normal(3.0, 2.0, (400, n))
    found = [bca_interval(sample) for sample in samples]
    assert covered[0] < np.mean([low < 3.0 < high for low, high, _ in found]) < covered[1]


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([], "there is no value"),
        ([9.1], "one seed has no spread"),
        ([2.0, 2.0, 2.0], "all 3 values are equal"),
        ([5.3, 5.3 + 1e-15, 5.3 - 1e-15], "all 3 values are equal"),
        ([0.0] * 9, "all 9 values are equal"),
        ([5e-324] * 5, "all 5 values are equal"),
        ([2.0, 1.0], "2 seeds are too few, it takes 4"),
        ([2.0, 1.0, 4.0], "3 seeds are too few, it takes 4"),
    ],
)
def test_no_interval_without_spread_or_seeds(values, why):
    found = bca_interval(values)
    assert np.isnan(found[:2]).all() and found.why == why and not found.excludes_zero


@pytest.mark.parametrize("values", [FIVE, [-1.0, 0.0, 0.0, 0.0, 4.0], [1.0] * 9 + [2.0]])
@pytest.mark.parametrize("factor", [1e-300, 1e-12, 1 / 3, 1e299])
def test_it_scales_with_the_values(values, factor):
    one, scaled = bca_interval(values), bca_interval(factor * np.array(values))
    assert scaled[:2] == pytest.approx((factor * one.low, factor * one.high), rel=1e-9, abs=0)
    assert min(values) <= one.low < one.high <= max(values)


def test_it_shifts_with_the_values():
    low, high, _ = bca_interval(FIVE)
    assert bca_interval(1e6 + np.array(FIVE))[:2] == pytest.approx((1e6 + low, 1e6 + high), abs=1e-8)


@pytest.mark.parametrize(
    "values", [[5e-324, 1e-323, 0.0, 0.0], [-1.7e308, 1.7e308, 0.0, 1.0], [1.0, 1.0, 1.0, 1 + 1e-11]]
)
def test_extreme_values_have_an_interval_or_a_reason(values):
    found = bca_interval(values)
    assert (min(values) <= found.low <= found.high <= max(values)) != bool(found.why)


def test_excluding_zero():
    ups = [1.0, 2.0, 3.0, 4.0]
    assert bca_interval(ups).excludes_zero and bca_interval([-up for up in ups]).excludes_zero
    assert not bca_interval([-1.0, 2.0, 3.0, -2.0]).excludes_zero
    with pytest.raises(ValueError, match="finite"):
        bca_interval([1.0, np.inf])

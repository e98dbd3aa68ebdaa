"""BCa intervals: pinned bounds, with the coverage that the docs state, and a reason where there is none."""

import numpy as np
import pytest

from study.stats.bca_interval import FEWEST, bca_interval

FIVE = [9.1, 9.5, 8.7, 9.9, 9.0]


def test_the_committed_bounds_stay():
    low, high, why = bca_interval(FIVE)
    assert (low, high, why) == (pytest.approx(8.92, abs=1e-9), pytest.approx(9.66, abs=1e-9), "")
    assert bca_interval(FIVE[::-1]) == bca_interval(iter(FIVE)) == (low, high, why)


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
        ([2.0, 1.0, 4.0], "3 seeds are too few, it takes 4"),
    ],
)
def test_no_interval_without_spread_or_seeds(values, why):
    found = bca_interval(values)
    assert np.isnan(found[:2]).all() and found.why == why and not found.excludes_zero


@pytest.mark.parametrize("values", [FIVE, [-1.0, 0.0, 0.0, 0.0, 4.0], [1.0] * 9 + [2.0]])
@pytest.mark.parametrize(("factor", "shift"), [(1e-12, 0.0), (1e9, 0.0), (1.0, 1e6)])
def test_it_scales_and_shifts_with_the_values(values, factor, shift):
    one, moved = bca_interval(values), bca_interval(factor * np.array(values) + shift)
    assert moved[:2] == pytest.approx((factor * one.low + shift, factor * one.high + shift), rel=1e-9, abs=0)
    assert min(values) <= one.low < one.high <= max(values)


def test_excluding_zero():
    ups = [1.0, 2.0, 3.0, 4.0]
    assert bca_interval(ups).excludes_zero and bca_interval([-up for up in ups]).excludes_zero
    assert not bca_interval([-1.0, 2.0, 3.0, -2.0]).excludes_zero
    with pytest.raises(ValueError, match="finite"):
        bca_interval([1.0, np.inf])

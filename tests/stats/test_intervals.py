"""BCa intervals against scipy, against a distribution whose mean is known, and where there is nothing to resample."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from study.stats.intervals import FEWEST, RESAMPLES, SEED, bca_interval

FIVE = [9.1, 9.5, 8.7, 9.9, 9.0]


def rounded(samples: np.ndarray, axis: int) -> np.ndarray:
    return np.mean(samples, axis=axis).round(10)


def test_it_is_scipys_bca() -> None:
    skewed = [1.0, 1.1, 1.2, 1.3, 1.4, 5.0]
    theirs = {
        method: tuple(
            stats.bootstrap(
                (np.array(skewed),), rounded, n_resamples=RESAMPLES, method=method, rng=np.random.default_rng(SEED)
            ).confidence_interval
        )
        for method in ("BCa", "percentile")
    }
    assert bca_interval(skewed)[:2] == pytest.approx(theirs["BCa"], abs=1e-9)
    assert bca_interval(skewed).low != pytest.approx(theirs["percentile"][0], abs=1e-3)


def test_it_is_seeded_and_does_not_see_the_order() -> None:
    low, high, why = bca_interval(FIVE)
    assert bca_interval(FIVE[::-1]) == bca_interval(iter(FIVE)) == (low, high, why)
    assert 8.7 < low < np.mean(FIVE) < high < 9.9 and not why
    assert bca_interval(FIVE, level=0.5).high < high


def test_the_last_digit_of_a_sum_does_not_move_it() -> None:
    # Four seeds have 256 resamples, of which 24 have the mean of the sample.
    rng = np.random.default_rng(4)
    samples = rng.normal(80.0, 5.0, (20, 4))
    moved = samples + rng.normal(0.0, 1e-13, samples.shape)
    before, after = ([bca_interval(row)[:2] for row in rows] for rows in (samples, moved))
    np.testing.assert_allclose(before, after, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("n", "covered"), [(FEWEST, (0.75, 0.85)), (5, (0.80, 0.88)), (30, (0.91, 0.96))])
def test_how_often_it_holds_the_true_mean(n: int, covered: tuple[float, float]) -> None:
    samples = np.random.default_rng(1).normal(3.0, 2.0, (400, n))
    found = [bca_interval(sample) for sample in samples]
    share = np.mean([low < 3.0 < high for low, high, _ in found])
    assert covered[0] < share < covered[1]  # narrower than it says with five seeds, as its docstring says


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([], "there is no value"),
        ([9.1], "one seed has no spread"),
        ([2.0, 2.0, 2.0], "all 3 values are equal"),
        ([5.3, 5.3 + 1e-15, 5.3 - 1e-15], "all 3 values are equal"),
        ([0.0] * 9, "all 9 values are equal"),
        ([5e-324] * 5, "all 5 values are equal"),
        ([2.0, 1.0], "2 seeds are too few for one (at least 4)"),
        ([2.0, 1.0, 4.0], "3 seeds are too few for one (at least 4)"),
    ],
)
def test_without_spread_there_is_no_interval(values: list[float], why: str) -> None:
    found = bca_interval(values)
    assert np.isnan(found[:2]).all() and found.why == why
    assert not found.excludes_zero


@pytest.mark.parametrize("values", [FIVE, [1e-12, 3e-12, 2e-12, 7e-12], [-1.0, 0.0, 0.0, 0.0, 4.0], [1.0] * 9 + [2.0]])
@pytest.mark.parametrize("factor", [1e-300, 1e-12, 1e-3, 1 / 3, 1.0, 1e7, 1e150, 1e299])
def test_it_scales_with_the_values(values: list[float], factor: float) -> None:
    one, scaled = bca_interval(values), bca_interval(factor * np.array(values))
    assert scaled[:2] == pytest.approx((factor * one.low, factor * one.high), rel=1e-9, abs=0)
    assert min(values) <= one.low < one.high <= max(values) and one.why == scaled.why == ""


@pytest.mark.parametrize("offset", [-80.0, 1e3, 1e6])
def test_it_moves_with_the_values(offset: float) -> None:
    low, high, _ = bca_interval(FIVE)
    assert bca_interval(offset + np.array(FIVE))[:2] == pytest.approx((offset + low, offset + high), abs=1e-8)


@pytest.mark.parametrize(
    "values", [[5e-324, 1e-323, 0.0, 0.0], [-1.7e308, 1.7e308, 0.0, 1.0], [1.0, 1.0, 1.0, 1 + 1e-11]]
)
def test_there_is_an_interval_or_a_reason(values: list[float]) -> None:
    found = bca_interval(values)
    assert (min(values) <= found.low <= found.high <= max(values)) != bool(found.why)


def test_what_excludes_zero() -> None:
    ups = [1.0, 2.0, 3.0, 4.0]
    assert bca_interval(ups).excludes_zero and bca_interval([-up for up in ups]).excludes_zero
    assert not bca_interval([-1.0, 2.0, 3.0, -2.0]).excludes_zero


def test_divergence_is_no_value() -> None:
    with pytest.raises(ValueError, match="finite"):
        bca_interval([1.0, np.inf])

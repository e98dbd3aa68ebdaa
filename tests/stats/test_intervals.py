"""BCa intervals against scipy, against a distribution whose mean is known, and where there is nothing to resample."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from study.stats.intervals import RESAMPLES, SEED, bca_interval

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
    assert bca_interval(skewed)[:2] == theirs["BCa"] != theirs["percentile"]


def test_it_is_seeded_and_does_not_see_the_order() -> None:
    low, high, why = bca_interval(FIVE)
    assert bca_interval(FIVE[::-1]) == bca_interval(iter(FIVE)) == (low, high, why)
    assert 8.7 < low < np.mean(FIVE) < high < 9.9 and not why
    assert bca_interval(FIVE, level=0.5).high < high


def test_the_last_digit_of_a_sum_does_not_move_it() -> None:
    # Three seeds have 27 resamples, of which six have the mean of the sample.
    rng = np.random.default_rng(4)
    samples = rng.normal(80.0, 5.0, (20, 3))
    moved = samples + rng.normal(0.0, 1e-13, samples.shape)
    before, after = ([bca_interval(row)[:2] for row in rows] for rows in (samples, moved))
    np.testing.assert_allclose(before, after, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("n", "covered"), [(5, (0.80, 0.88)), (30, (0.91, 0.96))])
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
    ],
)
def test_without_spread_there_is_no_interval(values: list[float], why: str) -> None:
    found = bca_interval(values)
    assert np.isnan(found[:2]).all() and found.why == why
    assert not found.excludes_zero


def test_two_values_are_their_own_interval() -> None:
    assert bca_interval([2.0, 1.0])[:2] == (1.0, 2.0)


def test_what_excludes_zero() -> None:
    assert bca_interval([1.0, 2.0, 3.0]).excludes_zero and bca_interval([-1.0, -2.0, -3.0]).excludes_zero
    assert not bca_interval([-1.0, 2.0, 3.0, -2.0]).excludes_zero


def test_divergence_is_no_value() -> None:
    with pytest.raises(ValueError, match="finite"):
        bca_interval([1.0, np.inf])

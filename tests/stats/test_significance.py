"""Tests and intervals: against scipy, published tables and simulated experiments, and with the coverage that the docs state."""

import numpy as np
import pytest
from scipy import stats

from study.stats.bca_interval import FEWEST, bca_interval
from study.stats.significance import holm, needed, sign_flip, sized, student

INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize("n", [2, 5, 9])
def test_it_is_scipys_exact_permutation_test(n):
    for values in np.random.default_rng(n).normal(0.5, 1.0, (5, n)).round(1):  # rounded: with ties
        found = sign_flip(values)
        theirs = [
            stats.permutation_test(
                (values,), lambda x, axis: np.sum(x, axis=axis).round(9), permutation_type="samples", vectorized=True,
                alternative=alternative, n_resamples=np.inf,
            ).pvalue
            for alternative in ("greater", "less")
        ]  # fmt: skip
        assert (found.greater, found.less) == pytest.approx(theirs) and found.exact
        assert found.two_sided == pytest.approx(min(1.0, 2 * min(theirs)))


@pytest.mark.parametrize(("n", "smallest"), [(1, 0.5), (5, 0.03125), (20, 2**-20)])
def test_the_smallest_p(n, smallest):
    found = sign_flip(np.arange(1, n + 1))
    assert found.greater == found.smallest == smallest
    assert found.less == 1.0 and found.two_sided == 2 * smallest


def test_zeros_and_order_do_not_matter():
    assert sign_flip([1.0, 0.0, 2.0, 0.0, 3.0])[:4] == sign_flip([3.0, 2.0, 1.0])[:4]
    assert sign_flip([0.0, 0.0])[:4] == sign_flip([])[:4] == (1.0, 1.0, 1.0, 1.0)
    values = np.random.default_rng(3).normal(0.3, 1.0, 25)
    assert sign_flip(values) == sign_flip(values[::-1])


def test_beyond_twenty_pairs_it_draws():
    values = np.random.default_rng(5).normal(0.35, 1.0, 20)
    exact = sign_flip(values)
    drawn = sign_flip([*values, 1e-9])  # one more pair, which hardly matters
    assert exact.exact and not drawn.exact
    assert drawn.greater == pytest.approx(exact.greater, abs=4 * np.sqrt(exact.greater / 1e5))
    assert sign_flip(np.ones(40)).greater == sign_flip(np.ones(40)).smallest == 1e-5


def test_a_diverged_run_counts_as_the_largest_difference():
    np.testing.assert_array_equal(sized([1.0, INF, -3.0, -INF, NAN]), [1.0, 3.0, -3.0, -3.0, 0.0])
    np.testing.assert_array_equal(sized([INF, -INF]), [1.0, -1.0])
    assert sign_flip([1.0, 2.0, INF, 1.5, 0.5]).greater == sign_flip([INF] * 5).greater == 2**-5
    assert sign_flip([1.0, 2.0, -INF, 1.5, 0.5]).greater > 0.05
    assert sign_flip([NAN] * 5).greater == 1.0


@pytest.mark.parametrize(("effect", "pairs"), [(0.2, 199), (0.5, 34), (0.8, 15)])
def test_seeds_needed_are_those_of_cohens_table(effect, pairs):
    # n for a power of 0.8, two-sided 0.05, paired, as in G*Power.
    assert needed(effect, 1.0, 5).pairs == needed(-3 * effect, 3.0, 5).pairs == pairs


@pytest.mark.parametrize(
    ("mean", "std", "n", "why"),
    [
        (3.0, NAN, 1, "one seed has no spread"),
        (NAN, NAN, 0, "no seed has a number"),
        (3.0, 0.0, 4, "their spread is unknown"),
        (0.01, 1.0, 4, "more than 1,000"),
    ],
)
def test_no_estimate_without_a_spread(mean, std, n, why):
    found = needed(mean, std, n)
    assert found.pairs is None and why in found.why


def test_the_paired_t_test_is_scipys():
    for values in np.random.default_rng(5).normal(0.5, 1.0, (5, 6)):
        theirs = stats.ttest_1samp(values, 0, alternative="greater").pvalue
        assert student(values) == pytest.approx(theirs)
    assert np.isnan(student([1.0])) and student([2.0, 2.0]) == 0 and student([0.0, 0.0]) == 1
    assert student([5.0, 5.1, 5.2, INF]) < 0.001 < 0.1 < student([5.0, 5.1, 5.2, -INF])


def test_holms_correction():
    found = holm([0.01, NAN, 0.04, 0.03, 0.005])  # of four: 0.03 x 2, and 0.04 no less
    assert found == pytest.approx([0.03, NAN, 0.06, 0.06, 0.02], nan_ok=True)
    assert holm([0.6, 0.9]) == [1.0, 1.0] and holm([]) == []


# -- BCa intervals -----------------------------------------------------------------------------------------------------

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

"""The sign-flip test against all flips written out, against scipy, and against the errors that it promises."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from study.stats.sign_flip import sign_flip, sized

INF, NAN = float("inf"), float("nan")


def by_hand(values: list[float]) -> tuple[float, float]:
    """One-sided p above and below, from every way to sign the values."""
    sums = [
        sum(s * abs(v) for s, v in zip(signs, values, strict=True)) for signs in product((1, -1), repeat=len(values))
    ]
    observed = sum(values)
    return (
        np.mean([s >= observed - 1e-9 for s in sums]).item(),
        np.mean([s <= observed + 1e-9 for s in sums]).item(),
    )


@pytest.mark.parametrize("n", [1, 2, 3, 5, 9])
def test_it_is_the_share_of_all_flips(n: int) -> None:
    for values in np.random.default_rng(n).normal(0.5, 1.0, (10, n)).round(1).tolist():  # rounded: with ties
        found = sign_flip(values)
        assert (found.greater, found.less) == pytest.approx(by_hand(values))
        assert found.two_sided == pytest.approx(min(1.0, 2 * min(found.greater, found.less))) and found.exact


def test_it_agrees_with_scipy() -> None:
    values = np.random.default_rng(7).normal(0.4, 1.0, 8)
    for alternative, name in (("greater", "greater"), ("less", "less"), ("two-sided", "two_sided")):
        theirs = stats.permutation_test(
            (values,), np.mean, permutation_type="samples", alternative=alternative, n_resamples=np.inf
        )
        assert getattr(sign_flip(values), name) == pytest.approx(theirs.pvalue)


@pytest.mark.parametrize(("n", "smallest"), [(1, 0.5), (4, 0.0625), (5, 0.03125), (20, 2**-20)])
def test_the_smallest_p_is_reached_when_all_agree(n: int, smallest: float) -> None:
    found = sign_flip(np.arange(1, n + 1))
    assert found.greater == found.smallest == smallest
    assert found.less == 1.0 and found.two_sided == 2 * smallest


def test_zeros_say_nothing() -> None:
    assert sign_flip([1.0, 0.0, 2.0, 0.0, 3.0])[:4] == sign_flip([1.0, 2.0, 3.0])[:4]
    assert sign_flip([0.0, 0.0])[:4] == sign_flip([])[:4] == (1.0, 1.0, 1.0, 1.0)


def test_order_does_not_matter() -> None:
    values = np.random.default_rng(3).normal(0.3, 1.0, 25)
    assert sign_flip(values) == sign_flip(values[::-1])


def test_beyond_twenty_pairs_it_draws_and_agrees_with_the_exact_test() -> None:
    values = np.random.default_rng(5).normal(0.35, 1.0, 20)
    exact = sign_flip(values)
    drawn = sign_flip([*values, 1e-9])  # one more pair, which hardly matters
    assert exact.exact and not drawn.exact
    assert drawn.greater == pytest.approx(exact.greater, abs=4 * np.sqrt(exact.greater / 1e5))
    assert sign_flip(np.ones(40)).greater == sign_flip(np.ones(40)).smallest == 1e-5


def test_a_diverged_run_counts_as_the_largest_difference() -> None:
    np.testing.assert_array_equal(sized([1.0, INF, -3.0, -INF, NAN]), [1.0, 3.0, -3.0, -3.0, 0.0])
    np.testing.assert_array_equal(sized([INF, -INF]), [1.0, -1.0])
    assert sign_flip([1.0, 2.0, INF, 1.5, 0.5]).greater == 2**-5
    assert sign_flip([1.0, 2.0, -INF, 1.5, 0.5]).greater > 0.05
    assert sign_flip([INF] * 5).greater == 2**-5
    assert sign_flip([NAN] * 5).greater == 1.0


def test_it_errs_as_seldom_as_it_says() -> None:
    rng = np.random.default_rng(11)
    noise = rng.normal(0.0, 1.0, (2000, 6))
    noise[rng.random(noise.shape) < 0.2] *= np.inf  # divergence that strikes both members alike
    share = np.mean([sign_flip(row).greater <= 0.05 for row in noise])
    assert share <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2000)

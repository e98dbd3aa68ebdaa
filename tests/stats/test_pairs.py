"""Differences by seed: who is paired, what a lost run does, when one is established; convergence times and their slope."""

import math

import numpy as np
import pytest

from study.stats.outcomes import groups
from study.stats.pairs import Contrast, Term, contrast, split
from study.stats.rates import iterations_to, rates, running
from study.store.runs import LOST

from .conftest import degrades, nothing, overfits, rate, sweep

INF, NAN = math.inf, math.nan


def plain(errors=degrades, **fields):
    return groups(*sweep(errors, networks=["plain"], **fields))[0].plain


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
    one, other = group.plain, group.residuals[0]
    found = contrast([Term(1, one, 56), Term(-1, one, 20), Term(-1, other, 56), Term(1, other, 20)], "train", 1)
    assert found.differences == pytest.approx([5.3] * 5)
    assert found.name == "plain-56 − plain-20 − ResNet-56 + ResNet-20"


def test_seeds_without_a_pair_are_named_with_the_reason():
    states = {("plain", 56, 0): "failed", ("plain", 20, 1): "running", ("plain", 56, 2): "pending"}
    curves, runs = sweep(degrades, networks=["plain"], states=states)
    gone = (runs["depth"] == 20) & (runs["seed"] == 3)
    (group,) = groups(curves[~curves["run_id"].isin(runs.loc[gone, "run_id"])], runs[~gone])
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


def test_lost_runs_on_both_sides_decide_nothing_and_on_one_can_establish():
    found = rise(plain(states={("plain", 20, 3): "at_chance", ("plain", 56, 3): "diverged"}))
    assert found.lost == "diverged or stopped at chance"
    assert math.isnan(found.differences[3]) and found.undecided == 1
    assert found.p == 2**-4 and found.smallest_p == 2**-4
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


# -- convergence, on curves whose rates are known ----------------------------------------------------------------------

DEPTHS = (20, 56, 110)


def found(frames, level=None):
    return rates(group(frames), running(frames[0]), level)


def group(frames):
    (only,) = groups(*frames)
    return only


def timed(frames, level=None):
    return found(frames, level).times[0]


def test_the_time_is_exact_on_an_exponential():
    steps = np.arange(10.0, 1001.0, 10.0)
    assert iterations_to(0.5, steps, 2.3 * np.exp(-0.01 * steps)) == pytest.approx(math.log(2.3 / 0.5) / 0.01)


def test_the_first_time_counts_and_never_is_infinite():
    steps, loss = np.array([10.0, 20.0, 30.0]), np.array([2.0, 0.5, 1.0])
    assert 10 < iterations_to(1.0, steps, loss) < 20
    assert iterations_to(2.5, steps, loss) == 10.0  # below it from the start
    assert iterations_to(0.4, steps, loss) == math.inf
    assert iterations_to(0.0, steps, np.array([2.0, 0.0, 0.0])) == 20.0  # no logarithm of zero


def test_the_level_is_half_way_to_the_drop_of_the_rate():
    made = found(sweep(degrades))
    first, last = (2.3 * math.exp(-0.01 * step) for step in (10, 600))
    assert made.level == pytest.approx(math.sqrt(first * last)) and not made.given
    assert made.reference == "plain-20"
    assert found(sweep(degrades, networks=["residual"])).reference == "ResNet-20"
    assert found(sweep(degrades), 1.0).level == 1.0


def test_an_exponentially_low_rate_is_recovered():
    times = timed(sweep(degrades, depths=DEPTHS, speed=lambda n, d: rate(n, 20 + (d - 20) // 4)), level=1.5)
    assert not times.censored
    slope = math.log(rate("plain", 20) / rate("plain", 42)) / (110 - 20)
    assert times.slopes.mean == pytest.approx(slope, rel=0.02)  # (d - 20) // 4 rounds


@pytest.mark.parametrize("shape", ["exponential", "power"])
def test_the_shape_of_the_growth_is_told(shape):
    def speed(network, depth):
        return 0.02 * math.exp(-0.02 * (depth - 20)) if shape == "exponential" else 0.02 * 20 / depth

    times = timed(sweep(degrades, depths=DEPTHS, speed=speed), level=1.5)
    exponential, power = times.fits
    better, worse = (exponential, power) if shape == "exponential" else (power, exponential)
    assert better == pytest.approx(1.0) and worse < 0.99
    if shape == "exponential":
        assert times.factor == pytest.approx(math.exp(0.2))


def test_a_time_that_is_never_reached_makes_a_lower_bound():
    frames = sweep(degrades, depths=DEPTHS)
    censored, whole = timed(frames), timed(frames, level=2.1)
    assert not whole.censored and not whole.lower_bound
    assert censored.never(110) == 5 and censored.median(110) == math.inf
    assert censored.censored and censored.lower_bound
    assert 0 < censored.slopes.mean < whole.slopes.mean  # 1000 iterations stand for more
    assert censored.slopes.established == 1
    assert all(map(math.isnan, censored.fits))


def test_divergence_is_never_and_a_running_run_is_left_out():
    states = {("plain", 56, 0): "diverged", ("plain", 56, 1): "running", ("plain", 20, 2): "failed"}
    times = timed(sweep(degrades, states=states))
    assert times.reached[56][0] == math.inf and 1 not in times.reached[56] and 2 not in times.reached[20]
    assert times.slopes.seeds == (0, 3, 4)
    assert times.length == 1000  # not the 300 after which it diverged


def test_without_a_loss_that_falls_there_is_no_level():
    frames = sweep(degrades, speed=lambda n, d: -0.001)
    assert rates(group(frames), running(frames[0])) is None

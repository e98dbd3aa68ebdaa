"""Convergence times and their slope against depth, on curves whose rates are known."""

import math

import numpy as np
import pytest

from study.stats.outcomes import groups
from study.stats.rates import iterations_to, rates, running

from .conftest import degrades, rate, sweep

DEPTHS = (20, 56, 110)


def found(frames, level=None):
    made = rates(group(frames), running(frames[0]), level)
    assert made is not None
    return made


def group(frames):
    (only,) = groups(*frames)
    return only


def plain(frames, level=None):
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
    times = plain(sweep(degrades, depths=DEPTHS, speed=lambda n, d: rate(n, 20 + (d - 20) // 4)), level=1.5)
    assert not times.censored
    slope = math.log(rate("plain", 20) / rate("plain", 42)) / (110 - 20)
    assert times.slopes.mean == pytest.approx(slope, rel=0.02)  # (d - 20) // 4 rounds


@pytest.mark.parametrize("shape", ["exponential", "power"])
def test_the_shape_of_the_growth_is_told(shape):
    def speed(network, depth):
        return 0.02 * math.exp(-0.02 * (depth - 20)) if shape == "exponential" else 0.02 * 20 / depth

    times = plain(sweep(degrades, depths=DEPTHS, speed=speed), level=1.5)
    exponential, power = times.fits
    better, worse = (exponential, power) if shape == "exponential" else (power, exponential)
    assert better == pytest.approx(1.0) and worse < 0.99
    if shape == "exponential":
        assert times.factor == pytest.approx(math.exp(0.2))


def test_a_time_that_is_never_reached_makes_a_lower_bound():
    frames = sweep(degrades, depths=DEPTHS)
    censored, whole = plain(frames), plain(frames, level=2.1)
    assert not whole.censored and not whole.lower_bound
    assert censored.never(110) == 5 and censored.median(110) == math.inf
    assert censored.censored and censored.lower_bound
    assert 0 < censored.slopes.mean < whole.slopes.mean  # 1000 iterations stand for more
    assert censored.slopes.established == 1
    assert all(map(math.isnan, censored.fits))


def test_divergence_is_never_and_a_running_run_is_left_out():
    states = {("plain", 56, 0): "diverged", ("plain", 56, 1): "running", ("plain", 20, 2): "failed"}
    times = plain(sweep(degrades, states=states))
    assert times.reached[56][0] == math.inf and 1 not in times.reached[56] and 2 not in times.reached[20]
    assert times.slopes.seeds == (0, 3, 4)
    assert times.length == 1000  # not the 300 after which it diverged


def test_without_a_loss_that_falls_there_is_no_level():
    frames = sweep(degrades, speed=lambda n, d: -0.001)
    assert rates(group(frames), running(frames[0])) is None

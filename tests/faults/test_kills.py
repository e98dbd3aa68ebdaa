"""A sweep that is killed at random times, and rerun after each, ends with what an undisturbed one has."""

from __future__ import annotations

import pytest

from tests.faults.kills import Driver
from tests.faults.warm import Warm


@pytest.mark.slow
def test_twenty_kills_lose_nothing_and_leave_nothing(warm: Warm) -> None:
    driver = Driver(warm, seed=8, real=0.15)
    driver.go(20)
    assert driver.kills == 20 and driver.finished >= 1 and driver.at_operations >= 8


@pytest.mark.long
def test_two_hundred_kills_lose_nothing_and_leave_nothing(warm: Warm) -> None:
    driver = Driver(warm, seed=200, real=0.6)
    driver.go(200)
    assert driver.kills == 200

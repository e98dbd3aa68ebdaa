from __future__ import annotations

import pytest

from study.training.schedule import Schedule
from tests.helpers import make_spec


def rates(schedule: Schedule, *iterations: int) -> list[float]:
    return [pytest.approx(schedule.rate(i)) for i in iterations]


def test_the_rate_drops_at_the_milestones_of_he2015() -> None:
    schedule = Schedule(make_spec(data="cifar10", depth=20, recipe="he2015_cifar"))
    assert rates(schedule, 0, 31_999, 32_000, 47_999, 48_000, 63_999) == [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]


def test_he2016_warms_up_every_depth_for_400_iterations() -> None:
    schedule = Schedule(make_spec(data="cifar10", depth=20, recipe="he2016_cifar"))
    assert rates(schedule, 0, 399, 400, 32_000) == [0.01, 0.01, 0.1, 0.01]
    assert schedule.warning() is None


def test_he2015_warms_110_layers_up_until_the_error_is_below_80_percent() -> None:
    schedule = Schedule(make_spec(data="cifar10", depth=110, recipe="he2015_cifar"))
    schedule.observe(80.0)
    assert rates(schedule, 500) == [0.01]
    schedule.observe(79.9)
    assert rates(schedule, 500, 32_000) == [0.1, 0.01]  # the milestones count from the start
    schedule.observe(95.0)
    assert rates(schedule, 500) == [0.1]


def test_a_warm_up_that_never_ends_is_said_aloud() -> None:
    schedule = Schedule(make_spec(data="cifar10", depth=110, recipe="he2015_cifar"))
    schedule.observe(90.0)
    assert rates(schedule, 60_000) == [0.01]
    warning = schedule.warning()
    assert warning is not None and "never ended" in warning and "80 %" in warning


def test_shallower_networks_do_not_warm_up() -> None:
    assert rates(Schedule(make_spec(data="cifar10", depth=56, recipe="he2015_cifar")), 0) == [0.1]

"""When points, evaluations and snapshots are due, and at which rate each step is taken."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from study.training.events import Event, Events
from study.training.schedule import Schedule
from tests.helpers import make_spec


def rates(schedule, *iterations):
    return [pytest.approx(schedule.rate(i)) for i in iterations]


def test_the_rates_of_the_papers_recipes():
    schedule = Schedule(make_spec(data="cifar10", depth=20, recipe="he2015_cifar"))
    assert rates(schedule, 0, 31_999, 32_000, 47_999, 48_000, 63_999) == [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    schedule = Schedule(make_spec(data="cifar10", depth=20, recipe="he2016_cifar"))
    assert rates(schedule, 0, 399, 400, 32_000) == [0.01, 0.01, 0.1, 0.01]
    assert schedule.warning() is None
    schedule = Schedule(make_spec(data="cifar10", depth=110, recipe="he2015_cifar"))
    schedule.observe(80.0)
    assert rates(schedule, 500) == [0.01]
    schedule.observe(79.9)
    assert rates(schedule, 500, 32_000) == [0.1, 0.01]  # the milestones count from the start
    schedule.observe(95.0)
    assert rates(schedule, 500) == [0.1]


PLATEAU = {"recipe__schedule": "plateau", "recipe__learning_rate": 0.1}


def test_rate_drops_after_patience_evaluations_without_improvement():
    few = {"recipe__schedule__patience": 2, "recipe__schedule__improvement": 0.1, "recipe__schedule__drops": 2}
    schedule = Schedule(make_spec(**PLATEAU | few))
    # Best so far 50, then 44; 41 takes less than a tenth off 44, 39 more.
    errors = [50, 44, 41, 42, 39, 38, 60, 38, 37, 30, 30, 30, 30]
    drops = [schedule.observe_evaluation(10 * i, error) for i, error in enumerate(errors, start=1)]
    assert [i for i, drop in enumerate(drops) if drop] == [3, 6]  # the third plateau is one too many
    assert rates(schedule, 0, 10**6) == [0.001, 0.001]


@pytest.mark.parametrize("patience, improvement", [(2, 0.0), (2, 0.01), (3, 0.05)])
def test_plateau_equals_reduce_lr_on_plateau(patience, improvement):
    fields = {"recipe__schedule__patience": patience, "recipe__schedule__improvement": improvement}
    schedule = Schedule(make_spec(**PLATEAU | fields, recipe__schedule__drops=10))
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.1, patience=patience - 1, threshold=improvement, threshold_mode="rel", eps=0.0
    )
    errors = 30 + 60 * np.exp(-np.arange(60) / 8) + np.random.RandomState(5).normal(0, 2, 60)
    seen = set()
    for i, error in enumerate(errors[:40]):
        schedule.observe_evaluation(i + 1, error)
        theirs.step(error)
        assert schedule.rate(i + 1) == pytest.approx(optimizer.param_groups[0]["lr"])
        seen.add(schedule.rate(i + 1))
    assert len(seen) > 2


def test_a_warm_up_has_no_plateau():
    fields = {"recipe__warmup": "iterations", "recipe__warmup__iterations": 50, "recipe__schedule__patience": 1}
    schedule = Schedule(make_spec(**PLATEAU | fields))
    assert not any(schedule.observe_evaluation(i, 90.0) for i in (10, 30, 50))
    assert not schedule.observe_evaluation(60, 90.0) and schedule.observe_evaluation(70, 90.0)


def test_plateau_state_can_be_restored():
    spec = make_spec(**PLATEAU, recipe__schedule__patience=2)
    first, second = Schedule(spec), Schedule(spec)
    for error in (50.0, 50.0):
        first.observe_evaluation(10, error)
    second.restore(first.state())
    assert second.observe_evaluation(20, 50.0)
    assert second.plateau is not None and second.plateau.state() == {"best": 50.0, "stale": 0, "drops": 1}


def torch_rates(made, iterations):
    """The rates of torch's scheduler, which `made` makes of an optimizer of rate 0.1."""
    steps = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)
    scheduler, rates = made(steps), []
    for _ in range(iterations):
        rates.append(scheduler.get_last_lr()[0])
        steps.step()
        scheduler.step()
    return rates


lr = torch.optim.lr_scheduler
WARM = {"recipe__warmup": {"name": "linear", "iterations": 40, "rate": 0.02}}


def warmed(optimizer, then):
    rise = lr.LinearLR(optimizer, start_factor=0.2, total_iters=40)
    return lr.SequentialLR(optimizer, [rise, then], milestones=[40])


@pytest.mark.parametrize("fields, made", [
    ({"recipe__schedule": "constant"}, lambda o: lr.ConstantLR(o, 1.0)),
    ({"recipe__schedule": "linear"}, lambda o: lr.LinearLR(o, 1.0, 0.0, 200)),
    ({"recipe__schedule": "cosine"}, lambda o: lr.CosineAnnealingLR(o, 200)),
    ({"recipe__schedule": {"name": "cosine", "final": 0.1}}, lambda o: lr.CosineAnnealingLR(o, 200, 0.01)),
    ({"recipe__schedule": "one_cycle"},
     lambda o: lr.OneCycleLR(o, 0.1, 200, cycle_momentum=False, final_div_factor=1e4)),
    ({"recipe__schedule": {"name": "one_cycle", "rise": 0.2, "start": 0.1, "final": 0.001}},
     lambda o: lr.OneCycleLR(o, 0.1, 200, pct_start=0.2, cycle_momentum=False, div_factor=10, final_div_factor=100)),
    (WARM | {"recipe__schedule": "constant"}, lambda o: lr.LinearLR(o, start_factor=0.2, total_iters=40)),
    (WARM | {"recipe__schedule": "cosine"}, lambda o: warmed(o, lr.CosineAnnealingLR(o, 160))),
    (WARM | {"recipe__schedule": {"name": "milestones", "at": [100, 150]}},
     lambda o: warmed(o, lr.MultiStepLR(o, [60, 110], 0.1))),
])  # fmt: skip
def test_rates_are_those_of_torch(fields, made):
    given = {"recipe__iterations": 200, "recipe__learning_rate": 0.1} | fields
    schedule = Schedule(make_spec(**given))
    assert [schedule.rate(i) for i in range(200)] == pytest.approx(torch_rates(made, 200), abs=1e-12)


# -- events ------------------------------------------------------------------------------------------------------------


def events(iterations=12, batch=16, images=40, log=4, **fields):
    recipe = {"recipe__iterations": iterations, "recipe__batch_size": batch, "recipe__log_every": log}
    return Events(make_spec(**recipe, recipe__evaluate_every=5, **fields), images)


def due(schedule, event):
    return [i for i in range(schedule.iterations + 1) if schedule.due(event, i)]


@pytest.mark.parametrize("batch, images", [(16, 40), (128, 50_000), (16, 16), (64, 40), (7, 7001)])
def test_an_epoch_ends_with_the_step_that_completes_it(batch, images):
    expected = [i for i in range(1, 1200) if i * batch // images > (i - 1) * batch // images]
    assert due(events(1200, batch, images, snapshot_every="epoch"), Event.SNAPSHOT) == [0, *expected, 1200]


@pytest.mark.parametrize("every", ["epoch", 5, None])
def test_next_returns_the_iteration_of_the_next_event(every):
    schedule = events(snapshot_every=every, probes="weights", probe_every=7)
    stops = sorted({0, 12}.union(*(due(schedule, event) for event in Event)))
    for now, following in pairwise(stops):
        assert {schedule.next(i) for i in range(now, following)} == {following}

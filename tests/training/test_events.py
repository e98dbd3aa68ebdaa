"""When points, evaluations, measurements and snapshots are due."""

from itertools import pairwise

import pytest

from study.training.events import Event, Events
from tests.helpers import make_spec


def events(iterations=12, batch=16, images=40, log=4, **fields):
    recipe = {"recipe__iterations": iterations, "recipe__batch_size": batch, "recipe__log_every": log}
    return Events(make_spec(**recipe, recipe__evaluate_every=5, **fields), images)


def due(schedule, event):
    return [i for i in range(schedule.iterations + 1) if schedule.due(event, i)]


def test_points_and_evaluations_are_periodic_and_at_the_end():
    assert due(events(), Event.POINT) == [4, 8, 12]
    assert due(events(), Event.EVALUATION) == [5, 10, 12]
    assert due(events(), Event.PROBE) == due(events(), Event.SNAPSHOT) == []


def test_probes_and_snapshots_are_due_before_the_first_step_too():
    schedule = events(probes="weights", probe_every=7, snapshot_every=100)
    assert due(schedule, Event.PROBE) == [0, 7, 12] and due(schedule, Event.SNAPSHOT) == [0, 12]


@pytest.mark.parametrize("batch, images", [(16, 40), (128, 50_000), (16, 16), (64, 40), (7, 7001)])
def test_an_epoch_ends_with_the_step_that_completes_it(batch, images):
    expected = [i for i in range(1, 1200) if i * batch // images > (i - 1) * batch // images]
    assert due(events(1200, batch, images, snapshot_every="epoch"), Event.SNAPSHOT) == [0, *expected, 1200]


def test_taken_event_is_not_due_again():
    schedule = events()
    schedule.take(Event.EVALUATION, 5)
    assert not schedule.due(Event.EVALUATION, 5) and schedule.due(Event.EVALUATION, 10)


@pytest.mark.parametrize("every", ["epoch", 5, None])
def test_next_returns_the_iteration_of_the_next_event(every):
    schedule = events(snapshot_every=every, probes="weights", probe_every=7)
    stops = sorted({0, 12}.union(*(due(schedule, event) for event in Event)))
    for now, following in pairwise(stops):
        assert {schedule.next(i) for i in range(now, following)} == {following}

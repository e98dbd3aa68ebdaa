"""What is written when: the points of the curves, evaluations, measurements, snapshots and checkpoints of a run.

| event      | due                                                                     | writes                          |
|------------|-------------------------------------------------------------------------|---------------------------------|
| point      | every `recipe.log_every` steps, and after the last one                  | curves.parquet: split `train`   |
| evaluation | every `recipe.evaluate_every` steps, and after the last one             | curves.parquet: `train_clean`, `test` |
| probe      | before the first step, every `probe_every` steps, after the last one    | probes.parquet                  |
| snapshot   | before the first step, every `snapshot_every` steps or epochs, after the last one | snapshot-*.pt         |
| checkpoint | every `checkpoint_seconds` of training, when stopped, and at the end    | checkpoint-*.pt, curves.parquet |

At one iteration they are taken in this order; the seal (done.json) follows the last checkpoint. Once a run is
lost, at a point (the loss is NaN or infinite, or the run is stopped at chance), no other event is due but the checkpoint.
"""

from __future__ import annotations

from enum import Enum

from study.config.run import RunSpec


class Event(Enum):
    """What is due at an iteration."""

    POINT = "point"
    EVALUATION = "evaluation"
    PROBE = "probe"
    SNAPSHOT = "snapshot"


class Events:
    """The schedule of one run, and which events have been taken. `images` is the size of the training set."""

    def __init__(self, spec: RunSpec, images: int) -> None:
        recipe = spec.recipe
        self.iterations, self.batch_size, self.images = recipe.iterations, recipe.batch_size, images
        periods = {
            Event.POINT: recipe.log_every,
            Event.EVALUATION: recipe.evaluate_every,
            Event.PROBE: spec.probe_every,
            Event.SNAPSHOT: spec.snapshot_every,
        }
        self._periods = {event: every for event, every in periods.items() if every is not None}
        self.taken = dict.fromkeys(Event, -1) | {Event.POINT: 0}
        """The iteration at which each event was last taken."""

    def due(self, event: Event, iteration: int) -> bool:
        """Tell whether an event is due after `iteration` steps and has not been taken there."""
        return self._scheduled(event, iteration) and self.taken[event] != iteration

    def take(self, event: Event, iteration: int) -> None:
        """Note that an event was taken."""
        self.taken[event] = iteration

    def next(self, iteration: int) -> int:
        """Return the first later iteration at which any event is scheduled, the last one at the latest."""
        return min(self.iterations, *(self._next(event, iteration) for event in self._periods))

    def _scheduled(self, event: Event, iteration: int) -> bool:
        if event not in self._periods:
            return False
        if iteration == 0:
            return event in (Event.PROBE, Event.SNAPSHOT)
        return iteration == self.iterations or self._next(event, iteration - 1) == iteration

    def _next(self, event: Event, iteration: int) -> int:
        every = self._periods[event]
        if every != "epoch":
            return iteration + every - iteration % every
        # After each step that completes an epoch: where iteration * batch_size // images rises. Batches run on across
        # epochs, so that is up to a step late; if the set is smaller than a batch, every step completes one.
        epoch = iteration * self.batch_size // self.images + 1
        return -(-epoch * self.images // self.batch_size)

"""A lane: one network in training, its counters, curves, checkpoints and snapshots."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

import torch

from study.config.run import RunSpec
from study.store.files import remove
from study.store.layout import RunFiles
from study.store.tables import CURVES, Row
from study.training import checkpoint
from study.training.events import Event, Events
from study.training.feeds.feed import Feed
from study.training.feeds.samples import Samples, mixing
from study.training.program import Program
from study.training.schedule import Schedule
from study.training.session import Session

log = logging.getLogger(__name__)


class Lane:
    """One run in training, as the host sees it; `program` is the device's side.

    A lane shares nothing but the images with others, so its numbers are the same alone or in a pack. `iteration` counts
    the steps. Counters stay on the device until a point of the running curve is due.
    """

    def __init__(self, spec: RunSpec, files: RunFiles, images: Feed, session: Session | None = None) -> None:
        self.spec, self.recipe, self.files, self.images = spec, spec.recipe, files, images
        self.session = session or Session()
        self.ranks = self.session.ranks
        self.program = Program(spec, images, self.ranks)
        self.schedule = Schedule(spec)
        recipe = spec.recipe
        self.samples = Samples(spec.seed, len(images), recipe.batch_size, recipe.pad, recipe.flip)
        self.events = Events(spec, len(images))
        self.iteration = 0
        self.seconds = 0.0
        self.lost = ""  # how it ended without a final error: `diverged` or `at_chance`
        self.rows: list[Row] = []
        self.written = ""  # digest of the curves on disk
        self._window = range(0)  # iterations whose batches are on the device

    @property
    def error(self) -> float | None:
        """The last test error, in percent; before the first one the running training error, if any."""
        newest = (row for split in ("test", "train") for row in reversed(self.rows) if row["split"] == split)
        return next((row["error"] for row in newest), None)

    @property
    def finished(self) -> bool:
        """Whether the last step is taken and all that is due after it, or the run is lost."""
        return bool(self.lost) or (self.iteration == self.recipe.iterations and not any(map(self.due, Event)))

    def due(self, event: Event) -> bool:
        """Whether an event is to be taken now; of a lost run none is."""
        return not self.lost and self.events.due(event, self.iteration)

    # -- steps --------------------------------------------------------------------------------------------------------

    def prepare(self) -> int:
        """Put the next batches on the device; return how many steps can be taken before an event or the next batches."""
        if self.iteration not in self._window:
            draws = self.samples.window(self.iteration)
            self._window = range(self.iteration, self.iteration + len(draws.image))
            self.images.expect(self.samples, self.iteration)
            self.program.load_window(draws, [self.schedule.rate(i) for i in self._window], self._mixes())
        return min(self.events.next(self.iteration), self._window.stop) - self.iteration

    def _mixes(self) -> list[tuple[float, ...]]:
        mixup, cutmix = self.recipe.mixup, self.recipe.cutmix
        if mixup is None and cutmix is None:
            return []
        return [mixing(self.spec.seed, i, mixup, cutmix) for i in self._window]

    # -- the curves ---------------------------------------------------------------------------------------------------

    def log_running(self) -> None:
        """Take a point of the running curve: means over the steps since the last one."""
        steps = self.iteration - self.events.taken[Event.POINT]
        program = self.program
        self.ranks.sum_((program.loss, program.wrong))
        loss = float(program.loss) / steps
        error = 100.0 * int(program.wrong) / (steps * self.recipe.batch_size)
        self._append("train", loss, error)
        program.loss.zero_()
        program.wrong.zero_()
        self.events.take(Event.POINT, self.iteration)
        if self.schedule.observe(error):
            self._renew_rates()
        self._judge()
        if self.lost:
            words = "%s: the running loss is %.4g, the error %.2f %% at iteration %d: %s"
            log.warning(words, self.files.run_id, loss, error, self.iteration, self.lost.replace("_", " "))

    def _judge(self) -> None:
        """See whether the run is lost at the newest point of the running curve.

        It is at chance if its error is not below that of a guess by three standard deviations of an error of so many images.
        """
        points = [row for row in self.rows if row["split"] == "train"]
        if points and not math.isfinite(points[-1]["loss"]):
            self.lost = "diverged"
        share, iterations = self.session.stop_at_chance, self.recipe.iterations
        if self.lost or share is None or not points or points[-1]["iteration"] != self.iteration:
            return
        if share * iterations <= self.iteration < iterations:
            before = points[-2]["iteration"] if len(points) > 1 else 0
            images, chance = (self.iteration - before) * self.recipe.batch_size, self.images.chance()
            if points[-1]["error"] >= chance - 3 * math.sqrt(chance * (100 - chance) / images):
                self.lost = "at_chance"

    def _renew_rates(self) -> None:
        self.program.load_rates([self.schedule.rate(i) for i in self._window])

    def log_evaluation(self, split: str, source: str) -> None:
        """Record the program's evaluation of `source` (`train` or `test`) as a point of a split."""
        self._append(split, *self.program.evaluation(source))
        if split == "test":
            self.events.take(Event.EVALUATION, self.iteration)
            clean, test = self.rows[-2]["error"], self.rows[-1]["error"]
            message = "iteration %d: training error %.2f %%, test error %.2f %%"
            log.info(message, self.iteration, clean, test)
            if self.schedule.observe_evaluation(self.iteration, self._error_since_evaluation()):
                log.info(
                    "iteration %d: a plateau; the rate drops to %g", self.iteration, self.schedule.rate(self.iteration)
                )
                self._renew_rates()

    def _error_since_evaluation(self) -> float:
        """Return the mean running training error between the last two evaluations, in percent."""
        evaluated = [row["iteration"] for row in self.rows if row["split"] == "test"]
        begin = evaluated[-2] if len(evaluated) > 1 else 0
        running = [row["error"] for row in self.rows if row["split"] == "train" and row["iteration"] > begin]
        return math.fsum(running) / len(running) if running else math.inf

    def forget_evaluation(self) -> None:
        """Drop an evaluation that was cut short; it is due again."""
        self.rows = [r for r in self.rows if r["split"] == "train" or r["iteration"] != self.iteration]

    def network(self) -> Mapping[str, torch.Tensor]:
        """Return the current weights and BN statistics."""
        network: Mapping[str, torch.Tensor] = self.program.state()["network"]
        return network

    def before_write(self) -> None:
        """Called before each write to the run's files."""
        self.session.before_write(self.files)

    def write(self) -> None:
        """Write the curves."""
        if self.ranks.first:
            self.before_write()
            self.written = CURVES.write(self.files.curves, self.rows)

    def _append(self, split: str, loss: float, error: float) -> None:
        self.rows.append(
            {
                "run_id": self.files.run_id,
                "iteration": self.iteration,
                "epoch": self.iteration * self.recipe.batch_size / len(self.images),
                "split": split,
                "loss": loss,
                "error": error,
                "lr": self.schedule.rate(self.iteration - 1),
                "seconds": self.seconds,
            }
        )

    # -- stopping and going on ------------------------------------------------------------------------------------------

    def save(self, keep: int = 2) -> None:
        """Write a checkpoint and the curves up to it; keep only the newest `keep` checkpoints.

        The first rank has the sums of all counters, so that any number of ranks can go on from the checkpoint.
        """
        self.ranks.sum_((self.program.loss, self.program.wrong))
        if not self.ranks.first:
            self.program.loss.zero_()
            self.program.wrong.zero_()
            return
        self.write()
        state = {
            **self.program.state(),
            "logged": self.events.taken[Event.POINT],
            **self.schedule.state(),
            "seconds": self.seconds,
            # The curve too, so that no point is lost with its file.
            "curves": {name: [row[name] for row in self.rows] for name in CURVES.schema.names},
            "fingerprint": self.images.fingerprint,
            "threads": torch.get_num_threads(),
        }
        checkpoint.save(self.files, self.iteration, state, keep)

    def save_snapshot(self) -> None:
        """Write a snapshot of the network."""
        if self.ranks.first:
            self.before_write()
            checkpoint.save_snapshot(self.files, self.iteration, self.network())
        self.events.take(Event.SNAPSHOT, self.iteration)

    def forget_snapshots(self) -> None:
        """Remove the snapshots from here on: an attempt that got further than its checkpoint took them, and they are due again.

        On the same machine they come back the same. On another one they would mix two slightly different trajectories.
        """
        later = [path for path in self.files.snapshots() if int(path.name.split("-")[1]) >= self.iteration]
        if self.spec.snapshot_every is not None and later and self.ranks.first:
            self.before_write()
            for path in later:
                remove(path)

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint. Raises `StudyError` if the run began with other images."""
        checkpoint.check_images(state, self.images.fingerprint, self.spec.dataset)
        self.program.restore(state)
        self.iteration, self.seconds = state["iteration"], state["seconds"]
        self.schedule.restore(state)
        columns = state["curves"]
        self.rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        self.events.take(Event.POINT, state["logged"])
        self.events.take(Event.EVALUATION, max((r["iteration"] for r in self.rows if r["split"] == "test"), default=-1))
        # The last attempt may have ended between this checkpoint and the seal.
        self._judge()

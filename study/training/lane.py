"""A lane: one network being trained, its counters and its curves."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

import torch

from study.config.run import RunSpec
from study.store.files import remove
from study.store.layout import RunFiles
from study.store.tables import CURVES, Row, write_rows
from study.training import checkpoint
from study.training.events import next_snapshot, snapshot_at
from study.training.feeds.feed import Feed
from study.training.feeds.samples import Samples
from study.training.program import Program
from study.training.schedule import Schedule
from study.training.session import Session

log = logging.getLogger(__name__)


class Lane:
    """One run in training: what the host does for it. `program` is what the device does.

    A lane's numbers are the same alone or in a pack: it shares nothing but the images. `iteration` counts the steps
    taken. Counters stay on the device until a point of the running curve is due.
    """

    def __init__(self, spec: RunSpec, files: RunFiles, images: Feed, session: Session | None = None) -> None:
        self.spec, self.recipe, self.files, self.images = spec, spec.recipe, files, images
        self.session = session or Session()
        self.ranks = self.session.ranks
        self.program = Program(spec, images, self.ranks)
        self.schedule = Schedule(spec)
        recipe = spec.recipe
        self.samples = Samples(spec.seed, len(images), recipe.batch_size, recipe.pad, recipe.flip)
        self.iteration = 0
        self.logged = 0  # iteration of the last point of the running curve
        self.seconds = 0.0
        self.diverged = False
        self.probed: int | None = None  # iteration of the last measurement by the probes
        self.kept: int | None = None  # iteration of the last snapshot
        self.rows: list[Row] = []
        self.written = ""  # digest of the curves on disk
        self._last: dict[str, float] = {}  # error of the newest row of each split
        self._window = range(0)  # iterations whose batches are on the device

    @property
    def error(self) -> float | None:
        """The test error last measured, in percent; before that, the running training error; None before both."""
        for split in ("test", "train"):
            if split in self._last:
                return self._last[split]
        return None

    @property
    def finished(self) -> bool:
        """Whether the last step is taken, evaluated, measured and kept, or the loss is no longer a number."""
        return self.diverged or (self._ended and self._evaluated() and not self.probe_due and not self.snapshot_due)

    # -- steps --------------------------------------------------------------------------------------------------------

    def prepare(self) -> int:
        """Have the next batches on the device; returns how many steps can be taken before the host has something to do."""
        if self.iteration not in self._window:
            draws = self.samples.window(self.iteration)
            self._window = range(self.iteration, self.iteration + len(draws.image))
            self.images.expect(self.samples, self.iteration)
            self.program.load_window(draws, [self.schedule.rate(i) for i in self._window])
        recipe = self.recipe
        periods = [recipe.log_every, recipe.evaluate_every, self.spec.probe_every or recipe.iterations]
        due = [every - self.iteration % every for every in periods]
        if self.spec.snapshot_every is not None:
            following = next_snapshot(self.spec.snapshot_every, self.iteration, recipe.batch_size, len(self.images))
            due.append(following - self.iteration)
        return min(*due, recipe.iterations - self.iteration, self._window.stop - self.iteration)

    def advance(self, steps: int) -> None:
        """Take note of steps that the program took."""
        self.iteration += steps

    # -- the curves ---------------------------------------------------------------------------------------------------

    @property
    def _ended(self) -> bool:
        return self.iteration == self.recipe.iterations

    @property
    def log_due(self) -> bool:
        """Whether a point of the running curve is to be taken."""
        return self.iteration > self.logged and (self._ended or self.iteration % self.recipe.log_every == 0)

    @property
    def evaluation_due(self) -> bool:
        """Whether the network is to be evaluated."""
        due = self._ended or (self.iteration > 0 and self.iteration % self.recipe.evaluate_every == 0)
        return due and not self.diverged and not self._evaluated()

    @property
    def probe_due(self) -> bool:
        """Whether the network is to be measured: before the first step, every so often, and after the last one.

        A lane that goes on from a checkpoint is measured anew, in place of what was taken there.
        """
        every = self.spec.probe_every
        due = every is not None and (self._ended or self.iteration % every == 0)
        return due and not self.diverged and self.probed != self.iteration

    @property
    def snapshot_due(self) -> bool:
        """Whether the network is to be kept; once an attempt at each iteration."""
        recipe, every = self.recipe, self.spec.snapshot_every
        due = snapshot_at(every, self.iteration, recipe.iterations, recipe.batch_size, len(self.images))
        return due and not self.diverged and self.kept != self.iteration

    def _evaluated(self) -> bool:
        return any(row["split"] == "test" and row["iteration"] == self.iteration for row in self.rows[-3:])

    def log_running(self) -> None:
        """Take the point of the running curve: means over the steps since the last one, as they went by."""
        steps = self.iteration - self.logged
        program = self.program
        self.ranks.sum_((program.loss, program.wrong))
        loss = float(program.loss) / steps
        error = 100.0 * int(program.wrong) / (steps * self.recipe.batch_size)
        self._append("train", loss, error)
        program.loss.zero_()
        program.wrong.zero_()
        self.logged = self.iteration
        if self.schedule.observe(error):
            self._renew_rates()
        if not math.isfinite(loss):
            self.diverged = True
            log.warning("%s: the loss is %s at iteration %d: diverged", self.files.run_id, loss, self.iteration)

    def _renew_rates(self) -> None:
        self.program.load_rates([self.schedule.rate(i) for i in self._window])

    def log_evaluation(self, split: str, source: str) -> None:
        """Take the evaluation that the program made of `source` (`train` or `test`) as the point of a split."""
        self._append(split, *self.program.evaluation(source))
        if split == "test":
            clean, test = self.rows[-2]["error"], self.rows[-1]["error"]
            message = "iteration %d: training error %.2f %%, test error %.2f %%"
            log.info(message, self.iteration, clean, test)
            if self.schedule.observe_evaluation(self.iteration, self._error_since_evaluation()):
                log.info(
                    "iteration %d: a plateau; the rate drops to %g", self.iteration, self.schedule.rate(self.iteration)
                )
                self._renew_rates()

    def _error_since_evaluation(self) -> float:
        """The running training error between the last evaluation and the one before, in percent."""
        evaluated = [row["iteration"] for row in self.rows if row["split"] == "test"]
        begin = evaluated[-2] if len(evaluated) > 1 else 0
        running = [row["error"] for row in self.rows if row["split"] == "train" and row["iteration"] > begin]
        return math.fsum(running) / len(running) if running else math.inf

    def forget_evaluation(self) -> None:
        """Leave out an evaluation that was cut short: it is due again."""
        self.rows = [r for r in self.rows if r["split"] == "train" or r["iteration"] != self.iteration]

    def network(self) -> Mapping[str, torch.Tensor]:
        """The weights and BN statistics as they are now."""
        network: Mapping[str, torch.Tensor] = self.program.state()["network"]
        return network

    def before_write(self) -> None:
        """Called before each write to the run's files."""
        self.session.before_write(self.files)

    def write(self) -> None:
        """Put the curves on disk."""
        if self.ranks.first:
            self.before_write()
            self.written = write_rows(self.files.curves, self.rows)

    def _append(self, split: str, loss: float, error: float) -> None:
        self._last[split] = error
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
        """Write a checkpoint and the curves up to it; older ones go, but for the newest `keep` in all."""
        self._gather()
        if not self.ranks.first:
            return
        self.write()
        state = {
            **self.program.state(),
            "logged": self.logged,
            **self.schedule.state(),
            "seconds": self.seconds,
            "curves": _columns(self.rows),
            "fingerprint": self.images.fingerprint,
            "threads": torch.get_num_threads(),
        }
        checkpoint.save(self.files, self.iteration, state, keep)

    def save_snapshot(self) -> None:
        """Write a snapshot of the network."""
        if self.ranks.first:
            self.before_write()
            checkpoint.save_snapshot(self.files, self.iteration, self.network())
        self.kept = self.iteration

    def forget_snapshots(self) -> None:
        """Remove the snapshots from here on, which are due again: an attempt took them that got further than its checkpoint.

        On the same machine they come back as they were. On another they would stand beside those of another way.
        """
        later = [path for path in self.files.snapshots() if int(path.name.split("-")[1]) >= self.iteration]
        if self.spec.snapshot_every is not None and later and self.ranks.first:
            self.before_write()
            for path in later:
                remove(path)

    def _gather(self) -> None:
        """Bring the counters of all ranks together on the first, for a checkpoint that any number of them can go on from."""
        self.ranks.sum_((self.program.loss, self.program.wrong))
        if not self.ranks.first:
            self.program.loss.zero_()
            self.program.wrong.zero_()

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint.

        Raises
        ------
        StudyError
            The data set is not the one that the run began with.
        """
        checkpoint.check_images(state, self.images.fingerprint, self.spec.dataset)
        self.program.restore(state)
        self.iteration, self.logged, self.seconds = state["iteration"], state["logged"], state["seconds"]
        self.schedule.restore(state)
        self.rows = _rows(state["curves"])
        self._last = {row["split"]: row["error"] for row in self.rows}
        # The last attempt may have ended between this checkpoint and the seal.
        self.diverged = any(row["split"] == "train" and not math.isfinite(row["loss"]) for row in self.rows)


def _columns(rows: list[Row]) -> dict[str, list[Any]]:
    """Rows as a checkpoint keeps them: with the curve in it, no point is lost with another file."""
    return {name: [row[name] for row in rows] for name in CURVES.names}


def _rows(columns: dict[str, list[Any]]) -> list[Row]:
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

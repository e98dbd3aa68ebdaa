"""A lane: one network being trained, its counters and its curves."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torch.optim.sgd import sgd

from study.errors import StudyError
from study.networks.network import build
from study.spec.run import RunSpec
from study.store.curves import CURVES, Row, write_rows
from study.store.layout import RunFiles
from study.training import checkpoint
from study.training.images import Images
from study.training.ranks import Ranks
from study.training.samples import Draws, Samples
from study.training.schedule import Schedule

log = logging.getLogger(__name__)


class Lane:
    """One run in training. A lane's numbers are the same alone or in a pack: it shares nothing but the images.

    `iteration` counts the steps taken. Counters stay on the device until a point of the running curve is due.
    """

    def __init__(
        self,
        spec: RunSpec,
        files: RunFiles,
        images: Images,
        ranks: Ranks | None = None,
        before_write: Callable[[], None] = lambda: None,
    ) -> None:
        self.spec, self.recipe, self.files, self.images = spec, spec.recipe, files, images
        self.before_write = before_write
        self.ranks = ranks or Ranks()
        self.schedule = Schedule(spec)
        recipe = spec.recipe
        self.samples = Samples(spec.seed, len(images), recipe.batch_size, recipe.pad, recipe.flip)
        network = build(spec, images.channels, images.classes)
        self.network = network.to(images.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._batch_norms = [m for m in self.network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        self.parameters = list(self.network.parameters())
        self.momentum = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.iteration = 0
        self.logged = 0  # iteration of the last point of the running curve
        self.seconds = 0.0
        self.diverged = False
        self.rows: list[Row] = []
        self._last: dict[str, float] = {}  # error of the newest row of each split
        self._loss = torch.zeros((), dtype=torch.float64, device=images.device)
        self._wrong = torch.zeros((), dtype=torch.int64, device=images.device)
        self._window: Draws | None = None
        self._window_start = 0
        self._autocast = torch.autocast(images.device.type, torch.bfloat16, enabled=spec.precision == "bf16")

    @property
    def error(self) -> float | None:
        """The test error last measured, in percent; before that, the running training error; None before both."""
        for split in ("test", "train"):
            if split in self._last:
                return self._last[split]
        return None

    @property
    def finished(self) -> bool:
        """Whether the last step is taken and its evaluation is on the curve, or the loss is no longer a number."""
        return self.diverged or (self.iteration >= self.recipe.iterations and self._evaluated())

    # -- the step -----------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """One step of SGD on the next batch. Nothing here waits for the device."""
        draws, groups = self._draws(), self.recipe.bn_groups
        size = self.recipe.batch_size // groups
        gradients: Sequence[Tensor] = ()
        self.network.train()
        for group in self.ranks.share(groups):
            part = self._gradients(Draws(*(p[group * size : (group + 1) * size] for p in draws)), group)
            gradients = [a + b for a, b in zip(gradients, part, strict=True)] if gradients else part
        if groups > self.ranks.size:
            gradients = [gradient / (groups // self.ranks.size) for gradient in gradients]
        self.ranks.average_(gradients)
        self._descend(gradients)
        self.iteration += 1

    def _gradients(self, draws: Draws, group: int) -> Sequence[Tensor]:
        """Gradients of the mean loss of one part of a batch, which is all that BN sees; the counters take note."""
        if self.recipe.bn_groups > 1:
            # The running statistics are the first part's: those of the first device, in He et al. and elsewhere.
            for module in self._batch_norms:
                module.momentum = 0.1 if group == 0 else 0.0
        images, labels = self.images.batch(draws, self.recipe.pad)
        with self._autocast:
            logits = self.network(images)
        logits = logits.float()
        loss = F.cross_entropy(logits, labels)
        self._loss += loss.detach() / self.recipe.bn_groups
        self._wrong += (logits.detach().argmax(1) != labels).sum()
        return torch.autograd.grad(loss, self.parameters)

    @torch.no_grad()
    def _descend(self, gradients: Sequence[Tensor]) -> None:
        # torch's functional form: `torch.optim.SGD` imports the compiler, 1.5 s and 100 MB in every worker.
        sgd(
            self.parameters,
            list(gradients),
            self.momentum,  # type: ignore[arg-type]  # a list of tensors where one of optional tensors is asked for
            fused=True,
            lr=self.schedule.rate(self.iteration),
            momentum=self.recipe.momentum,
            weight_decay=self.recipe.weight_decay,
            nesterov=self.recipe.nesterov,
            dampening=0.0,
            maximize=False,
        )

    def _draws(self) -> Draws:
        offset = self.iteration - self._window_start
        if self._window is None or not 0 <= offset < len(self._window.image):
            self._window = self.samples.window(self.iteration).to(self.images.device)
            self._window_start, offset = self.iteration, 0
        return Draws(*(part[offset] for part in self._window))

    # -- the curves ---------------------------------------------------------------------------------------------------

    def observe(self, stopped: Callable[[], bool] = lambda: False) -> bool:
        """Take the points of the curves that are due at this iteration; call it after each step and on resuming.

        Returns whether any was taken. An evaluation that `stopped` cuts short is left out, and due again.
        """
        end = self.iteration == self.recipe.iterations
        log_due = self.iteration > self.logged and (end or self.iteration % self.recipe.log_every == 0)
        if log_due:
            self._log_running()
        evaluate_due = end or (self.iteration > 0 and self.iteration % self.recipe.evaluate_every == 0)
        evaluate_due = evaluate_due and not self.diverged and not self._evaluated()
        if evaluate_due:
            self._evaluate(stopped)
        if (log_due or evaluate_due) and self.ranks.first:
            self.before_write()
            write_rows(self.files.curves, self.rows)
        return log_due or evaluate_due

    def _evaluated(self) -> bool:
        return any(row["split"] == "test" and row["iteration"] == self.iteration for row in self.rows[-3:])

    def _log_running(self) -> None:
        steps = self.iteration - self.logged
        self.ranks.sum_((self._loss, self._wrong))
        loss = float(self._loss) / steps
        error = 100.0 * int(self._wrong) / (steps * self.recipe.batch_size)
        self._append("train", loss, error)
        self._loss.zero_()
        self._wrong.zero_()
        self.logged = self.iteration
        self.schedule.observe(error)
        if not math.isfinite(loss):
            self.diverged = True
            log.warning("%s: the loss is %s at iteration %d: diverged", self.files.run_id, loss, self.iteration)

    def _evaluate(self, stopped: Callable[[], bool]) -> None:
        for split, source in (("train_clean", "train"), ("test", "test")):
            result = self.evaluate(source, stopped)
            if result is None:
                self.rows = [r for r in self.rows if r["split"] == "train" or r["iteration"] != self.iteration]
                return
            self._append(split, *result)
        clean, test = self.rows[-2]["error"], self.rows[-1]["error"]
        message = "iteration %d: training error %.2f %%, test error %.2f %%"
        log.info(message, self.iteration, clean, test)

    def evaluate(self, source: str, stopped: Callable[[], bool] = lambda: False) -> tuple[float, float] | None:
        """Mean loss (nats) and error (percent) on `train` or `test`, in evaluation mode without augmentation.

        None when `stopped` cut it short.
        """
        self.network.eval()
        self.ranks.copy_first_(self.network.buffers())
        loss = torch.zeros_like(self._loss)
        wrong = torch.zeros_like(self._wrong)
        with torch.no_grad():
            for images, labels in self.images.evaluation_batches(source, self.ranks.rank, self.ranks.size):
                if self.ranks.size == 1 and stopped():  # several ranks end together, after it
                    return None
                with self._autocast:
                    logits = self.network(images)
                logits = logits.float()
                loss += F.cross_entropy(logits, labels, reduction="sum")
                wrong += (logits.argmax(1) != labels).sum()
        self.ranks.sum_((loss, wrong))
        count = self.images.count(source)
        return float(loss) / count, 100.0 * int(wrong) / count

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
        self.before_write()
        write_rows(self.files.curves, self.rows)
        state = {
            "network": self.network.state_dict(),
            "momentum": self.momentum,
            "loss": self._loss,
            "wrong": self._wrong,
            "logged": self.logged,
            "warmed_up": self.schedule.warmed_up,
            "seconds": self.seconds,
            "curves": _columns(self.rows),
            "fingerprint": self.images.fingerprint,
            "threads": torch.get_num_threads(),
        }
        checkpoint.save(self.files, self.iteration, state, keep)

    def _gather(self) -> None:
        """Bring the counters of all ranks together on the first, for a checkpoint that any number of them can go on from."""
        self.ranks.sum_((self._loss, self._wrong))
        if not self.ranks.first:
            self._loss.zero_()
            self._wrong.zero_()

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint.

        Raises
        ------
        StudyError
            The data set is not the one that the run began with.
        """
        if state["fingerprint"] != self.images.fingerprint:
            raise StudyError(
                f"the data set {self.spec.dataset} has changed since this run began (content {self.images.fingerprint}, "
                f"was {state['fingerprint']}); put the old data back, or start over with --mode force"
            )
        self.network.load_state_dict(state["network"])
        self.momentum = state["momentum"]
        if self.ranks.first:
            self._loss, self._wrong = state["loss"], state["wrong"]
        self.iteration, self.logged, self.seconds = state["iteration"], state["logged"], state["seconds"]
        self.schedule.warmed_up = state["warmed_up"]
        self.rows = _rows(state["curves"])
        self._last = {row["split"]: row["error"] for row in self.rows}
        # The last attempt may have ended between this checkpoint and the seal.
        self.diverged = any(row["split"] == "train" and not math.isfinite(row["loss"]) for row in self.rows)


def _columns(rows: list[Row]) -> dict[str, list[Any]]:
    """Rows as a checkpoint keeps them: with the curve in it, no point is lost with another file."""
    return {name: [row[name] for row in rows] for name in CURVES.names}


def _rows(columns: dict[str, list[Any]]) -> list[Row]:
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

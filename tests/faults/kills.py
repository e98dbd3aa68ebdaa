"""Kill a sweep again and again, at chosen operations and random times; check that nothing is lost and nothing is left.

The seed decides each kill: which command runs, and where it dies. Times are CPU seconds, which mean about the same on a busy
machine.
"""

import random
import shutil
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults import whole
from tests.faults.layer import CHANGES, Action, Command, Kind
from tests.faults.warm import Fork, Warm

KINDS = CHANGES & ~Kind.MKDIR  # an additional folder is no state of its own
CADENCES = ("0", "60")
"""Seconds between checkpoints: after every step, or at the end only. With either, what is written does not depend on speed."""


@dataclass
class Sweep:
    """A sweep that is killed until it is finished."""

    folder: Path
    seconds: float = 0.0
    """CPU time spent on it, without starting."""
    done: Counter[str] = field(default_factory=Counter)
    """Operations on each kind of file."""
    kills: list[str] = field(default_factory=list)


class Driver:
    """Run commands, and kill them. A share of them, `real`, have workers; the others are forks of `warm`."""

    def __init__(self, warm: Warm, seed: int, real: float) -> None:
        self.warm, self.layer, self.seed, self.real = warm, warm.layer, seed, real
        self.random = random.Random(seed)
        self.kills = self.finished = self.at_operations = 0
        self.struck: Counter[str] = Counter()
        self.cost: dict[str, float] = {}
        self.operations: dict[str, Counter[str]] = {}
        for cadence in CADENCES:
            self._undisturbed(cadence)
        self.sweep = Sweep(self._folder())

    def _undisturbed(self, cadence: str) -> None:
        """Finish a sweep, to know its results and what it writes on the way."""
        folder = self.layer.root / f"undisturbed-{cadence}"
        whole.sweep_file(folder)
        self._disarm()
        with self.warm.started(folder, *self._words(cadence)) as fork:
            while not fork.over():
                self.cost[cadence] = max(self.cost.get(cadence, 0.0), fork.seconds())
                time.sleep(0.01)
            ended = fork.ended()
        assert ended.code == 0, ended.err
        found = whole.read(folder)
        assert not self.operations or found == self.whole
        self.whole, self.curves = found, whole.curves_of(folder)
        self.operations[cadence] = self._written()

    def _written(self) -> Counter[str]:
        """The operations of the last command, by the kind of their file."""
        kinds = (whole.kind_of(operation.path) for operation in self.layer.operations())
        return Counter(kind for kind in kinds if kind)

    def _folder(self) -> Path:
        folder = self.layer.root / f"killed-{self.finished}"
        whole.sweep_file(folder)
        return folder

    @staticmethod
    def _words(seconds: str) -> tuple[str, ...]:
        return ("sweep", f"{whole.NAME}.yaml", "--checkpoint-seconds", seconds, "--threads", "1")

    def go(self, kills: int) -> None:
        """Kill this many times, then finish the last sweep."""
        while self.kills < kills:
            self._one()
        if self.sweep.kills:
            self._to_the_end()

    def _one(self) -> None:
        """Run one command, and kill it unless it ends first."""
        cadence, real = self.random.choice(CADENCES), self.random.random() < self.real
        # Drawn in any case, so that what follows depends on the seed alone.
        name, share, torn = self.random.random(), self.random.random(), self.random.random() < 0.5
        workers = str(self.random.randint(1, 2))
        at_operation = 2 * self.at_operations <= self.kills
        self._arm(cadence, name, share, torn) if at_operation else self._disarm()
        words = self._words(cadence)
        start = self.layer.started if real else self.warm.started
        further = ("--executor", "local", "--workers", workers) if real else ()
        limit = max(0.2, self.cost[cadence] - self.sweep.seconds) * share + (
            self.warm.start_seconds * share if real else 0.0
        )
        with start(self.sweep.folder, *words, *further) as command:
            spent = self._wait(command, at_operation, limit)
            command.kill()
            ended = command.ended()
        told = f"{'workers' if real else 'fork'}, {self.layer.where() if at_operation else f'{spent:.2f} s'}"
        self.sweep.seconds += max(0.0, spent - (self.warm.start_seconds if real else 0.0))
        self.sweep.done += self._written()
        if ended.code == -signal.SIGKILL:
            self.at_operations += at_operation
            self._killed(told)
        elif ended.code:
            self._lost([f"it ended with {ended.code}: {ended.err}"])
        else:
            self._through()

    def _arm(self, cadence: str, name: float, share: float, torn: bool) -> None:
        """Stop at an operation on one of the least-hit kinds of files that are still to be written."""
        left = self.operations[cadence] - self.sweep.done or self.operations[cadence]
        fewest = min(self.struck[kind] for kind in left)
        kinds = sorted(kind for kind in left if self.struck[kind] == fewest)
        kind = kinds[int(name * len(kinds))]
        at = 1 + int(share * max(1, left[kind]))
        self.layer.arm(Action.TEAR if torn else Action.STOP, at, kinds=KINDS, only=kind)

    def _disarm(self) -> None:
        self.layer.arm(kinds=KINDS)

    def _wait(self, command: Command | Fork, at_operation: bool, limit: float) -> float:
        """Wait until it is to be killed, or has ended; returns its CPU time."""
        spent, end = 0.0, time.monotonic() + 600
        while not command.over():
            spent = max(spent, command.seconds())
            if self.layer.struck or (not at_operation and spent >= limit):
                break
            if time.monotonic() > end:
                self._lost([f"it hangs: {command.said()}"])
            time.sleep(0.01)
        return spent

    def _killed(self, told: str) -> None:
        self.kills += 1
        self.struck[whole.kind_of(told) or "a time"] += 1
        self.sweep.kills.append(told)
        try:
            wrong = list(whole.half_done(self.sweep.folder, self.curves))
        except Exception as error:
            wrong = [f"{type(error).__name__}: {error}"]
        self._lost(wrong)

    def _to_the_end(self) -> None:
        self._disarm()
        ended = self.warm.run(self.sweep.folder, *self._words("60"))
        if ended.code:
            self._lost([f"it ended with {ended.code}: {ended.err}"])
        self._through()

    def _through(self) -> None:
        """Compare a finished sweep with the undisturbed one, and begin the next."""
        found = whole.read(self.sweep.folder)
        self._lost([*whole.differences(found, self.whole), *whole.trained_once(self.sweep.folder)])
        self.finished += 1
        shutil.rmtree(self.sweep.folder)
        self.sweep = Sweep(self._folder())

    def _lost(self, wrong: list[str]) -> None:
        if wrong:
            killed = "\n".join(f"  killed: {told}" for told in self.sweep.kills)
            lines = "\n".join(f"  {line}" for line in wrong)
            raise AssertionError(f"seed {self.seed}, {self.sweep.folder}:\n{killed}\nand now:\n{lines}")

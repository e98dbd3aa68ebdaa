"""Kill a sweep again and again, at chosen operations and random times; check that nothing is lost and nothing is left.

The seed decides each kill: which command runs, and where it dies. Times are CPU seconds, which mean about the same on a busy
machine.
"""

import random
import shutil
import signal
import time
from collections import Counter

from tests.faults import whole
from tests.faults.layer import CHANGES, Action, Command, Kind
from tests.faults.warm import Fork, Warm

KINDS = CHANGES & ~Kind.MKDIR  # an additional folder is no state of its own
CADENCES = ("0", "60")
"""Seconds between checkpoints: after every step, or at the end only. With either, what is written does not depend on speed."""


def words(cadence: str) -> tuple[str, ...]:
    return ("sweep", f"{whole.NAME}.yaml", "--checkpoint-seconds", cadence, "--threads", "1")


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
        self._begin()

    def _undisturbed(self, cadence: str) -> None:
        """Finish a sweep, to know its results and what it writes on the way."""
        folder = self.layer.root / f"undisturbed-{cadence}"
        whole.sweep_file(folder)
        self.layer.arm(kinds=KINDS)
        with self.warm.started(folder, *words(cadence)) as fork:
            while not fork.over():
                self.cost[cadence] = max(self.cost.get(cadence, 0.0), fork.seconds())
                time.sleep(0.01)
            ended = fork.ended()
        assert ended.code == 0, ended.err
        found = whole.read(folder)
        assert not self.operations or found == self.whole
        self.whole, self.curves = found, whole.curves_of(folder)
        self.operations[cadence] = self._written()

    def _begin(self) -> None:
        """A new sweep, to be killed until it is finished."""
        self.folder = self.layer.root / f"killed-{self.finished}"
        self.written: Counter[str] = Counter()
        self.told: list[str] = []
        whole.sweep_file(self.folder)

    def _written(self) -> Counter[str]:
        """The operations of the last command, by the kind of their file."""
        kinds = (whole.kind_of(operation.path) for operation in self.layer.operations())
        return Counter(kind for kind in kinds if kind)

    def go(self, kills: int) -> None:
        """Kill this many times, then finish the last sweep."""
        while self.kills < kills:
            self._one()
        if self.told:
            self.layer.arm(kinds=KINDS)
            ended = self.warm.run(self.folder, *words("60"))
            self._lost([f"it ended with {ended.code}: {ended.err}"] if ended.code else [])
            self._through()

    def _one(self) -> None:
        """Run one command, and kill it unless it ends first."""
        cadence, real = self.random.choice(CADENCES), self.random.random() < self.real
        # Drawn in any case, so that what follows depends on the seed alone.
        name, share, torn = self.random.random(), self.random.random(), self.random.random() < 0.5
        workers = str(self.random.randint(1, 2))
        at_operation = 2 * self.at_operations <= self.kills
        self._arm(cadence, name, share, torn) if at_operation else self.layer.arm(kinds=KINDS)
        start = self.layer.started if real else self.warm.started
        further = ("--executor", "local", "--workers", workers) if real else ()
        limit = share * (self.cost[cadence] + (self.warm.start_seconds if real else 0.0))
        with start(self.folder, *words(cadence), *further) as command:
            spent = self._wait(command, at_operation, limit)
            command.kill()
            ended = command.ended()
        self.written += self._written()
        if ended.code == -signal.SIGKILL:
            self.at_operations += at_operation
            self._killed(f"{'workers' if real else 'fork'}, {self.layer.where() if at_operation else f'{spent:.2f} s'}")
        elif ended.code:
            self._lost([f"it ended with {ended.code}: {ended.err}"])
        else:
            self._through()

    def _arm(self, cadence: str, name: float, share: float, torn: bool) -> None:
        """Stop at an operation on one of the least-hit kinds of files that are still to be written."""
        left = self.operations[cadence] - self.written or self.operations[cadence]
        fewest = min(self.struck[kind] for kind in left)
        kinds = sorted(kind for kind in left if self.struck[kind] == fewest)
        kind = kinds[int(name * len(kinds))]
        at = 1 + int(share * max(1, left[kind]))
        self.layer.arm(Action.TEAR if torn else Action.STOP, at, kinds=KINDS, only=kind)

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
        self.told.append(told)
        try:
            wrong = list(whole.half_done(self.folder, self.curves))
        except Exception as error:
            wrong = [f"{type(error).__name__}: {error}"]
        self._lost(wrong)

    def _through(self) -> None:
        """Compare a finished sweep with the undisturbed one, and begin the next."""
        found = whole.read(self.folder)
        self._lost([*whole.differences(found, self.whole), *whole.trained_once(self.folder)])
        self.finished += 1
        shutil.rmtree(self.folder)
        self._begin()

    def _lost(self, wrong: list[str]) -> None:
        if wrong:
            killed = "\n".join(f"  killed: {told}" for told in self.told)
            lines = "\n".join(f"  {line}" for line in wrong)
            raise AssertionError(f"seed {self.seed}, {self.folder}:\n{killed}\nand now:\n{lines}")

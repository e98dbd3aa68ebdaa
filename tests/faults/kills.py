"""Kill a sweep again and again, at chosen operations and random times; check that nothing is lost and nothing is left.

`python -m tests.faults.kills 200` is the long version of `test_kills.py`. The seed decides each kill: which command runs,
and where it dies. Times are CPU seconds, so that they mean about the same on a busy machine.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults import whole
from tests.faults.layer import CHANGES, Action, Command, Kind, Layer, build
from tests.faults.warm import Fork, Warm

KINDS = CHANGES & ~Kind.MKDIR  # an additional folder is no state of its own
CADENCES = ("0", "60")
"""Seconds between checkpoints: after every step, or at the end only. With either, what is written does not depend on speed."""

FILES = (
    *("checkpoint-", "snapshot-", "curves.parquet", "probes.parquet", "surface.parquet", "surfaces.parquet", "plane"),
    *("points-", "sweep.json", "spec.json", "attempts.jsonl", "collected.json", "runs.parquet", "lease", "heartbeat"),
    *("done.json", "/log", "/figures/"),
)
"""Kinds of files, by a part of their paths."""


@dataclass
class Sweep:
    """A sweep that is killed until it is finished."""

    folder: Path
    seconds: float = 0.0
    """CPU time spent on it, without starting."""
    done: Counter[str] = field(default_factory=Counter)
    """Operations on each kind of file."""
    kills: list[str] = field(default_factory=list)


class LostError(AssertionError):
    """Something was lost, or left behind."""


class Driver:
    """Run commands, and kill them.

    Parameters
    ----------
    real
        The share of commands with workers; the others are forks of a process that has imported everything.
    """

    def __init__(self, warm: Warm, seed: int, real: float, say: Callable[[str], None] = lambda line: None) -> None:
        self.warm, self.layer, self.seed, self.real, self.say = warm, warm.layer, seed, real, say
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
        kinds = (kind_of(operation.path) for operation in self.layer.operations())
        return Counter(kind for kind in kinds if kind)

    def _folder(self) -> Path:
        folder = self.layer.root / f"killed-{self.finished}"
        whole.sweep_file(folder)
        return folder

    @staticmethod
    def _words(seconds: str, *further: str) -> tuple[str, ...]:
        return ("sweep", f"{whole.NAME}.yaml", "--checkpoint-seconds", seconds, "--threads", "1", *further)

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
        aim = self._arm(cadence, name, share, torn) if at_operation else self._disarm()
        words = self._words(cadence)
        start = self.layer.started if real else self.warm.started
        further = ("--executor", "local", "--workers", workers) if real else ()
        limit = max(0.2, self.cost[cadence] - self.sweep.seconds) * share + (
            self.warm.start_seconds * share if real else 0.0
        )
        with start(self.sweep.folder, *words, *further) as command:
            spent = self._wait(command, aim, limit)
            command.kill()
            ended = command.ended()
        told = f"{'workers' if real else 'fork'}, {f'{spent:.2f} s' if aim is None else self.layer.where()}"
        self.sweep.seconds += max(0.0, spent - (self.warm.start_seconds if real else 0.0))
        self.sweep.done += self._written()
        if ended.code == -signal.SIGKILL:
            self.at_operations += aim is not None
            self._killed(told)
        elif ended.code:
            self._lost([f"it ended with {ended.code}: {ended.err}"])
        else:
            self._through(f" ({aim or 'a time'} was aimed at)")

    def _arm(self, cadence: str, name: float, share: float, torn: bool) -> str:
        """Stop at an operation on one of the least-hit kinds of files that are still to be written; returns which."""
        left = self.operations[cadence] - self.sweep.done or self.operations[cadence]
        fewest = min(self.struck[kind] for kind in left)
        kinds = sorted(kind for kind in left if self.struck[kind] == fewest)
        kind = kinds[int(name * len(kinds))]
        at = 1 + int(share * max(1, left[kind]))
        self.layer.arm(Action.TEAR if torn else Action.STOP, at, kinds=KINDS, only=kind)
        return kind

    def _disarm(self) -> None:
        self.layer.arm(kinds=KINDS)

    def _wait(self, command: Command | Fork, aim: str | None, limit: float) -> float:
        """Wait until it is to be killed, or has ended; returns its CPU time."""
        spent, end = 0.0, time.monotonic() + 600
        while not command.over():
            spent = max(spent, command.seconds())
            if self.layer.struck or (aim is None and spent >= limit):
                break
            if time.monotonic() > end:
                self._lost([f"it hangs: {command.said()}"])
            time.sleep(0.01)
        return spent

    def _killed(self, told: str) -> None:
        self.kills += 1
        self.struck[kind_of(told) or "a time"] += 1
        self.sweep.kills.append(told)
        self.say(f"{self.kills:>4}  {told}")
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

    def _through(self, missed: str = "") -> None:
        """Compare a finished sweep with the undisturbed one, and begin the next."""
        found = whole.read(self.sweep.folder)
        self._lost([*whole.differences(found, self.whole), *whole.trained_once(self.sweep.folder)])
        self.finished += 1
        self.say(f"      finished and whole after {len(self.sweep.kills)} kills{missed}")
        shutil.rmtree(self.sweep.folder)
        self.sweep = Sweep(self._folder())

    def _lost(self, wrong: list[str]) -> None:
        if wrong:
            killed = "\n".join(f"  killed: {told}" for told in self.sweep.kills)
            lines = "\n".join(f"  {line}" for line in wrong)
            raise LostError(f"seed {self.seed}, {self.sweep.folder}:\n{killed}\nand now:\n{lines}")


def kind_of(path: str) -> str:
    """The kind of a file; empty for a folder."""
    return next((name for name in FILES if name in path), "")


def main() -> None:
    """Entry of `python -m tests.faults.kills`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kills", type=int, nargs="?", default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--real", type=float, default=0.6, help="share of commands with worker processes [%(default)s]")
    parser.add_argument("--folder", type=Path, help="where the sweeps lie [default: a temporary folder]")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="kills-"))
    library = build(folder)
    if library is None:
        sys.exit("no C compiler here, or no Linux: nothing can be preloaded")
    warm = Warm(Layer(library, folder / "watched"))
    try:
        driver = Driver(warm, options.seed, options.real, lambda line: print(line, flush=True))
        driver.go(options.kills)
    except LostError as error:
        sys.exit(str(error))
    finally:
        warm.close()
    print(", ".join(f"{name.strip('/')} {count}" for name, count in driver.struck.most_common()))
    print(f"seed {options.seed}: {driver.kills} kills, {driver.finished} sweeps finished and whole")
    if options.folder is None:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()

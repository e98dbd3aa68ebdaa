"""Commands as forks of a process that has imported everything, so that imports are paid for once.

Each runs in one process, with the debug executor. `python -m tests.faults.warm` reads a JSON object per line (`folder`,
`words`, `out`, `err`), and answers with `pid` and, when that process has ended, with `code`.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import pkgutil
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.faults.layer import PACKAGE, Layer, Printing
from tests.launch.command import Done, descendants


class Warm:
    """That process, under a layer."""

    def __init__(self, layer: Layer) -> None:
        self.layer, self._left = layer, ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.warm"],
            cwd=PACKAGE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**layer.environment(), "STUDY_EXECUTOR": "debug"},
            start_new_session=True,
        )

    def close(self) -> None:
        """End it."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    @contextmanager
    def started(self, folder: Path, *words: str) -> Iterator[Fork]:
        """`study WORDS` in a folder, by the debug executor; as `Layer.started`."""
        assert self.process.stdin
        folder.mkdir(parents=True, exist_ok=True)
        fork = Fork(self)
        order = {"folder": str(folder), "words": words, "out": str(fork.out), "err": str(fork.err)}
        self.process.stdin.write((json.dumps(order) + "\n").encode())
        self.process.stdin.flush()
        fork.pid = int(self.answer(120)["pid"])
        try:
            yield fork
        finally:
            fork.kill()

    def run(self, folder: Path, *words: str) -> Done:
        """`study WORDS` in a folder, to its end."""
        with self.started(folder, *words) as fork:
            return fork.ended()

    @property
    def start_seconds(self) -> float:
        """CPU time of its imports: about what a real command spends before it begins."""
        return _seconds(self.process.pid)

    def answer(self, seconds: float) -> dict[str, Any]:
        """Its next message."""
        assert self.process.stdout
        end = time.monotonic() + seconds
        while "\n" not in self._left:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, end - time.monotonic()))
            assert ready, "it never ended"
            got = os.read(self.process.stdout.fileno(), 65536).decode()
            assert got, "the process that commands are forked from died"
            self._left += got
        line, _, self._left = self._left.partition("\n")
        message: dict[str, Any] = json.loads(line)
        return message


class Fork(Printing):
    """A command, as `tests.faults.layer.Command`."""

    def __init__(self, warm: Warm) -> None:
        super().__init__(warm.layer)
        self.warm, self.pid = warm, 0
        self._code: int | None = None

    def over(self) -> bool:
        """Whether it has ended."""
        if self._code is None:
            stdout = self.warm.process.stdout
            if self.warm._left or select.select([stdout], [], [], 0)[0]:
                self._code = int(self.warm.answer(10)["code"])
        return self._code is not None

    def ended(self, seconds: float = 300) -> Done:
        """Wait for its end."""
        if self._code is None:
            self._code = int(self.warm.answer(seconds)["code"])
        return Done(self._code, *self.said())

    def kill(self) -> None:
        """SIGKILL for it and for what it started."""
        if self.over():
            return
        for pid in [self.pid, *descendants(self.pid)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.ended(30)

    def seconds(self) -> float:
        """CPU time so far."""
        try:
            return _seconds(self.pid)
        except OSError:  # it has ended
            return 0.0


def _seconds(pid: int) -> float:
    """A process's own CPU time."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


# -- the process itself -------------------------------------------------------------------------------------------------


def _import_all() -> None:
    """Import everything that a sweep needs, without starting threads, which a fork would lose."""
    import study

    for module in pkgutil.walk_packages(study.__path__, "study."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in ("pandas", "seaborn", "rich.live", "sklearn.datasets", "scipy.stats", "torchvision"):
        importlib.import_module(name)
    for backend in ("agg", "pdf", "svg"):
        importlib.import_module(f"matplotlib.backends.backend_{backend}")


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG


def _child(order: dict[str, Any]) -> None:
    _die_with_parent()
    os.setsid()
    os.chdir(order["folder"])
    for number, target, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, order["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        (2, order["err"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ):
        os.dup2(os.open(target, flags, 0o644), number)
    sys.argv = ["study", *order["words"]]
    code = 1
    try:
        from study.cli.app import main

        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(bool(end.code))
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _answer(**message: int) -> None:
    os.write(1, (json.dumps(message) + "\n").encode())


def main() -> None:
    """Entry of `python -m tests.faults.warm`."""
    _die_with_parent()
    _import_all()
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _child(order)
        _answer(pid=pid)
        _, status = os.waitpid(pid, 0)
        _answer(code=os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()

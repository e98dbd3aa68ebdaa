"""Run `study` on a disk that fails, or kill it at a chosen operation: the driver of `faulty.c`."""

from __future__ import annotations

import ctypes
import enum
import errno
import mmap
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.launch.command import Done, descendants, marked

SOURCE = Path(__file__).with_name("faulty.c")
PACKAGE = Path(__file__).parent.parent.parent
OTHER_PIDS = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
OTHER_HOST = (*OTHER_PIDS, "--uts", "sh", "-c", 'hostname elsewhere && exec "$0" "$@"')
"""Prefixes of a command that take it into a container of the same name, or to another host."""


class Kind(enum.IntFlag):
    """What an operation does; `OPEN` means opening for writing."""

    OPEN, WRITE, SYNC, RENAME, LINK, UNLINK, MKDIR, READ = (1 << bit for bit in range(8))


CHANGES = Kind.OPEN | Kind.WRITE | Kind.SYNC | Kind.RENAME | Kind.LINK | Kind.UNLINK | Kind.MKDIR
NEEDS_ROOM = Kind.OPEN | Kind.WRITE | Kind.SYNC | Kind.RENAME | Kind.LINK | Kind.MKDIR
"""What fails on a full disk; files can still be removed."""


class Action(enum.IntEnum):
    """What to do at an operation; see `faulty.c`."""

    NOTHING, STOP, TEAR, FAIL, BREAK, SHORT, FILL = range(7)


class _State(ctypes.Structure):
    """`struct state` of `faulty.c`."""

    _fields_ = (
        ("count", ctypes.c_uint64),
        ("at", ctypes.c_uint64),
        ("action", ctypes.c_uint32),
        ("error", ctypes.c_uint32),
        ("kinds", ctypes.c_uint32),
        ("struck", ctypes.c_uint32),
        ("process", ctypes.c_int32),
        ("reserved", ctypes.c_uint32),
        ("clock", ctypes.c_double),
        ("only", ctypes.c_char * 256),
    )


class Operation(NamedTuple):
    """A line of the trace."""

    number: int
    process: int
    kind: str
    path: str
    """Below the root."""
    fate: str
    """Empty, or `stopped`, `failed` or `half`."""


def build(folder: Path) -> Path | None:
    """Compile the library into a folder; None without a compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or not sys.platform.startswith("linux"):
        return None
    library = folder / "faulty.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True)
    return library


class Layer:
    """Commands whose operations on files below `root` are counted, and fail or stop as `arm` says; `library` is `build`'s."""

    def __init__(self, library: Path, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.library, self.root = library, root.resolve()
        self.file = self.root.with_name(f"{self.root.name}.state")
        self.trace = self.root.with_name(f"{self.root.name}.trace")
        self.file.write_bytes(bytes(ctypes.sizeof(_State)))
        with self.file.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), ctypes.sizeof(_State))
        self.state = _State.from_buffer(self._map)

    def environment(self, *, clock: float = 0.0) -> dict[str, str]:
        """What a process needs to run under the layer; `clock` is how many seconds its clock is ahead."""
        mine = {
            "LD_PRELOAD": str(self.library),
            "FAULTY_STATE": str(self.file),
            "FAULTY_ROOT": str(self.root),
            "FAULTY_CLOCK": str(clock),
            "FAULTY_TRACE": str(self.trace),
            "PYTHONPATH": str(PACKAGE),
            "STUDY_EXECUTOR": "local",
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "160",
        }
        return {**os.environ, **mine}

    # -- what is to happen ----------------------------------------------------------------------------------------------

    def arm(
        self,
        action: Action = Action.NOTHING,
        at: int = 0,
        error: int = errno.EIO,
        kinds: Kind = CHANGES,
        only: str = "",
    ) -> None:
        """Count from 0 the operations of these kinds, on paths that contain `only`; act at the `at`-th."""
        self.trace.unlink(missing_ok=True)
        state = self.state
        state.at = state.count = state.struck = state.process = 0
        state.only = only.encode()
        state.action, state.error, state.kinds = action, error, kinds
        state.at = at

    def mend(self) -> None:
        """From now on nothing fails."""
        self.state.at = 0

    @property
    def struck(self) -> int:
        """How many operations were stopped, cut short, or failed."""
        return int(self.state.struck)

    def operations(self) -> list[Operation]:
        """What was done since `arm`."""
        text = self.trace.read_text() if self.trace.exists() else ""
        found = []
        for line in text.splitlines():
            number, process, kind, rest = line.split(" ", 3)
            path, _, fate = rest.rpartition(" ")
            whole = fate not in ("stopped", "failed", "half")
            found.append(Operation(int(number), int(process), kind, rest if whole else path, "" if whole else fate))
        return found

    def where(self) -> str:
        """The operation that was acted on, in words."""
        return next((f"{o.kind} {o.path} ({o.fate})" for o in self.operations() if o.fate), "nowhere")

    # -- commands -------------------------------------------------------------------------------------------------------

    @contextmanager
    def started(self, folder: Path, *words: str, prefix: Sequence[str] = (), clock: float = 0.0) -> Iterator[Command]:
        """`study WORDS` in a folder, started by a `prefix` such as `unshare`; at the end killed with all that it started."""
        folder.mkdir(parents=True, exist_ok=True)
        command = Command(self, folder, [*prefix, sys.executable, "-m", "study", *words], self.environment(clock=clock))
        try:
            yield command
        finally:
            command.kill()

    def run(self, folder: Path, *words: str, clock: float = 0.0) -> Done:
        """`study WORDS` in a folder, to its end."""
        with self.started(folder, *words, clock=clock) as command:
            return command.ended()


class Printing:
    """What a process prints, beside the root of a layer."""

    def __init__(self, layer: Layer) -> None:
        number = time.monotonic_ns()
        self.out, self.err = (layer.root.with_name(f"{layer.root.name}.{number}.{name}") for name in ("out", "err"))
        self.out.touch(), self.err.touch()  # in case it is killed at once

    def said(self) -> tuple[str, str]:
        """Standard output and standard error so far."""
        return self.out.read_text(errors="replace"), self.err.read_text(errors="replace")


class Command(Printing):
    """A command that runs under a layer, with all processes that it starts, in whatever session."""

    def __init__(self, layer: Layer, folder: Path, words: Sequence[str], environment: dict[str, str]) -> None:
        super().__init__(layer)
        self.token = f"FAULTY_COMMAND={os.getpid()}.{time.monotonic_ns()}"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            name, _, value = self.token.partition("=")
            self.process = subprocess.Popen(
                words,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**environment, name: value},
                start_new_session=True,
            )

    def ended(self) -> Done:
        """Wait for its end."""
        return Done(self.process.wait(300), *self.said())

    def tree(self) -> list[int]:
        """All its processes, whatever their parent or session."""
        return marked(self.token)

    def kill(self) -> None:
        """SIGKILL all its processes; they are stopped first, so that none sees another die."""
        while left := self.tree():
            for number in (signal.SIGSTOP, signal.SIGKILL):
                for pid in left:
                    try:
                        os.kill(pid, number)
                    except ProcessLookupError:
                        continue
            if self.process.pid in left:
                self.process.wait()
            time.sleep(0.002)
        self.process.wait()

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Stop all its processes for the duration of the context."""
        stopped = self.tree()
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        yield
        for pid in set(stopped) & set(self.tree()):
            os.kill(pid, signal.SIGCONT)

    def seconds(self) -> float:
        """CPU time of its processes so far, those that ended included: its progress on however busy a machine."""
        ticks = 0
        for pid in [self.process.pid, *descendants(self.process.pid)]:
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            ticks += sum(map(int, fields[11:15]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def over(self) -> bool:
        """Whether it has ended."""
        return self.process.poll() is not None

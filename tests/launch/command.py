"""The command line, in a process of its own or inside the tests' process."""

import io
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from study.cli.app import main
from study.config.use import forget
from study.store.layout import RunFiles
from tests.helpers import PATIENCE, points

TINY = """
fixed: {data: digits, train_subset: 400, recipe: quick, depth: 8,
  recipe.iterations: 60, recipe.evaluate_every: 20, recipe.log_every: 7}
grid: {network: [plain, residual], seed: [0]}
"""


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    """Start `study WORDS` in `folder`."""
    return subprocess.Popen(
        [sys.executable, "-m", "study", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "160", "STUDY_EXECUTOR": "local"},
    )


class Done(NamedTuple):
    """The exit code of a command, its standard output and standard error."""

    code: int
    out: str
    err: str


def study(folder: Path, *words: str) -> Done:
    """Run `study WORDS` to its end."""
    process = start(folder, *words)
    out, err = process.communicate(timeout=PATIENCE)
    return Done(process.returncode, out, err)


def inside(folder: Path, *words: object) -> Done:
    """The same in this process, with the debug executor, for tests that are not about processes.

    What was imported for it is forgotten afterwards.
    """
    threads, logger = torch.get_num_threads(), logging.getLogger("study")
    handlers, out, err = logger.handlers, io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(folder)
        patch.setenv("COLUMNS", "160")
        patch.setenv("STUDY_EXECUTOR", "debug")
        patch.setattr(sys, "argv", ["study", *map(str, words)])
        try:
            with pytest.raises(SystemExit) as end:
                main()
        finally:
            torch.set_num_threads(threads)
            logger.handlers = handlers
            forget()
    assert isinstance(end.value.code, int)
    return Done(end.value.code, out.getvalue(), err.getvalue())


def output(folder: Path, *words: object, code: int = 0) -> str:
    """What a command printed that ended with this code, in this process: where it is refused, one line."""
    done = inside(folder, *words)
    assert done.code == code and "Traceback" not in done.out + done.err, done
    assert code != 2 or len(done.err.splitlines()) == 1, done.err
    return done.out + done.err


def sweep_file(folder: Path, text: str = TINY, name: str = "tiny") -> str:
    """Write a sweep file; returns its name."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.yaml").write_text(text)
    return f"{name}.yaml"


def runs(folder: Path, sweep: str = "tiny") -> list[RunFiles]:
    """The runs of a sweep, by id."""
    return [RunFiles(path) for path in sorted((folder / "results" / sweep / "runs").iterdir())]


def curves(folder: Path, sweep: str = "tiny") -> dict[str, list[tuple[object, ...]]]:
    """The curve of every run, without seconds."""
    return {files.run_id: points(files) for files in runs(folder, sweep)}


def wait_for(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until a condition holds; fail if it never does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


def descendants(pid: int) -> list[int]:
    """All processes below one, none of which dies meanwhile."""
    found = [pid]
    for one in found:
        for path in Path(f"/proc/{one}/task").glob("*/children"):
            with suppress(OSError):
                found += map(int, path.read_text().split())
    return found[1:]


def marked(mark: str) -> list[int]:
    """All processes that have this NAME=value in their environment, whatever their parent or session."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # it ended, or is somebody else's
            if mark.encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


def kill_tree(process: subprocess.Popen[str]) -> None:
    """SIGKILL a process and all its descendants; returns when they are dead."""
    killed = [process.pid, *descendants(process.pid)]
    for pid in killed:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    wait_for(lambda: not any(_lives(pid) for pid in killed))


def _lives(pid: int) -> bool:
    """Whether this process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False

"""One call of the command, in this process and in an empty folder, and what every call must hold to, whatever it is given."""

import functools
import io
import logging
import os
import resource
import signal
import sys
import tempfile
import unicodedata
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from types import FrameType
from typing import NamedTuple
from unittest.mock import patch

import typer

from study.cli import app as cli

CPU_SECONDS = 60.0
"""Of one call; one that takes more hangs, or unfolds what it should have refused."""
MEMORY = 600 * 2**20
"""Bytes that one call may add to the largest memory of this process."""


_command = functools.cache(typer.main.get_command)
"""The verbs and their options, which Typer puts together at each call: that takes longer than most answers do."""


class Hangs(BaseException):
    """A call used more processor time than any answer to a mistake may take; no handler of errors catches it."""


class Call(NamedTuple):
    """What a call came to."""

    code: int
    out: str
    err: str
    left: list[str]
    """Files and folders that it left behind."""


def study(words: Sequence[str], files: Mapping[str, bytes] | None = None) -> Call:
    """`study WORDS` through its entry point, in a temporary folder that holds these files alone.

    Any exception but that of `sys.exit` goes through: it would have been a traceback.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path, content in (files or {}).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        before = _tree(folder)
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", errors) for errors in ("strict", "backslashreplace"))
        with _inside(folder), redirect_stdout(out), redirect_stderr(err), _bounded(), _heard(err), _built():
            sys.argv = ["study", *words]
            try:
                cli.main()
            except SystemExit as end:
                code = end.code
        assert type(code) is int, "the entry point always exits with a number"
        return Call(code, _text(out), _text(err), sorted(_tree(folder) ^ before))


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode("utf-8")


def _tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    here, argv = Path.cwd(), sys.argv
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(here)
        sys.argv = argv


@contextmanager
def _bounded() -> Iterator[None]:
    """Processor time and memory of one call."""

    def hangs(number: int, frame: FrameType | None) -> None:
        raise Hangs(f"it used {CPU_SECONDS:.0f} s of processor time")

    before, handler = _largest_memory(), signal.signal(signal.SIGPROF, hangs)
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, handler)
    assert _largest_memory() - before < MEMORY, "it took too much memory"


def _largest_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@contextmanager
def _heard(err: io.TextIOWrapper) -> Iterator[None]:
    """Warnings and log lines of libraries as a user's terminal has them: pytest would keep them to itself."""
    root, ours = logging.getLogger(), logging.getLogger("study")
    handler, before = logging.StreamHandler(err), ours.handlers
    handler.setLevel(logging.WARNING)
    handler.addFilter(lambda record: record.name.partition(".")[0] != "study")  # these the command tells itself
    root.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.resetwarnings()
            for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
                warnings.simplefilter("ignore", category)  # as Python itself does
            warnings.showwarning = lambda *told, **_: print(warnings.formatwarning(*told[:4]), file=err)
            yield
    finally:
        root.removeHandler(handler)
        ours.handlers = before


@contextmanager
def _built() -> Iterator[None]:
    """The command put together once; and one that would start itself anew as a worker fails instead."""
    started = AssertionError("it would have started to train or to measure")
    with patch.object(typer.main, "get_command", _command), patch.object(os, "execve", side_effect=started):
        yield


TURNING = "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Marks that turn the direction of writing."""


def steers(text: str) -> list[str]:
    """The characters of a line that a terminal does not show but obeys."""
    return [c for c in text if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or c in TURNING]


def complaints(call: Call) -> list[str]:
    """The lines of a call that was refused, having held it to what holds of all: exit 2, plain lines, nothing on disk."""
    assert call.code == 2, (call.code, call.out[-500:], call.err[-500:])
    lines = call.err.split("\n")
    assert lines.pop() == "" and lines, "at least one line, and each has its end"
    for line in lines:
        assert line.startswith("study: ") and line.strip() != "study:", line
        assert not steers(line), line
        assert len(line) < 5000, f"{len(line)} characters: {line[:500]}"
    assert len(lines) <= 101, f"{len(lines)} lines"
    assert call.left == []
    return [line.removeprefix("study: ") for line in lines]


def sound(call: Call, *others: int) -> Call:
    """Hold a call to what holds of all: it is either right, exits with 0 and says nothing on stderr, or is refused."""
    if call.code != 2:
        assert call.code in (0, *others), (call.code, call.out[-500:], call.err[-500:])
        assert call.err == ""
        assert not any(steers(line) for line in call.out.split("\n"))
        assert call.left == []
    else:
        complaints(call)
    return call

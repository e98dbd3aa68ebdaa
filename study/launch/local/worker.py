"""A local worker: a process that trains the packs its parent sends, one after another.

It reads one JSON message a line on standard input (`{"folders": [...]}`, `{"stop": "why"}`) and answers on standard output with
`progress`, `note` and `end` events, or says what could not be written. SIGTERM, or the end of its input (the parent died),
checkpoints and ends it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import math
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from study.errors import StudyError
from study.launch.attempt.provenance import require
from study.store.files import WriteError

if TYPE_CHECKING:
    from study.training.session import Progress

REPORT_SECONDS = 0.25


class _Orders:
    """The parent's messages, read by a thread so that its death is noticed in mid-training."""

    def __init__(self, source: TextIO) -> None:
        self.source = source
        self.stop = threading.Event()
        self.why = ""
        """What it was asked to end for."""
        # SimpleQueue: `end` is called from a signal handler, perhaps in the midst of a `get`.
        self.queue: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, name="orders", daemon=True).start()

    def _read(self) -> None:
        for line in self.source:
            with contextlib.suppress(json.JSONDecodeError):  # cut short by the parent's death
                message = json.loads(line)
                if "stop" in message:  # a signal follows, or was quicker
                    self.why = message["stop"]
                else:
                    self.queue.put(message)
        self.why = self.why or "the process that started it died"
        self.end()

    def end(self, *signal_arguments: object) -> None:
        """Ask for a checkpoint and the end."""
        self.why = self.why or "SIGTERM"
        self.stop.set()
        self.queue.put(None)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while (message := self.queue.get()) is not None and not self.stop.is_set():
            yield message


class _Reporter:
    """Sends the progress of each run to the parent, a few times a second."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self._next: dict[str, float] = {}

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        last = progress.iteration == progress.iterations
        if last or now >= self._next.get(progress.run_id, 0.0):
            self._next[progress.run_id] = now + REPORT_SECONDS
            self.send("progress", **progress._asdict())

    def send(self, event: str, **facts: Any) -> None:
        with contextlib.suppress(BrokenPipeError):  # the parent died; the end of our input says so too
            print(json.dumps({"event": event, **facts}), file=self.out, flush=True)


class Warnings(logging.Handler):
    """Passes on this package's warnings to those who watch; errors reach them as the outcome of a run."""

    def __init__(self, note: Callable[[str], None]) -> None:
        super().__init__()
        self.note = note

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno == logging.WARNING:
            self.note(record.getMessage())


def _own_stdin() -> TextIO:
    """Keep standard input for orders. Processes that are forked close theirs, and would wait for ever for its lock, which
    the thread that reads orders holds."""
    source = os.fdopen(os.dup(0), encoding="utf-8")
    with Path(os.devnull).open() as nothing:
        os.dup2(nothing.fileno(), 0)
    return source


def _own_stdout() -> TextIO:
    """Keep standard output for events: whatever a library prints goes to standard error."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return out


def main() -> None:
    """Entry of a worker's process (`study.boot`)."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--code", required=True)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--checkpoint-seconds", type=float, required=True)
    parser.add_argument("--watchdog", type=float, default=math.inf)
    options = parser.parse_args()
    orders = _Orders(_own_stdin())
    signal.signal(signal.SIGTERM, orders.end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    reporter = _Reporter(_own_stdout())
    logging.getLogger("study").addHandler(Warnings(lambda message: reporter.send("note", message=message)))

    import torch  # late: the handlers above are in place while this takes its seconds

    from study.launch.attempt.work import work
    from study.training.session import Session

    try:
        require(options.code)
    except StudyError as error:
        reporter.send("refused", text=str(error))
        return
    session = Session(
        options.data_root,
        torch.device(options.device),
        "local",
        checkpoint_seconds=options.checkpoint_seconds,
        watchdog=options.watchdog,
        stopped=orders.stop.is_set,
        why=lambda: orders.why,
        report=reporter,
    )
    for order in orders:
        # Set for each pack: a resumed run sets the number of threads that it began with.
        torch.set_num_threads(options.threads)
        folders = [Path(folder) for folder in order["folders"]]
        try:
            outcomes = work(folders, session)
        except WriteError as error:
            reporter.send("unwritable", number=error.errno, text=error.strerror, file=error.filename)
            return
        reporter.send("end", outcomes=outcomes)

"""A task's log, the warnings of this package for the user, and a failure in one line."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper

from study.errors import StudyError
from study.store.files import writing
from study.store.layout import TaskFiles

_LOGGER = logging.getLogger("study")


class _Log(logging.FileHandler):
    """A log that a full disk may cut short: that is no reason to stop the work."""

    def _open(self) -> TextIOWrapper:
        # Not through a link: the log belongs in the task's folder.
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        return os.fdopen(descriptor, "a", encoding="utf-8")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 -- logging's name
        pass


@contextmanager
def log_into(files: TaskFiles) -> Iterator[None]:
    """Send this package's log messages to the task's log."""
    with writing(files.log):
        handler = _Log(files.log)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    _LOGGER.addHandler(handler)
    _LOGGER.setLevel(logging.INFO)
    try:
        yield
    finally:
        _LOGGER.removeHandler(handler)
        with contextlib.suppress(OSError):  # lines that a full disk did not take
            handler.close()


class _Warnings(logging.Handler):
    """Passes on warnings alone; errors are shown as the outcome of their run."""

    def __init__(self, note: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self.note = note

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno == logging.WARNING:
            self.note(record.getMessage())


@contextmanager
def warnings_to(note: Callable[[str], None], alone: bool = False) -> Iterator[None]:
    """Pass this package's warnings to `note`; `alone` silences the other handlers meanwhile."""
    before = _LOGGER.handlers
    _LOGGER.handlers = [*([] if alone else before), _Warnings(note)]
    try:
        yield
    finally:
        _LOGGER.handlers = before


def one_line(error: Exception) -> str:
    """A failure in one line."""
    text = " ".join(str(error).split())
    return text if isinstance(error, StudyError) else f"{type(error).__name__}: {text}"

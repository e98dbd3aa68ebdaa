"""A progress bar on stderr that stays away from work that is soon done."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress


class SlowProgress:
    """Counts steps; shows a bar once the work has taken longer than `patience` seconds."""

    def __init__(self, title: str, total: int, patience: float = 2.0) -> None:
        self._title, self._total, self._patience = title, total, patience
        self._done = 0
        self._started = time.monotonic()
        self._bar: Progress | None = None

    def __enter__(self) -> SlowProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, steps: int) -> None:
        self._done += steps
        if self._bar is None and time.monotonic() - self._started > self._patience:
            self._show()
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self._done)

    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import Progress

        self._bar = Progress(console=Console(stderr=True))
        self._bar.add_task(self._title, total=self._total)
        self._bar.start()

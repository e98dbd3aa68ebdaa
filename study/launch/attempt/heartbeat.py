"""The heartbeat of a process that holds leases, and the watchdog that kills it if it hangs."""

from __future__ import annotations

import logging
import math
import os
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from study.store.lease import BEAT, Lease
from study.training.session import Progress, Session

HUNG_EXIT = 75
"""Exit status of a process killed by its watchdog."""

log = logging.getLogger(__name__)


class Heartbeat:
    """A thread that keeps leases alive and publishes the progress of their tasks.

    After `watchdog` seconds without a call of `stopped` of the session that `watched` returns, it kills the process.
    """

    def __init__(self, leases: Mapping[str, Lease], watchdog: float = math.inf) -> None:
        self.leases, self.watchdog = leases, watchdog
        self.latest: dict[str, Progress] = {}
        self._moved = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        self._thread.join()

    def watched(self, session: Session) -> Session:
        """The session with this heartbeat listening: to its reports, to each call of `stopped`, and before each write."""

        def stopped() -> bool:
            self._moved = time.monotonic()
            return session.stopped()

        def report(progress: Progress) -> None:
            self.latest[progress.run_id] = progress
            session.report(progress)

        return replace(
            session, stopped=stopped, report=report, before_write=lambda files: self.leases[files.run_id].check()
        )

    def _beat(self) -> None:
        before: dict[str, Progress] = {}
        while True:
            still = time.monotonic() - self._moved
            for name, lease in self.leases.items():
                now = self.latest.get(name)
                try:
                    if lease.mine():  # else the next write of the pack ends it
                        lease.beat(still=still, **(self._facts(now, before.get(name)) if now else {}))
                except OSError as error:  # a full disk must not end the training by way of its heartbeat
                    log.warning("no heartbeat: %s", error)
            if still > self.watchdog:
                self._end(still)
            before = dict(self.latest)
            if self._ended.wait(min(BEAT, self.watchdog)):
                return

    def _end(self, still: float) -> None:
        """End this process as a kill would: a hung one would not react. Its tasks resume from their checkpoints."""
        message = f"no step for {still:.0f} s: killed by its watchdog"
        log.error("%s", message)
        print(message, file=sys.stderr, flush=True)
        os._exit(HUNG_EXIT)

    def _facts(self, now: Progress, before: Progress | None) -> dict[str, Any]:
        steps = now.iteration - (before.iteration if before else now.iteration)
        seconds = now.seconds - (before.seconds if before else now.seconds)
        speed = steps / seconds if steps and seconds else None
        return {
            "iteration": now.iteration,
            "iterations": now.iterations,
            "error": now.error,
            "images_per_second": speed * now.images if speed and now.images else None,
            "seconds_left": speed and (now.iterations - now.iteration) / speed,
        }

"""The sign of life of a process that holds leases."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any

from study.errors import StudyError
from study.store.lease import Lease
from study.training.pack import Progress

HEARTBEAT_SECONDS = 5.0

log = logging.getLogger(__name__)


class Heartbeat:
    """A thread that keeps leases alive and publishes how far their holder is.

    Parameters
    ----------
    images
        Images in a step of each, where its speed is to be told.
    """

    def __init__(self, leases: Mapping[str, Lease], images: Mapping[str, int] | None = None) -> None:
        self.leases, self.images = leases, images or {}
        self.latest: dict[str, Progress] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        before: dict[str, Progress] = {}
        while True:
            for name, lease in self.leases.items():
                now = self.latest.get(name)
                try:
                    if lease.mine():  # else the next write of the pack ends it
                        lease.beat(**(self._facts(now, before.get(name)) if now else {}))
                except (OSError, StudyError) as error:  # a full disk must not end the training by way of its heartbeat
                    log.warning("no heartbeat: %s", error)
            before = dict(self.latest)
            if self._ended.wait(HEARTBEAT_SECONDS):
                return

    def _facts(self, now: Progress, before: Progress | None) -> dict[str, Any]:
        steps = now.iteration - (before.iteration if before else now.iteration)
        seconds = now.seconds - (before.seconds if before else now.seconds)
        speed = steps / seconds if steps and seconds else None
        images = self.images.get(now.run_id)
        return {
            "iteration": now.iteration,
            "iterations": now.iterations,
            "error": now.error,
            "images_per_second": speed * images if speed and images else None,
            "seconds_left": speed and (now.iterations - now.iteration) / speed,
        }

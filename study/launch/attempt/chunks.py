"""Chunks of surfaces as tasks: the plane that all chunks of a surface share, and the surface's seal."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import torch

from study.config.run import RunSpec
from study.config.surface import Surface
from study.errors import StudyError
from study.launch.attempt.heartbeat import Heartbeat
from study.launch.attempt.runs import feed_of
from study.measure.probes.subject import Stopped
from study.measure.surface import plane as planes
from study.measure.surface.chunk import Chunk
from study.measure.surface.evaluate import Evaluator
from study.measure.surface.lattice import chunks
from study.measure.surface.plane import Plane
from study.store import runs as store
from study.store.files import sweep_away_temporaries
from study.store.find import run_folder
from study.store.layout import ChunkFiles, RunFiles, SurfaceFiles
from study.store.lease import claim
from study.store.surfaces import finish, read_spec
from study.training.feeds.feed import Feed
from study.training.precision import backends, slow_bf16
from study.training.session import Session

WAIT = 0.5
"""Seconds between two looks for the plane that another process computes."""

log = logging.getLogger(__name__)


def measure(files: ChunkFiles, session: Session) -> None:
    """Measure a chunk, and seal its surface if this was the last one."""
    surface = read_spec(files.surface)
    run = run_folder(files.surface, surface.run)
    spec = store.read_spec(run)
    points = chunks(surface)
    with backends({surface.precision}, session.device, deterministic=True):
        feed = feed_of(spec, session)
        try:
            plane = _plane(files.surface, surface, run, feed, session)
        except Stopped:
            log.info("stopped before its plane was computed")
            return
        if session.device.type == "cpu":
            torch.set_num_threads(plane.threads)
            if surface.precision == "bf16" and (warning := slow_bf16()):
                log.warning("%s", warning)
        evaluator = _evaluator(files.surface, surface, spec, plane, feed)
        if Chunk(files, surface, points[files.key], plane, run).measure(evaluator, session):
            finish(files.surface, points)


_kept: tuple[list[Path], Feed, Evaluator] | None = None


def _evaluator(files: SurfaceFiles, surface: Surface, spec: RunSpec, plane: Plane, feed: Feed) -> Evaluator:
    """A surface's evaluator, with its network on the device; the one made last is kept for the next chunk."""
    global _kept
    paths = files.planes()  # they name the surface, and the plane's digest
    if _kept is None or _kept[0] != paths or _kept[1] is not feed:
        _kept = None  # free its memory first
        _kept = paths, feed, Evaluator(surface, spec, plane, feed)
    return _kept[2]


def _plane(files: SurfaceFiles, surface: Surface, run: RunFiles, feed: Feed, session: Session) -> Plane:
    """The plane that all chunks of a surface share: computed by the first process, awaited by the others."""
    while (plane := planes.load(files)) is None:
        if session.stopped():
            raise Stopped
        lease = claim(files)
        if lease is None:
            time.sleep(WAIT)
            continue
        try:
            sweep_away_temporaries(files.folder, held=True)  # of a process killed while it wrote the plane
            with Heartbeat({files.run_id: lease}):
                if planes.load(files) is None:
                    _refuse_another(files, surface)
                    others = [run_folder(files, name) for name in surface.to]
                    made = planes.make(surface, run, others, feed, session.stopped)
                    lease.check()
                    made.save(files)
        finally:
            lease.release()
    if plane.fingerprint != feed.fingerprint:
        raise StudyError("the images have changed since this surface was begun; put the old ones back")
    return plane


def _refuse_another(files: SurfaceFiles, surface: Surface) -> None:
    """Refuse to compute a lost plane again if another one could result: sums of a Hessian or a trajectory may differ in
    their last digits on another machine, and points of two planes must not mix."""
    if surface.plane in ("hessian", "pca") and any(chunk.checkpoints() for chunk in files.chunks()):
        raise StudyError(
            "its plane is damaged or gone, but has measured points; repeat `study surface` with --mode force"
        )

"""One process at chunks of surfaces: leases, heartbeat, log, the plane that all chunks of a surface share, and its seal."""

from __future__ import annotations

import logging
import math
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from study.config.run import RunSpec
from study.config.surface import Surface
from study.errors import StudyError
from study.launch.attempt import provenance
from study.launch.attempt.heartbeat import Heartbeat
from study.launch.attempt.runs import MAX_FRUITLESS, end_unwritable, load_data, log_into, one_line
from study.launch.rounds import finish, known
from study.measure.probes.subject import Stopped
from study.measure.surface import plane as planes
from study.measure.surface.chunk import Chunk
from study.measure.surface.evaluate import Evaluator
from study.measure.surface.plane import Plane
from study.store import runs as store
from study.store.files import WriteError, sweep_away_temporaries
from study.store.layout import ChunkFiles, RunFiles, SurfaceFiles
from study.store.lease import LeaseLost, claim
from study.store.surfaces import read_spec, run_folder
from study.training.feeds import decoding
from study.training.feeds.feed import Feed
from study.training.feeds.open import open_feed
from study.training.pack import Progress
from study.training.precision import backends, slow_bf16

WAIT = 0.5
"""Seconds between two looks for the plane that another process makes."""

log = logging.getLogger(__name__)


def measure(
    folders: Sequence[Path],
    data_root: Path,
    device: str,
    executor: str,
    *,
    checkpoint_seconds: float,
    watchdog: float = math.inf,
    stopped: Callable[[], bool] = lambda: False,
    why: Callable[[], str] = lambda: "",
    report: Callable[[Progress], None] = lambda progress: None,
    raise_errors: bool = False,
) -> dict[str, str]:
    """Measure chunks one after another. Arguments and result as of `study.launch.attempt.runs.attempt`."""
    session = _Session(
        data_root, torch.device(device), executor, checkpoint_seconds, watchdog, stopped, why, report, raise_errors
    )
    outcomes = {}
    for files in map(ChunkFiles, folders):
        outcomes[files.run_id] = "interrupted" if stopped() else _one(files, session)
    return outcomes


@dataclass
class _Session:
    data_root: Path
    device: torch.device
    executor: str
    checkpoint_seconds: float
    watchdog: float
    stopped: Callable[[], bool]
    why: Callable[[], str]
    report: Callable[[Progress], None]
    raise_errors: bool


class _Kept:
    """What the next chunk needs again, as a rule: the images on the device, and the network that is evaluated."""

    def __init__(self) -> None:
        self._feed: tuple[object, Feed] | None = None
        self._plane: tuple[list[Path], Plane] | None = None
        self._evaluator: tuple[Plane, Feed, Evaluator] | None = None

    def feed(self, spec: RunSpec, session: _Session) -> Feed:
        content = load_data(spec, session.data_root)
        key = (content.fingerprint, spec.data, spec.recipe.mean, spec.recipe.scales, session.device)
        if self._feed is None or self._feed[0] != key:
            if self._feed is not None:
                self._feed[1].close()
            self._evaluator, self._feed = None, (key, open_feed(spec, content, session.device))
        return self._feed[1]

    def plane(self, files: SurfaceFiles) -> Plane | None:
        """As on disk; None where it is not made yet."""
        paths = files.planes()
        if self._plane is None or self._plane[0] != paths or not paths:
            self._evaluator = None
            found = planes.load(files)
            self._plane = (files.planes(), found) if found is not None else None
        return self._plane and self._plane[1]

    def evaluator(self, surface: Surface, spec: RunSpec, plane: Plane, feed: Feed) -> Evaluator:
        # Its plane and feed are kept with it, not their ids, which later ones may have again.
        if self._evaluator is None or self._evaluator[0] is not plane or self._evaluator[1] is not feed:
            self._evaluator = None  # its memory is wanted for the next one
            self._evaluator = plane, feed, Evaluator(surface, spec, plane, feed)
        return self._evaluator[2]


_kept = _Kept()


def _one(files: ChunkFiles, session: _Session) -> str:
    lease = claim(files)
    if lease is None:
        return "busy"
    with ExitStack() as stack:
        stack.callback(lease.release)
        stack.enter_context(log_into(files))
        if store.status(files).state in store.ENDED:  # by another process, a moment ago
            return "done"
        sweep_away_temporaries(files.folder, held=True)
        heartbeat = stack.enter_context(Heartbeat({files.run_id: lease}, watchdog=session.watchdog))
        stopped = heartbeat.watching(session.stopped)
        gpu = session.device.type == "cuda"
        name = torch.cuda.get_device_name(session.device) if gpu else "cpu"
        record = provenance.describe(name, session.executor, torch.get_num_threads())
        store.start_attempt(files, record, lease.before)

        def observe(progress: Progress) -> None:
            heartbeat.latest[progress.run_id] = progress
            session.report(progress)

        try:
            surface = read_spec(files.surface)
            if session.executor == "slurm" and store.fruitless_attempts(files) > MAX_FRUITLESS:
                raise StudyError(f"{MAX_FRUITLESS} attempts made no progress; give its jobs more time")
            with backends({surface.precision}, session.device, deterministic=True):
                _measure(files, surface, replace(session, stopped=stopped), observe, lease.check)
        except LeaseLost as error:
            log.warning("%s; nothing more is written here", error)
            return "busy"
        except Stopped:
            log.info("stopped while its plane was made")
        except WriteError as error:
            end_unwritable(files, error)
            raise
        except Exception as raised:
            log.exception("the attempt failed")
            told = (decoding.lost(raised) if isinstance(raised, RuntimeError) else None) or raised
            store.write_failed(files, one_line(told), traceback.format_exc())
            if session.raise_errors and not isinstance(told, StudyError):
                raise
        return _outcome(files, session.why)


def _measure(
    files: ChunkFiles,
    surface: Surface,
    session: _Session,
    report: Callable[[Progress], None],
    before_write: Callable[[], None],
) -> None:
    run = run_folder(files.surface, surface.run)
    spec = store.read_spec(run)
    feed = _kept.feed(spec, session)
    plane = _plane(files.surface, surface, run, feed, session)
    if session.device.type == "cpu":
        torch.set_num_threads(plane.threads)
        if surface.precision == "bf16" and (warning := slow_bf16()):
            log.warning("%s", warning)
    evaluator = _kept.evaluator(surface, spec, plane, feed)
    points, _ = known(files.surface, surface)
    if files.key not in points:  # a surface that was begun anew since; without points it would count as measured
        raise StudyError(f"the points of {files.key} hang on some that are not measured yet; start it with the others")
    chunk = Chunk(files, surface, points[files.key], plane, run)
    chunk.measure(
        evaluator,
        checkpoint_seconds=session.checkpoint_seconds,
        stopped=session.stopped,
        report=report,
        before_write=before_write,
    )


def _plane(files: SurfaceFiles, surface: Surface, run: RunFiles, feed: Feed, session: _Session) -> Plane:
    """The plane that all chunks of a surface share; made by the first that comes here, waited for by the others."""
    while (plane := _kept.plane(files)) is None:
        if session.stopped():
            raise Stopped
        lease = claim(files)
        if lease is None:
            time.sleep(WAIT)
            continue
        try:
            sweep_away_temporaries(files.folder, held=True)  # of who was killed while it wrote the plane
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
    """A plane that was lost is made again where that gives the same: sums of a Hessian's or a trajectory's may differ in
    their last digits on another machine, and points of two planes must not mix."""
    if surface.plane in ("hessian", "pca") and any(chunk.checkpoints() for chunk in files.chunks()):
        raise StudyError("its plane is damaged or gone, and points are measured on it already; give --mode force")


def _outcome(files: ChunkFiles, why: Callable[[], str]) -> str:
    """How the attempt left a chunk, from the files alone; the last chunk of a surface seals that."""
    done = files.done.exists()
    outcome = "done" if done else "failed" if files.failed.exists() else "interrupted"
    store.end_attempt(files, outcome, store.checkpointed(files), why() if outcome == "interrupted" else "")
    if done:
        finish(files.surface)
    return outcome

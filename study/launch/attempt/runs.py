"""One attempt at a pack of runs by one process: leases, heartbeat, log, and what is left behind on failure.

Every executor ends here: a local worker, a job on a cluster, or this very process.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from io import TextIOWrapper
from pathlib import Path

import torch

from study import data
from study.config.run import RunSpec
from study.data import ImageFiles, ImageSet
from study.errors import StudyError
from study.launch.attempt import provenance
from study.launch.attempt.heartbeat import Heartbeat
from study.measure.probes.record import during
from study.store import runs as store
from study.store.files import WriteError, sweep_away_temporaries, writing
from study.store.layout import RunFiles, TaskFiles
from study.store.lease import Lease, LeaseLost, claim_all
from study.training import checkpoint
from study.training.pack import Progress, train_pack
from study.training.precision import slow_bf16
from study.training.ranks import Ranks
from study.training.start import origin

MAX_FRUITLESS = 3
"""Attempts of jobs in a row that a run may begin without getting further."""

log = logging.getLogger(__name__)


def attempt(
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
    ranks: Ranks | None = None,
) -> dict[str, str]:
    """Train the runs in `folders` side by side until each is sealed, has failed, or `stopped` says True.

    Parameters
    ----------
    watchdog
        Seconds without a step, a batch of an evaluation or a measurement after which this process is ended on the spot.
    why
        What `stopped` says True for, in a few words: recorded with the attempt.

    Returns
    -------
    dict
        The outcome of each run id: `done`, `diverged`, `failed`, `interrupted`, or `busy` when another process holds it.

    Raises
    ------
    WriteError
        The results folder cannot be written. The runs are interrupted: they go on once it can be.
    """
    ranks = ranks or Ranks()
    if not ranks.first:
        return _follow(RunFiles(folders[0]), data_root, torch.device(device), stopped, ranks)
    outcomes: dict[str, str] = {}
    with ExitStack() as stack:
        pack: list[tuple[RunSpec, RunFiles]] = []
        leases: dict[str, Lease] = {}
        claimed = claim_all(map(RunFiles, folders))
        for lease in claimed.values():
            stack.callback(lease.release)
        for files in map(RunFiles, folders):
            if files.run_id not in claimed:
                outcomes[files.run_id] = "busy"
                continue
            stack.enter_context(log_into(files))
            outcome = _refuse(files, executor)
            if outcome is not None:
                outcomes[files.run_id] = outcome
                continue
            sweep_away_temporaries(files.folder, held=True)
            leases[files.run_id] = claimed[files.run_id]
            pack.append((store.read_spec(files), files))
        if ranks.any(bool(pack), torch.device(device)):
            heartbeat = stack.enter_context(
                Heartbeat(leases, {files.run_id: spec.recipe.batch_size for spec, files in pack}, watchdog)
            )
            asked = heartbeat.watching(stopped)

            def observe(progress: Progress) -> None:
                heartbeat.latest[progress.run_id] = progress
                report(progress)

            train = partial(
                train_pack,
                stopped=asked,
                before_write=lambda files: leases[files.run_id].check(),
                report=observe,
                checkpoint_seconds=checkpoint_seconds,
                ranks=ranks,
                # Several ranks stop together, at a step: the others do not know how far a measurement is.
                probe=partial(during, stopped=asked) if ranks.size == 1 else during,
            )
            signs = {name: lease.before for name, lease in leases.items()}
            outcomes |= _train(pack, data_root, device, executor, train, raise_errors, signs, why)
    return outcomes


def _refuse(files: RunFiles, executor: str) -> str | None:
    """The outcome of a run that is not to be trained, now that its lease is held; None for one that is."""
    now = store.status(files)
    if now.state in store.ENDED:  # by another process, a moment ago
        return now.state
    if now.damage:
        log.warning("%s: %s", files.run_id, now.damage)
    try:
        spec = store.read_spec(files)
        if executor == "slurm" and store.fruitless_attempts(files) >= MAX_FRUITLESS:
            # A time limit too short for one checkpoint would requeue the job for ever.
            where = f"at iteration {store.checkpointed(files):,}"
            raise StudyError(f"{MAX_FRUITLESS} attempts made no progress {where}; give its jobs more time")
        if spec.start_from is not None and not files.checkpoints():
            origin(spec, files)  # here, so that no other run of the pack fails with this one
    except (StudyError, ValueError) as error:
        log.error("%s", error)
        store.write_failed(files, one_line(error))
        store.end_attempt(files, "failed", store.checkpointed(files))
        return "failed"
    return None


def _follow(
    files: RunFiles, data_root: Path, device: torch.device, stopped: Callable[[], bool], ranks: Ranks
) -> dict[str, str]:
    """The part of a rank that is not the first: to train along, if the first has something to train."""
    if ranks.any(False, device):
        spec = store.read_spec(files)
        train_pack([(spec, files)], load_data(spec, data_root), device, stopped=stopped, ranks=ranks)
    return {}


def _train(
    pack: list[tuple[RunSpec, RunFiles]],
    data_root: Path,
    device: str,
    executor: str,
    train: Callable[..., bool],
    raise_errors: bool,
    signs: Mapping[str, float | None],
    why: Callable[[], str],
) -> dict[str, str]:
    target = torch.device(device)
    name = torch.cuda.get_device_name(target) if target.type == "cuda" else "cpu"
    record = provenance.describe(name, executor, torch.get_num_threads())
    for _, files in pack:
        store.start_attempt(files, record, signs[files.run_id])
        log.info("attempt on %s, %s, %s threads, torch %s", record["host"], name, record["threads"], record["torch"])
    if target.type == "cpu" and pack[0][0].precision == "bf16" and (warning := slow_bf16()):
        log.warning("%s", warning)
    try:
        content = load_data(pack[0][0], data_root)
        mine = [run for run in pack if len(pack) == 1 or _fits(*run, content.fingerprint)]
        for _, files in mine:
            if not files.checkpoints():
                store.record_images(files, content.fingerprint)
        if mine:
            train(mine, content, target)
    except LeaseLost as error:
        log.warning("%s; nothing more is written here", error)
        return {files.run_id: "busy" for _, files in pack}
    except WriteError as error:
        for _, files in pack:
            end_unwritable(files, error)
        raise
    except Exception as error:
        for _, files in pack:
            if not files.done.exists():
                log.exception("the attempt failed")
                store.write_failed(files, one_line(error), traceback.format_exc())
        if raise_errors:
            raise
    return {files.run_id: _outcome(files, why) for _, files in pack}


def _fits(spec: RunSpec, files: RunFiles, fingerprint: str) -> bool:
    """Whether a run of a pack can go on with these images; if not it has failed here, so that no other run fails with it."""
    try:
        begun = files if spec.start_from is None or files.checkpoints() else origin(spec, files)
        state = checkpoint.load_newest(begun, torch.device("cpu"))
        if state is not None:
            checkpoint.check_images(state, fingerprint, spec.dataset)
    except StudyError as error:
        log.error("%s: %s", files.run_id, error)
        store.write_failed(files, one_line(error))
        return False
    return True


def end_unwritable(files: TaskFiles, error: WriteError) -> None:
    """Say of an attempt that the disk ended it, where the disk lets that be said."""
    log.error("the attempt cannot go on: %s", error)
    if not files.done.exists():
        with contextlib.suppress(WriteError):
            store.end_attempt(files, "interrupted", store.checkpointed(files), str(error))


def _outcome(files: RunFiles, why: Callable[[], str]) -> str:
    """How the attempt left a run, from the files alone; recorded with the attempt."""
    if files.done.exists():
        now = store.status(files)
        outcome, iteration = str(now.state), now.iteration
    else:
        outcome = "failed" if files.failed.exists() else "interrupted"
        iteration = store.checkpointed(files)
    store.end_attempt(files, outcome, iteration, why() if outcome == "interrupted" else "")
    log.info("%s at iteration %d", outcome, iteration)
    return outcome


def one_line(error: Exception) -> str:
    """What a failed task's last words are."""
    text = " ".join(str(error).split())
    return text if isinstance(error, StudyError) else f"{type(error).__name__}: {text}"


def load_data(spec: RunSpec, root: Path) -> ImageSet | ImageFiles:
    """The data set of a run; as `study.data.load`, but most often it is that of the run before."""
    subset = {"train_subset": spec.train_subset, "train_subset_seed": spec.train_subset_seed}
    return data.load_once(spec.data.name, root, **spec.data.options, **subset)


class _Log(logging.FileHandler):
    """A log that a full disk may cut short: that is no reason to end what it tells of."""

    def _open(self) -> TextIOWrapper:
        # Not through a link: what is logged belongs into the task's folder.
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        return os.fdopen(descriptor, "a", encoding="utf-8")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 -- logging's name
        pass


@contextmanager
def log_into(files: TaskFiles) -> Iterator[None]:
    """Send this package's log messages into the task's log."""
    with writing(files.log):
        handler = _Log(files.log)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("study")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        with contextlib.suppress(OSError):  # what a full disk did not take
            handler.close()

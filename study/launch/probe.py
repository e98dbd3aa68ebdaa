"""Measure trained networks, on their newest checkpoints: `study probe`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812

from study.config.differences import labels
from study.config.identity import run_id
from study.config.registry import PROBES
from study.config.run import PROBE_IMAGES, RunSpec, probe_names
from study.errors import StudyError
from study.launch.attempt.heartbeat import Heartbeat
from study.launch.attempt.log import log_into, one_line, warnings_to
from study.launch.attempt.runs import feed_of
from study.launch.local.pool import pool
from study.launch.machine import Machine, prepare_data
from study.measure.probes import Measured, Subject
from study.measure.probes.record import record
from study.measure.recorded import contradiction
from study.store import runs as store
from study.store.collect import collect
from study.store.find import one_run
from study.store.layout import RunFiles, SweepFiles
from study.store.lease import claim
from study.store.sweeps import read_sweep
from study.training import checkpoint
from study.training.session import Session

log = logging.getLogger(__name__)


class Line(NamedTuple):
    """A line of output on a run; `failed` if it could not be measured, `loud` for a warning."""

    text: str
    failed: bool = False
    loud: bool = False


def chosen_probes(text: str | None) -> tuple[str, ...]:
    """The probes of `--probes`; without it, all but costly ones. Raises StudyError if one is unknown."""
    if text is None:
        return tuple(name for name, entry in PROBES.items() if entry.usual)
    try:
        return probe_names(text.split(","))
    except ValueError as error:
        raise StudyError(f"--probes {text}: {error}") from None


def chosen_device(device: str) -> torch.device:
    """`auto` is the GPU if there is one. Raises StudyError for a GPU that is not there."""
    if device == "mps":
        raise StudyError("--device mps: probes need float64, which Apple's GPUs lack; use --device cpu")
    return torch.device(pool(Machine(Path(), device=device), 1).devices[0])


def probe(
    files: SweepFiles,
    probes: Sequence[str],
    images: int | None,
    session: Session,
    begin: Callable[[str], None] = lambda text: None,
) -> Iterator[Line]:
    """Measure the runs of a sweep, or one run; yields a line for each run and probe, and the path of the file."""
    whole = files.sweep.exists()
    runs = [files.run(name) for name in read_sweep(files)["runs"]] if whole else [one_run(files)]
    specs: dict[str, RunSpec] = {}
    wrong: dict[str, str] = {}
    for run in runs:
        try:
            if not run.checkpoints():
                ended = store.status(run).state in store.ENDED
                mode = " --mode force" if ended else ""
                raise StudyError(f"has no checkpoint to measure; train it with `study sweep FILE{mode}`")
            specs[run.run_id] = store.read_spec(run)
        except StudyError as error:
            wrong[run.run_id] = str(error)
    prepare_data(list(specs.values()), session.data_root)
    names = labels(specs)
    for count, run in enumerate(runs, 1):
        try:
            if run.run_id in wrong:
                raise StudyError(wrong[run.run_id])
            begin(f"{count} of {len(runs)}: {names[run.run_id]}")
            yield from _measure(run, specs[run.run_id], names[run.run_id], probes, images, session)
        except StudyError as error:
            yield Line(f"{run.run_id}: {error}", failed=True)
    if whole:
        collect(files)
    path = files.probes if whole else runs[0].probes
    if path.exists():
        yield Line(f"probes: {path}")


def _measure(
    files: RunFiles, spec: RunSpec, name: str, probes: Sequence[str], images: int | None, session: Session
) -> Iterator[Line]:
    """Measure one run, under its lease and with its log."""
    with ExitStack() as stack:
        lease = claim(files)
        if lease is None:
            raise StudyError("is busy: another process trains or measures it; skipped")
        stack.callback(lease.release)
        stack.enter_context(log_into(files))
        stack.enter_context(Heartbeat({files.run_id: lease}))
        if words := store.LOST.get(store.status(files).state):
            yield Line(f"{files.run_id}: {words}: there is no network to measure")
            return
        try:
            subject, iteration, notes = _subject(files, spec, images, session)
            yield from (Line(f"note: {files.run_id}: {note}") for note in notes)
            if warning := _doubt(files, subject, iteration):
                yield Line(f"WARNING: {warning}", loud=True)
            for measured in record(files, iteration, probes, subject, lease.check):
                yield Line(f"{name}, iteration {iteration:,}: {_told(measured)}")
        except StudyError:
            raise
        except Exception as error:
            log.exception("the measurement failed")
            raise StudyError(f"{one_line(error):.200} (its log has more)") from None


def _subject(files: RunFiles, spec: RunSpec, count: int | None, session: Session) -> tuple[Subject, int, list[str]]:
    """The network of the newest sound checkpoint, its iteration, and why newer ones were passed over."""
    if run_id(spec) != files.run_id:
        raise StudyError(f"{files.spec} is not the spec that this run was named for; it was changed by hand")
    passed: list[str] = []
    with warnings_to(passed.append):
        state = checkpoint.load_newest(files, torch.device("cpu"))
    if state is None:
        raise StudyError(f"no sound checkpoint: {'; '.join(passed)}")
    images = feed_of(spec, session)
    checkpoint.check_images(state, images.fingerprint, spec.dataset)
    if session.device.type == "cpu":
        torch.set_num_threads(state["threads"])  # the numbers of a measurement in training, to the last bit
    try:
        subject = Subject.of(spec, state["network"], images, count or spec.probe_images or PROBE_IMAGES)
    except (ValueError, RuntimeError) as error:  # the latter if a tensor has another shape
        raise StudyError(f"its checkpoint is of another network: {' '.join(str(error).split()):.200}") from None
    return subject, state["iteration"], passed


@torch.no_grad()
def _doubt(files: RunFiles, subject: Subject, iteration: int) -> str:
    """A warning if the network's loss differs from the one that its training recorded."""
    losses = [F.cross_entropy(subject.network.eval()(x), y, reduction="sum") for x, y in subject.batches()]
    count = subject.looked_at()
    return contradiction(files, "train", float(sum(losses)) / count, count, iteration)


def _told(measured: Measured) -> str:
    """`responses: std 0.58 (0.31 to 0.97 at 19 places), 1.2 s`: the median and range of its first measure."""
    if not measured.values:
        return f"{measured.probe}: left out: {measured.lacking or 'nothing to measure here; more --images may help'}"
    first = measured.values[0].measure
    numbers = np.array([value.value for value in measured.values if value.measure == first])
    text = f"{measured.probe}: {first} {np.median(numbers):.3g}"
    if len(numbers) > 1:
        text += f" ({numbers.min():.3g} to {numbers.max():.3g} at {len(numbers)} places)"
    return f"{text}, {measured.seconds:.1f} s"

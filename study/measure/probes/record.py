"""Write measurements into a run's `probes.parquet`: during training, and of a checkpoint afterwards."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator

import torch

from study.measure.probes import Measured, measure
from study.measure.probes.subject import Subject
from study.store.layout import RunFiles
from study.store.tables import add_probe
from study.training.session import Measurable, never

log = logging.getLogger(__name__)


def record(
    files: RunFiles,
    iteration: int,
    names: Iterable[str],
    subject: Subject,
    before_write: Callable[[], None] = lambda: None,
    stopped: Callable[[], bool] = never,
) -> Iterator[Measured]:
    """Measure, and write the values of each probe as it ends. As `study.measure.probes.measure`."""
    for taken in measure(names, subject, stopped):
        rows = []
        for value in taken.values:
            images = subject.looked_at() if value.images is None else value.images
            row = {"run_id": files.run_id, "iteration": iteration, "probe": taken.probe, **value._asdict()}
            rows.append(row | {"images": images, "seconds": taken.seconds})
        before_write()
        add_probe(files, rows)
        yield taken


def during(lane: Measurable, stopped: Callable[[], bool] = never) -> bool:
    """Take the measurements that a lane's spec asks for, as `probe` of `study.training.session.Session`.

    What is measured is a copy of the network, made here: the lane stays as it is, and so does torch's random state, of
    which making a network draws.
    """
    spec, taken = lane.spec, []
    if spec.probe_images is None:
        return True
    with torch.random.fork_rng(devices=[]):
        subject = Subject.of(spec, lane.network(), lane.images, spec.probe_images)
        for measured in record(lane.files, lane.iteration, spec.probes, subject, lane.before_write, stopped):
            taken.append(f"{measured.probe} ({measured.lacking or f'{measured.seconds:.1f} s'})")
    log.info("iteration %d: measured %s", lane.iteration, ", ".join(taken) or "nothing")
    return len(taken) == len(spec.probes)

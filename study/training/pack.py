"""A pack: lanes stepped together on one device, from their first step to their seal."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from study.config.run import RunSpec
from study.data import ImageFiles, ImageSet
from study.networks.count import needed
from study.store import runs as store
from study.store.layout import RunFiles
from study.training import checkpoint
from study.training.engine import Engine, engine
from study.training.events import Event
from study.training.feeds.open import open_feeds
from study.training.lane import Lane
from study.training.precision import backends
from study.training.session import Progress, Session, never
from study.training.start import starting_weights

log = logging.getLogger(__name__)

Run = tuple[RunSpec, RunFiles]


def train_pack(runs: Sequence[Run], data: ImageSet | ImageFiles, session: Session) -> bool:
    """Train runs side by side from their checkpoints until each is sealed (`done.json`); False when stopped before.

    Raises `StudyError` if the data are not those that a run began with, an image cannot be read, or a process that
    decodes was killed.
    """
    todo = fitting(runs, data, session.device)
    if len(todo) > 1:
        log.info("%d runs do not fit on %s together: %d packs, one after another", len(runs), session.device, len(todo))
    while todo:
        part = todo.pop(0)
        try:
            if not _train_together(part, data, session):
                return False
        except RuntimeError as error:
            if len(part) == 1 or not _out_of_memory(error):
                raise
            log.warning("%d runs did not fit on %s after all: half of them at a time", len(part), session.device)
            todo[:0] = [part[: len(part) // 2], part[len(part) // 2 :]]
    return True


def fitting(runs: Sequence[Run], data: ImageSet | ImageFiles, device: torch.device) -> list[Sequence[Run]]:
    """Split the runs into packs that fit on the device, one after another; a run that does not fit alone is a pack too."""
    if device.type != "cuda":
        return [runs]
    size, channels, resident = data.image_size if isinstance(data, ImageFiles) else 0, 3, 0
    if isinstance(data, ImageSet):
        size, _, channels = data.train_images.shape[1:]
        resident = data.train_images.nbytes + data.test_images.nbytes
    torch.cuda.empty_cache()  # of the pack before
    free, _ = torch.cuda.mem_get_info(device)
    packs: list[list[Run]] = []
    rooms: list[int] = []  # left in each pack
    for run in runs:
        need = needed(run[0], channels, len(data.classes), size)
        fits = next((i for i, room in enumerate(rooms) if need <= room), None)
        if fits is None:
            fits = len(packs)
            packs.append([])
            rooms.append(int(0.9 * free) - resident)
        packs[fits].append(run)
        rooms[fits] -= need
    return list(packs)


def _out_of_memory(error: RuntimeError) -> bool:
    """Recognise lack of memory, which graphs and convolutions report by other errors than torch's own."""
    words = ("out of memory", "unable to find an engine")
    return isinstance(error, torch.OutOfMemoryError) or any(word in str(error) for word in words)


def _train_together(runs: Sequence[Run], data: ImageSet | ImageFiles, session: Session) -> bool:
    states = [checkpoint.load_newest(files, torch.device("cpu")) for _, files in runs]
    _set_threads(states, session.device)
    with open_lanes(runs, data, session) as lanes:
        for lane, state in zip(lanes, states, strict=True):
            _begin(lane, state)
        return _Pack(lanes, session).run()


@contextmanager
def open_lanes(runs: Sequence[Run], data: ImageSet | ImageFiles, session: Session) -> Iterator[list[Lane]]:
    """A lane at its first step for each run, with its feed; reads and writes nothing of the run's files."""
    device, tuning = session.device, session.tuning
    with (
        open_feeds([spec for spec, _ in runs], data, device, session.ranks, tuning.decoders) as feeds,
        backends({spec.precision for spec, _ in runs}, device, tuning.deterministic),
    ):
        yield [Lane(spec, files, feed, session) for (spec, files), feed in zip(runs, feeds, strict=True)]


def advance(lanes: Sequence[Lane], runner: Engine, most: int | None = None) -> int:
    """Take as many steps of each lane as go without a look at the host, or `most`; returns how many."""
    steps = min(most or runner.stride, runner.stride, *(lane.prepare() for lane in lanes))
    runner.steps(steps)
    for lane in lanes:
        lane.iteration += steps
    return steps


def _begin(lane: Lane, state: dict[str, Any] | None) -> None:
    if state is not None:
        lane.resume(state)
        log.info("%s: goes on at iteration %d", lane.files.run_id, lane.iteration)
    elif lane.spec.start_from is not None:
        lane.program.load(starting_weights(lane.spec, lane.files, lane.images))
        log.info("%s: starts from %s", lane.files.run_id, lane.spec.start_from)
    lane.forget_snapshots()


def _set_threads(states: Sequence[dict[str, Any] | None], device: torch.device) -> None:
    """Use as many threads as the run began with: on a CPU they decide the order of sums."""
    begun = {state["threads"] for state in states if state is not None}
    if begun and device.type == "cpu":
        torch.set_num_threads(max(begun))


class _Pack:
    def __init__(self, lanes: list[Lane], session: Session) -> None:
        self.lanes, self.session = lanes, session
        self.saved = self.ticked = time.perf_counter()
        self._set_up(lanes)

    def run(self) -> bool:
        # A checkpoint may have been written between a step and the evaluation due after it.
        self._observe()
        while self.active and not self._agreed(self.session.stopped()):
            advance(self.active, self.engine)
            self._tick()
            self._observe()
            if self._agreed(time.perf_counter() - self.saved > self.session.checkpoint_seconds):
                self._save()
        self._save()
        return not self.active

    def _set_up(self, active: list[Lane]) -> None:
        """Go on with these lanes only."""
        self.active = active
        if active:
            self.engine = engine([lane.program for lane in active], self.session.tuning)

    def _agreed(self, flag: bool) -> bool:
        """Combine the flags of all ranks by or, so that they act together at the same step."""
        return self.session.ranks.any(flag, self.lanes[0].images.device)

    def _tick(self) -> None:
        """Divide the time since the last call among the lanes trained in it."""
        now = time.perf_counter()
        for lane in self.active:
            lane.seconds += (now - self.ticked) / len(self.active)
        self.ticked = now

    def _observe(self) -> None:
        """Take the events that are due; seal the lanes that are finished, and go on without them."""
        points = self._due(Event.POINT)
        for lane in points:
            lane.log_running()
        evaluated = self._due(Event.EVALUATION)
        self._evaluate(evaluated)
        self._untimed(Event.PROBE, self._measure)
        self._untimed(Event.SNAPSHOT, Lane.save_snapshot)
        for lane in self.active:
            if lane in points or lane in evaluated:
                lane.write()
            iterations, images = lane.recipe.iterations, lane.recipe.batch_size
            self.session.report(
                Progress(lane.files.run_id, lane.iteration, iterations, lane.error, lane.seconds, images)
            )
        left = [lane for lane in self.active if not lane.finished]
        for lane in self.active:
            if lane.finished:
                _seal(lane)
        if len(left) < len(self.active):
            self._set_up(left)

    def _due(self, event: Event) -> list[Lane]:
        return [lane for lane in self.active if lane.due(event)]

    def _evaluate(self, lanes: list[Lane]) -> None:
        """Evaluate lanes, first those with running means on these; if it is cut short, it is due again."""
        averaged = [lane for lane in lanes if lane.recipe.ema is not None]
        for lane in averaged:
            lane.program.swap_means()
        whole = self._evaluate_on(averaged, "_ema")
        for lane in averaged:
            lane.program.swap_means()
        if not (whole and self._evaluate_on(lanes)):
            for lane in lanes:
                lane.forget_evaluation()
        self._tick()

    def _evaluate_on(self, lanes: list[Lane], suffix: str = "") -> bool:
        """Evaluate lanes on the training and the test images; return False if it is cut short."""
        for split, source in (("train_clean", "train"), ("test", "test")):
            if lanes and not self.engine.evaluate([lane.program for lane in lanes], source, self.session.stopped):
                return False
            for lane in lanes:
                lane.log_evaluation(split + suffix, source)
        return True

    def _untimed(self, event: Event, act: Callable[[Lane], None]) -> None:
        """Let lanes take an event whose time does not count as training time."""
        if lanes := self._due(event):
            self._tick()
            for lane in lanes:
                act(lane)
            self.ticked = time.perf_counter()

    def _measure(self, lane: Lane) -> None:
        # Several ranks stop together, at a step: the others do not know how far a measurement is.
        stopped = self.session.stopped if self.session.ranks.size == 1 else never
        if self.session.probe(lane, stopped):
            lane.events.take(Event.PROBE, lane.iteration)

    def _save(self) -> None:
        for lane in self.active:
            lane.save()
        self.saved = time.perf_counter()


def _seal(lane: Lane) -> None:
    lane.save(keep=1)
    if not lane.ranks.first:
        return
    outcome = lane.lost or "finished"
    warning = lane.schedule.warning()
    lane.before_write()
    if warning:
        log.warning("%s: %s", lane.files.run_id, warning)
    store.write_done(
        lane.files,
        {lane.files.curves.name: lane.written},
        outcome=outcome,
        iteration=lane.iteration,
        error=lane.error,
        seconds=lane.seconds,
        data=lane.images.fingerprint,
        warnings=[warning] if warning else [],
    )

"""Measure the points of one chunk; after a kill it resumes where it last wrote."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from study.config.surface import Surface
from study.errors import StudyError
from study.measure.probes.curvature import Hessian, extremes
from study.measure.probes.subject import Stopped
from study.measure.surface.evaluate import Evaluator
from study.measure.surface.lattice import PATH, Point, coordinate
from study.measure.surface.plane import Plane, Snapshot, hessian_batches
from study.store import runs as store
from study.store.layout import ChunkFiles, RunFiles
from study.store.surfaces import load_points, save_points
from study.store.tables import Row
from study.training import checkpoint
from study.training.session import Progress, Session


class Chunk:
    """A part of a surface around a run; the points of the trajectory's chunk are the plane's snapshots."""

    def __init__(
        self, files: ChunkFiles, surface: Surface, points: Sequence[Point], plane: Plane, run: RunFiles
    ) -> None:
        self.files, self.surface, self.plane, self.run = files, surface, plane, run
        self.points: Sequence[Point | Snapshot] = plane.snapshots if files.key == PATH else points

    def measure(self, evaluator: Evaluator, session: Session) -> bool:
        """Measure the remaining points and seal the chunk; return False if `session.stopped` cut it short.

        Raises `StudyError` if a snapshot of the trajectory is missing.
        """
        began = saved = time.perf_counter()
        done, rows = load_points(self.files, aside=True)
        whole = True
        for number, point in enumerate(self.points[done:], done + 1):
            session.report(self._progress(number - 1, began))
            measured = None if session.stopped() else self._measure(point, evaluator, session.stopped)
            if measured is None:
                whole = False
                break
            rows += measured
            done = number
            if time.perf_counter() - saved > session.checkpoint_seconds:
                session.before_write(self.files)
                save_points(self.files, done, rows)
                saved = time.perf_counter()
        session.before_write(self.files)
        save_points(self.files, done, rows, keep=1 if whole else 2)
        session.report(self._progress(done, began))
        if whole:
            seconds = time.perf_counter() - began
            store.write_done(self.files, outcome="finished", iteration=done, error=None, seconds=seconds)
        return whole

    def _progress(self, done: int, began: float) -> Progress:
        return Progress(self.files.run_id, done, len(self.points), None, time.perf_counter() - began)

    def _measure(self, point: Point | Snapshot, evaluator: Evaluator, stopped: Callable[[], bool]) -> list[Row] | None:
        """Return the rows of a point, one per split, or None if it was cut short."""
        try:
            if isinstance(point, Snapshot):
                common = {"i": self.plane.snapshots.index(point), "j": 0, **point._asdict()}
                vector = evaluator.flat.pack(self._state(point.iteration)).to(evaluator.feed.device)
                found = evaluator.of(vector, stopped)
            else:
                ranges = enumerate(zip(point, self.plane.ranges, strict=False))
                coordinates = tuple(coordinate(self.surface, axis, i, *ends) for axis, (i, ends) in ranges)
                alpha, beta = (*coordinates, 0.0)[:2]
                common = {**point._asdict(), "alpha": alpha, "beta": beta}
                found = evaluator.at(coordinates, stopped)
                if self.surface.curvature:
                    common |= self._curvature(evaluator, coordinates, stopped)
        except Stopped:
            return None
        rows = [{"level": 0, **common, "split": split, "images": evaluator.images(split), **measured._asdict()}
                for split, measured in found.items()]  # fmt: skip
        for row in rows[1:]:  # the curvature is that of the training loss
            row |= {"lambda_max": None, "lambda_min": None}
        return rows

    def _state(self, iteration: int) -> Mapping[str, Tensor]:
        for path in self.run.snapshots():
            state = checkpoint.load_snapshot(path, torch.device("cpu")) if f"-{iteration:08d}-" in path.name else None
            if state is not None:
                network: Mapping[str, Tensor] = state["network"]
                return network
        raise StudyError(f"{self.run.run_id}: its snapshot of iteration {iteration:,} is missing")

    def _curvature(
        self, evaluator: Evaluator, coordinates: tuple[float, ...], stopped: Callable[[], bool]
    ) -> dict[str, float]:
        network = evaluator.move(coordinates)
        batches = hessian_batches(self.surface, self.run, network, evaluator.feed)
        largest, smallest = extremes(Hessian(network, batches, stopped), 1, 1)
        return {"lambda_max": float(largest.values[0]), "lambda_min": float(smallest.values[0])}

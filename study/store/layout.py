"""The paths of all files below a results folder."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from study.errors import StudyError
from study.text import user_path


def default_results() -> Path:
    """`$STUDY_RESULTS`, or `results` in the working directory."""
    return user_path(os.environ.get("STUDY_RESULTS") or "results")


class _Inside:
    """A path in its owner's folder, built on access because a sweep has many runs."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, files: TaskFiles, owner: type[TaskFiles]) -> Path:
        return files.folder / self.name


class TaskFiles:
    """The files of a task: a run, or a chunk of a surface. The folder's name is its id."""

    attempts = _Inside("attempts.jsonl")
    lease = _Inside("lease")
    heartbeat = _Inside("heartbeat")
    done = _Inside("done.json")
    failed = _Inside("failed.json")
    log = _Inside("log")

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run_id = folder.name

    @property
    def results(self) -> Path:
        return self.folder.parent.parent.parent

    def checkpoints(self) -> list[Path]:
        """The files to resume from, newest first: `<word>-<how far>-<first 16 hex digits of its SHA-256>.<suffix>`."""
        raise NotImplementedError


class RunFiles(TaskFiles):
    """The files of one run: `<results>/<sweep>/runs/<run_id>/`."""

    spec = _Inside("spec.json")
    curves = _Inside("curves.parquet")
    probes = _Inside("probes.parquet")

    def certificate(self, depth: int | None) -> Path:
        """The result of `study embed` for this run's network stretched to `depth` layers, or folded."""
        return self.folder / f"certificate-{depth or 'folded'}.json"

    def certificates(self) -> list[Path]:
        return sorted(self.folder.glob("certificate-*.json"))

    def checkpoint(self, iteration: int, digest: str) -> Path:
        """The name carries the first 16 hex digits of the SHA-256, which reveals damage."""
        return self.folder / f"checkpoint-{iteration:08d}-{digest}.pt"

    def checkpoints(self) -> list[Path]:
        return sorted(self.folder.glob("checkpoint-*-*.pt"), reverse=True)

    def snapshot(self, iteration: int, digest: str) -> Path:
        """The network at an iteration, kept for good (`snapshot_every`); named like a checkpoint."""
        return self.folder / f"snapshot-{iteration:08d}-{digest}.pt"

    def snapshots(self) -> list[Path]:
        """Oldest first."""
        return sorted(self.folder.glob("snapshot-*-*.pt"))

    def surface(self, surface_id: str) -> SurfaceFiles:
        return SurfaceFiles(self.folder.parent.parent / "surfaces" / surface_id)

    def surfaces(self) -> list[SurfaceFiles]:
        """All surfaces of this run's sweep."""
        return [SurfaceFiles(path.parent) for path in sorted(self.folder.parent.parent.glob("surfaces/*/spec.json"))]


class SurfaceFiles(TaskFiles):
    """The files of one surface: `<results>/<sweep>/surfaces/<surface_id>/`, where the sweep is that of its centre."""

    spec = _Inside("spec.json")
    table = _Inside("surface.parquet")
    facts = _Inside("plane.json")

    def plane(self, digest: str) -> Path:
        return self.folder / f"plane-{digest}.pt"

    def planes(self) -> list[Path]:
        return sorted(self.folder.glob("plane-*.pt"))

    def chunk(self, key: str) -> ChunkFiles:
        """A chunk by its key, such as `c003`."""
        return ChunkFiles(self.folder / "chunks" / f"{self.run_id}-{key}")

    def chunks(self) -> list[ChunkFiles]:
        """All chunks that were started."""
        return [ChunkFiles(path) for path in sorted(self.folder.glob("chunks/*")) if path.is_dir()]


class ChunkFiles(TaskFiles):
    """The files of a chunk of a surface: `<surface>/chunks/<surface_id>-<key>/`."""

    @property
    def results(self) -> Path:
        return self.surface.results

    @property
    def key(self) -> str:
        return self.run_id.rpartition("-")[2]

    @property
    def surface(self) -> SurfaceFiles:
        return SurfaceFiles(self.folder.parent.parent)

    def points(self, count: int, digest: str) -> Path:
        """The measurements at the first `count` points; named like a checkpoint."""
        return self.folder / f"points-{count:08d}-{digest}.parquet"

    def checkpoints(self) -> list[Path]:
        return sorted(self.folder.glob("points-*-*.parquet"), reverse=True)


def task_files(folder: Path) -> RunFiles | ChunkFiles:
    """The files of a task by its folder: a run or a chunk."""
    return ChunkFiles(folder) if folder.parent.name == "chunks" else RunFiles(folder)


class SweepFiles:
    """The files of one sweep: `<results>/<sweep>/`."""

    def __init__(self, results: Path, name: str) -> None:
        self.results = results
        self.name = name
        self.folder = results / name
        self.sweep = self.folder / "sweep.json"
        self.curves = self.folder / "curves.parquet"
        self.probes = self.folder / "probes.parquet"
        self.surfaces_table = self.folder / "surfaces.parquet"
        self.runs_table = self.folder / "runs.parquet"
        self.collected = self.folder / "collected.json"  # seals the tables: see study.store.collect
        self.runs = self.folder / "runs"
        self.slurm = self.folder / "slurm"  # a folder a submission: submission.json, and submitit's own files
        self.code = self.folder / "code"  # the code of each submission
        self.components = self.folder / "components"  # the user's own code, by name and digest

    def run(self, run_id: str) -> RunFiles:
        """A run's files: in this sweep, or in another one that already has them, since sweeps share runs."""
        own = RunFiles(self.runs / run_id)
        if own.spec.exists():
            return own
        shared = [folder / run_id for folder in self._other_runs if (folder / run_id / "spec.json").exists()]
        return RunFiles(shared[0]) if shared else own

    @cached_property
    def _other_runs(self) -> list[Path]:
        """The run folders of all other sweeps, by name; listed once for all runs of this sweep."""
        return sorted(folder for folder in self.results.glob("*/runs") if folder != self.runs)


def refuse_links(results: Path, folders: Iterable[Path]) -> None:
    """Raise StudyError where a link leads out of the results folder: nothing is written there."""
    inside = results.resolve()
    for folder in folders:
        if not folder.resolve().is_relative_to(inside):
            raise StudyError(
                f"{folder}: is, or lies in, a link out of {results}/, so nothing is written there; put the folder itself "
                "there, or name the results folder that it lies in by --results"
            )

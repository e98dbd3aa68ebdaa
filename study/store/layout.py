"""Where everything lies below a results folder."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path


def default_results() -> Path:
    """The results folder where none is named: `$STUDY_RESULTS`, else `results` here."""
    return Path(os.environ.get("STUDY_RESULTS") or "results")


class RunFiles:
    """The files of one run: `<results>/<sweep>/runs/<run_id>/`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run_id = folder.name
        self.spec = folder / "spec.json"
        self.curves = folder / "curves.parquet"
        self.probes = folder / "probes.parquet"
        self.attempts = folder / "attempts.jsonl"
        self.lease = folder / "lease"
        self.heartbeat = folder / "heartbeat"
        self.done = folder / "done.json"
        self.failed = folder / "failed.json"
        self.log = folder / "log"

    @property
    def results(self) -> Path:
        """The results folder that it lies in."""
        return self.folder.parent.parent.parent

    def certificate(self, depth: int) -> Path:
        """What `study embed` found of this run's network stretched to `depth` layers."""
        return self.folder / f"certificate-{depth}.json"

    def certificates(self) -> list[Path]:
        """All certificates."""
        return sorted(self.folder.glob("certificate-*.json"))

    def checkpoint(self, iteration: int, digest: str) -> Path:
        """A checkpoint's name carries the first 16 hex digits of its SHA-256, so a damaged one gives itself away."""
        return self.folder / f"checkpoint-{iteration:08d}-{digest}.pt"

    def checkpoints(self) -> list[Path]:
        """All checkpoints, newest first."""
        return sorted(self.folder.glob("checkpoint-*-*.pt"), reverse=True)


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
        self.runs = self.folder / "runs"
        self.slurm = self.folder / "slurm"  # a folder a submission: submission.json, and submitit's own files
        self.code = self.folder / "code"  # the code of each submission

    def run(self, run_id: str) -> RunFiles:
        """Where a run lies: here, or in the sweep that had it first. Two sweeps that name the same run share it."""
        own = RunFiles(self.runs / run_id)
        if own.spec.exists():
            return own
        shared = [folder / run_id for folder in self._other_runs if (folder / run_id / "spec.json").exists()]
        return RunFiles(shared[0]) if shared else own

    @cached_property
    def _other_runs(self) -> list[Path]:
        """The runs' folders of all other sweeps, by name; listed once, since a sweep asks it for each of its runs."""
        return sorted(folder for folder in self.results.glob("*/runs") if folder != self.runs)

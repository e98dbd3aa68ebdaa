"""What is on disk about runs and sweeps: their specs, their states, how they ended."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from study.errors import StudyError, nearest
from study.spec.identity import point_id
from study.spec.run import RunSpec
from study.spec.sweep import Sweep
from study.store import lease, surfaces
from study.store.files import append_line, read_json, read_lines, write_json
from study.store.layout import RunFiles, SweepFiles, TaskFiles

State = Literal["done", "diverged", "failed", "running", "interrupted", "pending"]
"""done and diverged are results; interrupted runs go on where their checkpoint is; pending ones were never started."""

ENDED: tuple[State, ...] = ("done", "diverged")


@dataclass(frozen=True)
class RunStatus:
    """A run as the files show it, without guessing."""

    run_id: str
    state: State
    iteration: int = 0
    attempts: int = 0
    message: str = ""
    error: float | None = None
    """Last test error (percent) of a run that is through or running."""
    progress: dict[str, Any] = field(default_factory=dict)
    """Last heartbeat of a running run: host, pid, iteration, error, images_per_second, seconds_left."""


def status(files: TaskFiles) -> RunStatus:
    """The state of one run."""
    done = read_json(files.done)
    attempts = sum(line.get("event") == "start" for line in read_lines(files.attempts))
    if done is not None:
        state: State = "diverged" if done["outcome"] == "diverged" else "done"
        message = "; ".join(done.get("warnings", ()))
        return RunStatus(files.run_id, state, done["iteration"], attempts, message, done.get("error"))
    held = lease.holder(files)
    if held is not None:
        iteration = int(held.get("iteration", 0))
        return RunStatus(files.run_id, "running", iteration, attempts, error=held.get("error"), progress=held)
    iteration = checkpointed(files)
    failed = read_json(files.failed)
    if failed is not None:
        return RunStatus(files.run_id, "failed", iteration, attempts, failed["message"])
    return RunStatus(files.run_id, "interrupted" if attempts else "pending", iteration, attempts)


def write_spec(files: RunFiles, spec: RunSpec) -> None:
    """Put a run's spec into its folder, once."""
    if not files.spec.exists():
        write_json(files.spec, spec.model_dump(mode="json"))


def read_spec(files: RunFiles) -> RunSpec:
    """The stored spec of a run."""
    content = read_json(files.spec)
    if content is None:
        raise StudyError(f"{files.spec}: is missing; start the run with `study sweep`")
    return RunSpec.model_validate(content)


def run_of_point(results: Path, point: str, seed: int) -> RunFiles | None:
    """The run with this id without its seed, and this seed, under a results folder, wherever its sweep."""
    readable = point.rpartition("-")[0]
    for path in sorted(results.glob(f"*/runs/{readable}-s{seed}-*/spec.json")):
        files = RunFiles(path.parent)
        if point_id(read_spec(files)) == point:
            return files
    return None


def start_attempt(files: TaskFiles, provenance: dict[str, Any], last_sign: float | None = None) -> None:
    """Record that a process starts to train a run; what an earlier attempt failed of no longer holds.

    `last_sign` is when the attempt before last showed its heart beating, where it died without a word (`Lease.before`).
    """
    begun = {"event": "start", "time": time.time(), "from": checkpointed(files)}
    heard = {} if last_sign is None else {"last_sign": last_heard(files, last_sign)}
    append_line(files.attempts, begun | heard | provenance)
    files.failed.unlink(missing_ok=True)


def last_heard(files: TaskFiles, beat: float) -> float:
    """When a task that nobody works on was last heard of, in seconds since 1970: its last heartbeat or checkpoint."""
    return max([beat, *(path.stat().st_mtime for path in files.checkpoints()[:1])])


def fruitless_attempts(files: TaskFiles) -> int:
    """How many attempts in a row, the newest ones since it last failed, began where the run still is."""
    iteration, count = checkpointed(files), 0
    for line in reversed(read_lines(files.attempts)):
        at = line.get("from", line.get("iteration", iteration))
        if line.get("outcome") == "failed" or at != iteration:
            break
        count += line.get("event") == "start"
    return count


def checkpointed(files: TaskFiles) -> int:
    """The iteration of a run's newest checkpoint; 0 without one."""
    newest = files.checkpoints()
    return int(newest[0].name.split("-")[1]) if newest else 0


def end_attempt(files: TaskFiles, outcome: str, iteration: int, why: str = "") -> None:
    """Record how an attempt ended: done, diverged, interrupted or failed; and why, where that is known.

    Without `why` a failed one is told by the run's last words.
    """
    if outcome == "failed" and not why:
        why = (read_json(files.failed) or {}).get("message", "")
    told = {"why": why} if why else {}
    end = {"event": "end", "time": time.time(), "outcome": outcome, "iteration": iteration}
    append_line(files.attempts, end | told)


def write_done(files: TaskFiles, **facts: Any) -> None:
    """Seal a run. Whoever finds `done.json` finds all other files whole."""
    write_json(files.done, {"time": time.time(), **facts})


def write_failed(files: TaskFiles, message: str, traceback: str = "") -> None:
    """Keep a failed run's last words."""
    write_json(files.failed, {"time": time.time(), "message": message, "traceback": traceback})


def reset(files: RunFiles) -> None:
    """Forget a run's result, checkpoints, snapshots and surfaces, to train it from the start; its attempts and log stay.

    Raises
    ------
    StudyError
        Another process is training it.
    """
    if lease.holder(files) is not None:
        raise StudyError(f"{files.run_id} is being trained; it cannot start over")
    surfaces.forget(files)
    # The seal goes first: if this is cut short, the run shows as interrupted, never as done without its files.
    found = (*files.checkpoints(), *files.snapshots(), *files.certificates())
    for path in (files.done, files.failed, *found, files.curves, files.probes):
        path.unlink(missing_ok=True)


# -- sweeps -----------------------------------------------------------------------------------------------------------


def write_sweep(files: SweepFiles, sweep: Sweep) -> None:
    """Record what a sweep names, so that status, collect and figures need no sweep file. No change, no write."""
    content = {
        "version": 1,
        "name": sweep.name,
        "description": sweep.description,
        "figures": list(sweep.figures),
        "runs": {run_id: spec.model_dump(mode="json") for run_id, spec in sweep.runs.items()},
    }
    if sweep.surfaces:
        content["surfaces"] = {name: surface.model_dump(mode="json") for name, surface in sweep.surfaces.items()}
    if read_json(files.sweep) != content:
        write_json(files.sweep, content)


def read_sweep(files: SweepFiles) -> dict[str, Any]:
    """What `write_sweep` recorded, as plain data: `name`, `description`, `figures`, `runs`, and `surfaces` where it names any.

    Raises
    ------
    StudyError
        No sweep of that name was started under this results folder; the nearest one is named.
    """
    content = read_json(files.sweep)
    if content is None:
        known = sweep_names(files.results)
        hint = nearest(files.name, known) or "; start one with `study sweep FILE`"
        raise StudyError(f"no sweep '{files.name}' under {files.results}/{hint}")
    if content.get("version") != 1:
        raise StudyError(f"{files.sweep}: has version {content.get('version')}; this program reads version 1")
    return content  # type: ignore[no-any-return]


def sweep_names(results: Path) -> list[str]:
    """The sweeps under a results folder."""
    return sorted(path.parent.name for path in results.glob("*/sweep.json"))

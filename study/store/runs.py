"""What is on disk about runs and sweeps: their specs, their states, how they ended."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError

from study.config.identity import SCHEMA, point_id, run_id
from study.config.run import RunSpec
from study.config.stored import upgraded
from study.config.sweep import Sweep
from study.errors import StudyError, nearest, printable
from study.store import lease, surfaces
from study.store.files import (
    DamagedError,
    append_line,
    check_version,
    digest,
    examine_lines,
    read_json,
    read_lines,
    remove,
    write_json,
)
from study.store.layout import RunFiles, SweepFiles, TaskFiles
from study.store.tables import read_curve

State = Literal["done", "diverged", "failed", "running", "interrupted", "pending"]
"""done and diverged are results; interrupted runs go on where their checkpoint is; pending ones were never started."""

ENDED: tuple[State, ...] = ("done", "diverged")


HUNG = 600.0
"""Seconds without a step, a batch of an evaluation or a measurement, after which a run is said to hang, perhaps."""

VERSION = 1
"""Of `done.json` and `failed.json`; a reader refuses a newer one."""


@dataclass(frozen=True)
class RunStatus:
    """A run as the files show it, without guessing."""

    run_id: str
    state: State
    iteration: int = 0
    attempts: int = 0
    message: str = ""
    """Why it failed; what to know of its result; which of its files are damaged; that it seems to hang."""
    error: float | None = None
    """Last test error (percent) of a run that is through or running."""
    progress: dict[str, Any] = field(default_factory=dict)
    """Last heartbeat of a running run: host, pid, iteration, error, images_per_second, seconds_left."""
    seal: dict[str, Any] = field(default_factory=dict)
    """What `done.json` says of a run that is through."""
    damage: str = ""
    """The part of `message` that is about damaged files."""
    record: list[dict[str, Any]] = field(default_factory=list, repr=False)
    """The sound lines of `attempts.jsonl`."""

    @property
    def data_digest(self) -> str | None:
        """Of the images that it was trained on; of one that is not through, of those that it was begun on."""
        begun = (line.get("data") for line in reversed(self.record) if line.get("event") == "images")
        return self.seal.get("data") or next(filter(None, begun), None)


def status(files: TaskFiles, *, curves: bool = True) -> RunStatus:
    """The state of one run.

    Parameters
    ----------
    curves
        Whether to look if the curves are those of the seal; False for who reads them anyway, with what the seal says of them.

    Raises
    ------
    StudyError
        It was sealed by a later version of this program.
    """
    lines, lost = examine_lines(files.attempts)
    attempts = sum(line.get("event") == "start" for line in lines)
    damages = [f"{lost} lines of {files.attempts.name} are damaged, and passed over"] if lost else []
    try:
        done = seal(files, curves=curves)
    except DamagedError as error:
        done = None
        damages.append(f"{error}; `study sweep` mends it from the run's checkpoint")
    damage = "; ".join(damages)

    def now(state: State, iteration: int, words: Iterable[str] = (), **facts: Any) -> RunStatus:
        message = printable("; ".join([*words, *damages]))
        return RunStatus(files.run_id, state, iteration, attempts, message, damage=damage, record=lines, **facts)

    if done is not None:
        state: State = "diverged" if done["outcome"] == "diverged" else "done"
        return now(state, done["iteration"], done.get("warnings", ()), error=done.get("error"), seal=done)
    held = lease.holder(files)
    if held is not None:
        at = held.get("iteration", checkpointed(files))  # where it goes on from, before it first tells where it is
        return now("running", int(at), _silence(held), error=held.get("error"), progress=held)
    iteration = checkpointed(files)
    words = last_words(files)
    if words is not None:
        return now("failed", iteration, [words])
    return now("interrupted" if attempts or lost or iteration else "pending", iteration)


def _silence(held: dict[str, Any]) -> Iterable[str]:
    """What to think of a run whose process lives, but has not been heard of, or has not got on, for long."""
    still = float(held.get("still", 0.0))
    end = f"if it hangs, end process {held.get('pid')} on {held.get('host')}: the same sweep goes on where its checkpoint is"
    if held["silent"] > lease.STALE:
        yield f"no heartbeat for {held['silent'] / 60:.0f} min; {end}"
    elif still > HUNG:
        yield f"no step for {still / 60:.0f} min; {end}"


def seal(files: TaskFiles, *, curves: bool = True) -> dict[str, Any] | None:
    """What `done.json` says of a run, or a chunk; None where it is not sealed. `curves` as of `status`.

    Raises
    ------
    DamagedError
        The seal is damaged, another run's, or its curves are not those that were sealed: it does not hold.
    StudyError
        It is of a later version of this program.
    """
    done = read_json(files.done)
    if done is None:
        return None
    check_version(files.done, done.get("version", 1), VERSION)
    if done.get("run_id", files.run_id) != files.run_id:
        raise DamagedError(f"{files.done}: is the seal of {done['run_id']}")
    if not isinstance(done.get("iteration"), int) or "outcome" not in done:
        raise DamagedError(f"{files.done}: is no seal")
    if curves and isinstance(files, RunFiles):
        check_curves(files, done.get("curves"))
    return done


def check_curves(files: RunFiles, sealed: str | None) -> None:
    """Raise DamagedError where a sealed run's curves are not those of its seal."""
    try:
        if sealed is None:  # of an earlier version, which did not note it
            read_curve(files)
        elif digest(files.curves.read_bytes()) != sealed:
            raise DamagedError(f"{files.curves}: is not what the run was sealed with")
    except FileNotFoundError:
        raise DamagedError(f"{files.curves}: is gone") from None


def last_words(files: TaskFiles) -> str | None:
    """What a run failed of; None where it has not failed."""
    try:
        failed = read_json(files.failed)
        if failed is None:
            return None
        if failed.get("run_id", files.run_id) != files.run_id:
            raise DamagedError(f"{files.failed}: is of {failed['run_id']}")
        return str(failed.get("message", ""))
    except DamagedError as error:
        return f"{error}, so what it failed of is not known"


def write_spec(files: RunFiles, spec: RunSpec) -> None:
    """Put a run's spec into its folder. That of a finished run stays: it says what was measured and kept of it."""
    with contextlib.suppress(DamagedError):
        if files.spec.exists() and (files.done.exists() or read_spec(files) == spec):
            read_spec(files)
            return
    write_json(files.spec, {"version": SCHEMA, **spec.model_dump(mode="json")})


def read_spec(files: RunFiles) -> RunSpec:
    """The stored spec of a run.

    Raises
    ------
    DamagedError
        It is not the one that the run is named for.
    StudyError
        There is none, or it is of a later version of this program.
    """
    content = read_json(files.spec)
    if content is None:
        raise StudyError(f"{files.spec}: is missing; start the run with `study sweep`")
    version = content.pop("version", 1)
    check_version(files.spec, version, SCHEMA)
    try:
        named = run_id(content) if version == SCHEMA else files.run_id  # ids of older versions were made otherwise
    except ValueError:  # NaN, which no spec has
        named = ""
    if named != files.run_id:
        raise DamagedError(f"{files.spec}: is not the spec that this run was named for; it was changed by hand")
    return checked_spec(content, files.spec)


def checked_spec(fields: Mapping[str, Any], place: Path) -> RunSpec:
    """A stored spec that can be trained or measured here.

    Raises
    ------
    StudyError
        It cannot: names what is not known here, in the file `place`.
    """
    try:
        return RunSpec.model_validate(upgraded(fields))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "spec"
        raise StudyError(
            f"{place}: {field}: {first['msg']}; this run can be looked at, but not trained or measured here: it is of another "
            "version of this program, or of a component that is not registered"
        ) from None


def run_of_point(results: Path, point: str, seed: int) -> RunFiles | None:
    """The run with this id without its seed, and this seed, under a results folder, wherever its sweep."""
    readable = point.rpartition("-")[0]
    for path in sorted(results.glob(f"*/runs/{readable}-s{seed}-*/spec.json")):
        files = RunFiles(path.parent)
        with contextlib.suppress(StudyError):
            if point_id(read_spec(files)) == point:
                return files
    return None


def start_attempt(files: TaskFiles, provenance: dict[str, Any], last_sign: float | None = None) -> None:
    """Record that a process starts to train a run; what an earlier attempt failed of no longer holds, nor a damaged seal.

    `last_sign` is when the attempt before last showed its heart beating, where it died without a word (`Lease.before`).
    """
    begun = {"event": "start", "time": time.time(), "from": checkpointed(files)}
    heard = {} if last_sign is None else {"last_sign": last_heard(files, last_sign)}
    append_line(files.attempts, begun | heard | provenance)
    for path in (files.failed, files.done):
        remove(path)


def record_images(files: TaskFiles, digest: str) -> None:
    """Record on which images a run is begun: its curve, too, is of those alone."""
    append_line(files.attempts, {"event": "images", "time": time.time(), "data": digest})


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
        why = last_words(files) or ""
    told = {"why": why} if why else {}
    end = {"event": "end", "time": time.time(), "outcome": outcome, "iteration": iteration}
    append_line(files.attempts, end | told)


def write_done(files: TaskFiles, **facts: Any) -> None:
    """Seal a run. Whoever finds `done.json` finds all other files whole.

    `curves` is the digest of a run's curves: a seal with others does not hold.
    """
    write_json(files.done, {"version": VERSION, "run_id": files.run_id, "time": time.time(), **facts})


def write_failed(files: TaskFiles, message: str, traceback: str = "") -> None:
    """Keep a failed run's last words."""
    told = {"time": time.time(), "message": message, "traceback": traceback}
    write_json(files.failed, {"version": VERSION, "run_id": files.run_id, **told})


def reset(files: RunFiles) -> None:
    """Forget a run's result, checkpoints, snapshots and surfaces, to train it from the start; its attempts and log stay.

    Raises
    ------
    StudyError
        Another process is training it.
    """
    held = lease.claim(files)
    if held is None:
        raise StudyError(f"{files.run_id} is being trained; it cannot start over")
    try:
        surfaces.forget(files)
        # The seal goes first: if this is cut short, the run shows as interrupted, never as done without its files.
        found = (*files.checkpoints(), *files.snapshots(), *files.certificates())
        for path in (files.done, files.failed, *found, files.curves, files.probes):
            remove(path)
    finally:
        held.release()


# -- sweeps -----------------------------------------------------------------------------------------------------------


class Record(NamedTuple):
    """Runs, and surfaces around them, as plain data by id."""

    runs: dict[str, Any]
    surfaces: dict[str, Any]


def write_sweep(files: SweepFiles, sweep: Sweep, before: Record | None = None) -> None:
    """Record what a sweep names, so that status, collect and figures need no sweep file. No change, no write.

    `before` is what is kept of the record that was there.
    """
    kept = before or Record({}, {})
    surfaces = {name: surface.model_dump(mode="json") for name, surface in sweep.surfaces.items()} | kept.surfaces
    content = {
        "version": 1,
        "name": sweep.name,
        "description": sweep.description,
        "figures": list(sweep.figures),
        "runs": {run_id: spec.model_dump(mode="json") for run_id, spec in sweep.whole.items()} | kept.runs,
    }
    if surfaces:
        content["surfaces"] = surfaces
    with contextlib.suppress(DamagedError):
        if read_json(files.sweep) == content:
            return
    write_json(files.sweep, content)


def read_sweep(files: SweepFiles) -> dict[str, Any]:
    """What `write_sweep` recorded, as plain data: `name`, `description`, `figures`, `runs`, and `surfaces` where it names any.

    Raises
    ------
    StudyError
        No sweep of that name was started under this results folder, the nearest one is named; or its record is damaged,
        or of a later version of this program.
    """
    try:
        content = read_json(files.sweep)
    except DamagedError as error:
        raise DamagedError(f"{error}; `study sweep FILE` writes it anew") from None
    if content is None and files.runs_table.exists():
        raise StudyError(f"{files.folder}/ has collected tables alone; its runs are where it was trained")
    if content is None:
        known = sweep_names(files.results)
        hint = nearest(files.name, known, listing="sweeps") or "; start one with `study sweep FILE`"
        raise StudyError(f"no sweep '{files.name}' under {files.results}/{hint}")
    check_version(files.sweep, content.get("version"), 1)
    return content


def sweep_names(results: Path) -> list[str]:
    """The sweeps under a results folder, those that were trained elsewhere and collected among them."""
    return sorted({path.parent.name for name in ("sweep.json", "runs.parquet") for path in results.glob(f"*/{name}")})

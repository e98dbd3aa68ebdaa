"""The files of a run, or of a chunk of a surface: spec, attempts, seal and failure; and the state that they show."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from study.config.identity import SCHEMA, run_id
from study.config.run import Kept, RunSpec
from study.config.stored import Stored, recorded, upgraded
from study.errors import StudyError, printable
from study.store import lease
from study.store.files import (
    DamagedError,
    append_line,
    digest,
    examine_lines,
    read_json,
    read_lines,
    remove,
    write_json,
)
from study.store.layout import RunFiles, TaskFiles
from study.store.tables import CURVES

State = Literal["done", "diverged", "at_chance", "failed", "running", "interrupted", "pending"]
"""The first three are results; interrupted runs continue from their checkpoint; pending ones were never started."""

LOST: dict[State, str] = {"diverged": "has diverged", "at_chance": "was stopped at chance"}
"""Results without a final error, in words."""
ENDED: tuple[State, ...] = ("done", *LOST)

HUNG = 600.0
"""Seconds without progress after which a run is reported as possibly stuck."""

VERSION = 1
"""Of `done.json` and `failed.json`; a reader refuses a newer one."""


@dataclass(frozen=True)
class RunStatus:
    """The state of a run, from its files."""

    run_id: str
    state: State
    iteration: int = 0
    attempts: int = 0
    message: str = ""
    """Why it failed, warnings about its result, which of its files are damaged, or that it may be stuck."""
    error: float | None = None
    """Last test error (percent) of a finished or running run."""
    progress: dict[str, Any] = field(default_factory=dict)
    """Last heartbeat of a running run: host, pid, iteration, error, images_per_second, seconds_left."""
    seal: dict[str, Any] = field(default_factory=dict)
    """The content of `done.json` of a finished run."""
    damage: str = ""
    """The part of `message` that is about damaged files."""
    record: list[dict[str, Any]] = field(default_factory=list, repr=False)
    """The intact lines of `attempts.jsonl`."""

    @property
    def data_digest(self) -> str | None:
        """Digest of the training images."""
        begun = (line.get("data") for line in reversed(self.record) if line.get("event") == "images")
        return self.seal.get("data") or next(filter(None, begun), None)


def status(files: TaskFiles, *, curves: bool = True) -> RunStatus:
    """Read the state of a run or chunk; raises `StudyError` if a later version of this program sealed it.

    With `curves=False`, files are not checked against the seal, for callers that read them with its digests.
    """
    lines, lost = examine_lines(files.attempts)
    attempts = sum(line.get("event") == "start" for line in lines)
    damages = [f"{lost} lines of {files.attempts.name} are damaged, and passed over"] if lost else []
    try:
        done = seal(files)
        if done is not None and curves:
            check_sealed(files, done)
    except DamagedError as error:
        done = None
        damages.append(f"{error}; `study sweep` mends it from the run's checkpoint")
    damage = "; ".join(damages)

    def now(state: State, iteration: int, words: Iterable[str] = (), **facts: Any) -> RunStatus:
        message = printable("; ".join([*words, *damages]))
        return RunStatus(files.run_id, state, iteration, attempts, message, damage=damage, record=lines, **facts)

    if done is not None:
        state: State = next((lost for lost in LOST if done["outcome"] == lost), "done")
        return now(state, done["iteration"], done.get("warnings", ()), error=done.get("error"), seal=done)
    held = lease.holder(files)
    if held is not None:
        at = held.get("iteration", checkpointed(files))  # the checkpoint, until its first report
        return now("running", int(at), _silence(held), error=held.get("error"), progress=held)
    iteration = checkpointed(files)
    words = failure_message(files)
    if words is not None:
        return now("failed", iteration, [words])
    return now("interrupted" if attempts or lost or iteration else "pending", iteration)


def _silence(held: dict[str, Any]) -> Iterable[str]:
    """Warn of a living process without heartbeat or progress."""
    still = float(held.get("still", 0.0))
    end = f"if it hangs, end process {held.get('pid')} on {held.get('host')}: the same sweep goes on where its checkpoint is"
    if held["silent"] > lease.STALE:
        yield f"no heartbeat for {held['silent'] / 60:.0f} min; {end}"
    elif still > HUNG:
        yield f"no step for {still / 60:.0f} min; {end}"


# -- seals ----------------------------------------------------------------------------------------------------------------


def write_done(files: TaskFiles, digests: Mapping[str, str] | None = None, **facts: Any) -> None:
    """Seal a run, chunk or surface, as its last act: all its other files are complete."""
    covers = {"files": dict(digests)} if digests else {}
    write_json(files.done, {"version": VERSION, "run_id": files.run_id, "time": time.time(), **covers, **facts})


def seal(files: TaskFiles) -> dict[str, Any] | None:
    """The content of `done.json`, with the digests of the files that it covers as `files`; None if there is none."""
    done = read_json(files.done, VERSION)
    if done is None:
        return None
    if done.get("run_id", files.run_id) != files.run_id:
        raise DamagedError(f"{files.done}: is the seal of {done['run_id']}")
    earlier = {"curves.parquet": done.pop("curves", None), "surface.parquet": done.pop("table", None)}
    done.setdefault("files", {name: told for name, told in earlier.items() if told})
    names = done["files"] if isinstance(done["files"], dict) else {"/": ""}
    if not isinstance(done.get("iteration"), int) or "outcome" not in done or any("/" in name for name in names):
        raise DamagedError(f"{files.done}: is no seal")
    return done


def reopen(files: RunFiles) -> None:
    """Remove the seal of a run that was stopped at chance, to train it further from its checkpoint."""
    with suppress(DamagedError):
        if (seal(files) or {}).get("outcome") == "at_chance":
            remove(files.done)


def check_sealed(files: TaskFiles, done: Mapping[str, Any]) -> None:
    """Raise `DamagedError` if a file is not the one that was sealed."""
    for name, told in done["files"].items():
        try:
            if digest((files.folder / name).read_bytes()) != told:
                raise DamagedError(f"{files.folder / name}: is not what the run was sealed with")
        except FileNotFoundError:
            raise DamagedError(f"{files.folder / name}: is gone") from None
    if isinstance(files, RunFiles) and files.curves.name not in done["files"]:  # sealed by an earlier version
        try:
            CURVES.read(files.curves, files.run_id)
        except FileNotFoundError:
            raise DamagedError(f"{files.curves}: is gone") from None


def write_failed(files: TaskFiles, message: str, traceback: str = "") -> None:
    """Record why a task failed."""
    told = {"time": time.time(), "message": message, "traceback": traceback}
    write_json(files.failed, {"version": VERSION, "run_id": files.run_id, **told})


def failure_message(files: TaskFiles) -> str | None:
    """Why a task failed; None if it has not failed."""
    try:
        failed = read_json(files.failed)
        if failed is None:
            return None
        if failed.get("run_id", files.run_id) != files.run_id:
            raise DamagedError(f"{files.failed}: is of {failed['run_id']}")
        return str(failed.get("message", ""))
    except DamagedError as error:
        return f"{error}, so the reason of its failure is unknown"


# -- specs ----------------------------------------------------------------------------------------------------------------


def write_spec(files: RunFiles, spec: RunSpec) -> None:
    """Write a run's spec. That of a finished run stays: it says what was measured and kept."""
    with suppress(DamagedError):
        if files.spec.exists() and (files.done.exists() or read_spec(files) == spec):
            read_spec(files)
            return
    write_json(files.spec, {"version": SCHEMA, **spec.model_dump(mode="json")})


def read_spec(files: RunFiles) -> RunSpec:
    """The stored spec of a run, to train or measure it. Raises as `stored_spec` and `checked_spec`."""
    return checked_spec(stored_spec(files), files.spec)


def stored_spec(files: RunFiles) -> dict[str, Any]:
    """The stored spec of a run, perhaps with unknown components. Raises DamagedError for another run's, else StudyError."""
    content = read_json(files.spec, SCHEMA)
    if content is None:
        raise StudyError(f"{files.spec}: is missing; start the run with `study sweep`")
    version = content.pop("version", 1)
    try:
        named = run_id(content) if version == SCHEMA else files.run_id  # ids of older versions were made otherwise
    except ValueError:  # NaN, which no spec has
        named = ""
    if named != files.run_id:
        raise DamagedError(f"{files.spec}: is not the spec that this run was named for; it was changed by hand")
    return content


def checked_spec(fields: Mapping[str, Any], place: Path) -> RunSpec:
    """A stored spec that can be trained or measured here; raises `StudyError` with the first field that is not known here."""
    try:
        return RunSpec.model_validate(upgraded(fields))
    except ValidationError as error:
        found = error.errors()  # what is trained has the first word, what is measured on the way the last
        first = next((item for item in found if item["loc"][:1] and item["loc"][0] not in Kept.model_fields), found[0])
        field = ".".join(map(str, first["loc"])) or "spec"
        raise StudyError(
            f"{place}: {field}: {first['msg']}; this run can be looked at, but not trained or measured here: it is of another "
            f"version of this program, or of a component that is not registered{_kept_code(fields, str(first['loc'][0]), place)}"
        ) from None


def _kept_code(fields: Stored, name: str, place: Path) -> str:
    """How to register a component of a stored spec, if its sweep, of which `place` is a file, has a copy of its code."""
    chosen = fields.get(name)
    code = chosen.get("code") if isinstance(chosen, Mapping) else None
    kept = (path for folder in place.parents[:3] for path in folder.glob("components/*.py"))
    copies = [path for path in kept if code and path.stem.endswith(f"-{code}")]
    if not copies:
        return ""
    of = f":{fields[name]['name']}" if recorded(fields).elsewhere else ""
    return f"; if you trust its code, add --use {shlex.quote(f'{copies[0]}{of}')}"


# -- attempts -------------------------------------------------------------------------------------------------------------


def start_attempt(files: TaskFiles, provenance: dict[str, Any], last_sign: float | None = None) -> None:
    """Record that a process starts to work on a run; removes an earlier failure message, or a damaged seal."""
    begun = {"event": "start", "time": time.time(), "from": checkpointed(files)}
    if last_sign is not None:  # a checkpoint is a sign of life, too
        begun["last_sign"] = max([last_sign, *(path.stat().st_mtime for path in files.checkpoints()[:1])])
    append_line(files.attempts, begun | provenance)
    for path in (files.failed, files.done):
        remove(path)


def record_images(files: TaskFiles, digest: str) -> None:
    """Record the images that a run starts with: it continues with no others."""
    append_line(files.attempts, {"event": "images", "time": time.time(), "data": digest})


def end_attempt(files: TaskFiles, outcome: str, iteration: int, why: str = "") -> None:
    """Record how an attempt ended: in a result, interrupted or failed, and why; by default with the failure message."""
    if outcome == "failed" and not why:
        why = failure_message(files) or ""
    told = {"why": why} if why else {}
    end = {"event": "end", "time": time.time(), "outcome": outcome, "iteration": iteration}
    append_line(files.attempts, end | told)


def fruitless_attempts(files: TaskFiles) -> int:
    """The number of latest attempts, since the last failure, that made no progress."""
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

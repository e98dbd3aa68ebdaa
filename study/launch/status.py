"""Where a sweep is, read off the disk. Nothing here writes, and nothing is guessed."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from rich.console import Group
from rich.table import Table
from rich.text import Text

from study.config.differences import differing, label, settings
from study.config.run import RunSpec
from study.config.stored import recorded
from study.config.surface import Surface
from study.errors import StudyError, printable
from study.launch.plan.runs import WORK
from study.launch.slurm.where import places
from study.store import runs as store
from study.store.collect import as_collected
from study.store.files import DamagedError
from study.store.layout import RunFiles, SweepFiles
from study.store.surfaces import of_runs
from study.store.surfaces import read_spec as read_surface
from study.text import counted, duration

if TYPE_CHECKING:
    from study.launch.plan.surfaces import SurfaceAction
    from study.launch.slurm.submit import Place

log = logging.getLogger(__name__)

COLOURS = {
    "done": "green",
    "diverged": "yellow",
    "failed": "red",
    "running": "cyan",
    "queued": "blue",
    "interrupted": "magenta",
    "pending": "dim",
    "unknown": "red",
}


def report(files: SweepFiles) -> list[dict[str, Any]]:
    """One plain record a run, in the sweep's order: what `study status --json` prints.

    The disk has the first word, the queue the second: `queued` is what the controller holds and nobody trains yet;
    `unknown` what was submitted, has left the queue without a result, and of which no accounting says why.

    Raises
    ------
    StudyError
        There is no such sweep.
    """
    files = SweepFiles(files.results, files.name)  # afresh: `--watch` sees the sweeps that were started meanwhile
    states = list(_states(files))
    where, trouble = _places(files)
    specs = [recorded(fields) for _, fields, _ in states]
    fields = differing(specs)
    records = [
        _record(run, spec, now, where.get(run.run_id), trouble)
        | {
            "label": label(spec, fields),
            "settings": settings(spec, fields),
            "data_digest": now.data_digest or stored.get("data_digest"),
        }
        for (run, stored, now), spec in zip(states, specs, strict=True)
    ]
    return _with_images(records, specs)


def _states(files: SweepFiles) -> Iterator[tuple[RunFiles, Mapping[str, Any], store.RunStatus]]:
    """Each run, its stored spec and its state: as it was collected where it was trained elsewhere, or was through and its
    folder is gone."""
    if not files.sweep.exists() and (collected := as_collected(files)):
        yield from ((files.run(name), fields, now) for name, (fields, now) in collected.items())
        return
    before = cache(lambda: _gone(files))
    for name, fields in store.read_sweep(files)["runs"].items():
        run = files.run(name)
        yield run, fields, (None if run.folder.exists() else before().get(name)) or store.status(run)


def _gone(files: SweepFiles) -> dict[str, store.RunStatus]:
    """The runs that were through when they were collected."""
    with suppress(DamagedError):  # then it is not known
        return {name: now for name, (_, now) in as_collected(files).items() if now.state in store.ENDED}
    return {}


def _with_images(records: list[dict[str, Any]], specs: Sequence[RunSpec]) -> list[dict[str, Any]]:
    """The records, with a word on which images a run was trained on where these changed between runs of a data set."""
    digests: dict[tuple[Any, ...], set[str]] = {}
    keys = [tuple(map(str, (spec.data, spec.train_subset, spec.train_subset_seed))) for spec in specs]
    for key, record in zip(keys, records, strict=True):
        digests.setdefault(key, set()).update(filter(None, [record["data_digest"]]))
    for key, record in zip(keys, records, strict=True):
        if len(digests[key]) > 1 and record["data_digest"]:
            word = f"on images {record['data_digest'][:8]}"
            record["message"] = "; ".join(filter(None, [word, record["message"]]))
    return records


def _places(files: SweepFiles) -> tuple[dict[str, Place], str]:
    """What the queue says, or nothing and why: the disk can still be read while the controller is down."""
    try:
        return places(files.results), ""
    except StudyError as error:
        return {}, str(error)


def _with_queue(now: store.RunStatus, place: Place | None, trouble: str) -> tuple[str, str]:
    """State and message of a run, the queue's word added to the disk's."""
    state, message = str(now.state), now.message
    if place is not None and place.waiting and state == "failed":
        return "queued", f"{place}; failed before: {message}"
    if state not in ("pending", "interrupted"):
        return state, message
    if place is None:
        return ("unknown", trouble) if trouble else (state, message)
    if place.waiting:
        return "queued", "; ".join(filter(None, [str(place), message]))
    words = place.last_words()
    told = "; ".join(filter(None, [f"{place}: {words}" if words else str(place), message]))
    return ("unknown" if place.job.state == "UNKNOWN" else state), told


def _record(files: RunFiles, spec: RunSpec, now: store.RunStatus, place: Place | None, trouble: str) -> dict[str, Any]:
    state, message = _with_queue(now, place, trouble)
    live = {key: now.progress.get(key) for key in ("host", "pid", "images_per_second", "seconds_left")}
    return {
        "run_id": files.run_id,
        "network": spec.network,
        "depth": spec.depth,
        "dataset": spec.dataset,
        "recipe": spec.recipe.name,
        "seed": spec.seed,
        "title": " ".join(filter(None, [spec.title, spec.variant])),
        "state": state,
        "iteration": now.iteration,
        "iterations": spec.recipe.iterations,
        "attempts": now.attempts,
        "error": now.error,
        **live,
        "job": place and place.job.job_id,
        "message": message,
        "folder": str(files.folder),
    }


def surfaces(files: SweepFiles) -> list[dict[str, Any]]:
    """One plain record a surface: those that the sweep names, and those that were measured besides."""
    from study.launch.surfaces import of_sweep  # not above: that module looks for runs here

    files = SweepFiles(files.results, files.name)
    if not files.sweep.exists():  # trained elsewhere
        return []
    sweep = store.read_sweep(files)
    if "surfaces" not in sweep and not any(files.results.glob("*/surfaces/*/spec.json")):
        return []
    specs = {name: recorded(fields) for name, fields in sweep["runs"].items()}
    named = _known(sweep.get("surfaces", {}))
    there = {item.run_id: read_surface(item) for item in of_runs(files.run(name) for name in specs)}
    where, trouble = _places(files)
    actions = of_sweep(files, named | there, specs).plan(where=where)
    return [_surface_record(action, where, trouble) for action in actions]


def _known(surfaces: Mapping[str, Any]) -> dict[str, Surface]:
    """The surfaces of a sweep's record, but for those of a later version, which are said."""
    found = {}
    for name, fields in surfaces.items():
        try:
            found[name] = Surface.model_validate(fields)
        except ValidationError:
            log.warning("surface %s is of another version of this program, and left out", name)
    return found


def _surface_record(action: SurfaceAction, where: Mapping[str, Place], trouble: str) -> dict[str, Any]:
    state, message = _surface_with_queue(action, where, trouble)
    return {
        "surface_id": action.files.run_id,
        "run_id": action.surface.run,
        "title": action.title,
        "state": state,
        "points_sealed": action.sealed,
        "points": action.points,
        "message": message,
        "folder": str(action.files.folder),
    }


def _surface_with_queue(action: SurfaceAction, where: Mapping[str, Place], trouble: str) -> tuple[str, str]:
    """As `_with_queue`: where the queue has, or had, the chunks of a surface that nobody measures."""
    message = "" if action.verb in ("start", "keep") else action.reason
    if action.verb not in WORK or action.state not in ("pending", "interrupted"):
        return action.state, message
    if trouble:
        return "unknown", trouble
    lost = [where[chunk.run_id] for chunk in action.chunks if chunk.run_id in where]
    if not lost:
        return action.state, message
    state = "unknown" if any(place.job.state == "UNKNOWN" for place in lost) else action.state
    words = next((f"{place}: {place.last_words()}" for place in lost if place.last_words()), str(lost[0]))
    return state, f"{message}; {words}" if message else words


def surfaces_picture(records: list[dict[str, Any]]) -> Group:
    """As `picture`, of surfaces."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("surface", "state", "points", "message"):  # a long title goes on below, not over the rest
        table.add_column(name, justify="right" if name == "points" else "left", no_wrap=name in ("state", "points"))
    for record in records:
        points = f"{record['points_sealed']:,}/{record['points']:,}" if record["points"] else ""
        state = Text(record["state"], COLOURS[record["state"]])
        table.add_row(Text(record["title"]), state, Text(points), Text(printable(record["message"])))
    counts = Counter(record["state"] for record in records)
    head = ", ".join(f"{counts[state]} {state}" for state in COLOURS if counts[state])
    return Group(table, Text(f"{counted(len(records), 'surface')}: {head}"))


def picture(records: list[dict[str, Any]]) -> Group:
    """The records as a table for a terminal, with a line that counts the states."""
    counts = Counter(record["state"] for record in records)
    head = ", ".join(f"{counts[state]} {state}" for state in COLOURS if counts[state])
    rows = [_cells(record) for record in records]
    table = Table(box=None, pad_edge=False, header_style="bold")
    used = [name for name in rows[0] if any(row[name].plain for row in rows)] if rows else []
    for name in used:
        numeric = name in ("iteration", "error %", "images/s", "left", "attempts")
        long = name in ("run", "message")  # goes on below, and is not cropped
        table.add_column(name, justify="right" if numeric else "left", no_wrap=not long, overflow="fold")
    for row in rows:
        table.add_row(*(row[name] for name in used))
    return Group(table, Text(f"{counted(len(records), 'run')}: {head}"))


def _cells(record: dict[str, Any]) -> dict[str, Text]:
    error, speed = record["error"], record["images_per_second"]
    return {
        "run": Text(record["label"]),
        "state": Text(record["state"], COLOURS[record["state"]]),
        "iteration": Text(f"{record['iteration']:,}/{_count(record['iterations'])}"),
        "error %": Text("" if error is None else f"{error:.2f}"),
        "images/s": Text("" if speed is None else f"{speed:,.0f}"),
        "left": Text(duration(record["seconds_left"]) if speed else ""),
        "where": Text(printable(record["host"] or "")),
        "job": Text(record["job"] or ""),
        "attempts": Text(str(record["attempts"] or "")),
        "message": Text(printable(record["message"])),
    }


def _count(number: Any) -> str:
    """A number as people write it; what is none, of another version, as it is."""
    return f"{number:,}" if isinstance(number, int) else "?" if number is None else printable(str(number))


def follow_log(files: RunFiles, follow: bool) -> Iterator[str]:
    """The text of a run's log; with `follow`, on and on as it grows."""
    if not files.log.exists() and not follow:
        raise StudyError(f"{files.run_id} has no log yet: it was not started")
    position = 0
    while True:
        if files.log.exists():
            with files.log.open(encoding="utf-8", errors="replace") as log:
                log.seek(position)
                yield log.read()
                position = log.tell()
        if not follow:
            return
        time.sleep(0.5)

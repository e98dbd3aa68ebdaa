"""The state of a sweep's runs and surfaces, for `study status`. Only reads."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from rich.text import Text

from study.config.differences import named
from study.config.stored import recorded
from study.config.surface import Surface
from study.errors import StudyError, printable
from study.launch.columns import NO_LIMIT, table
from study.launch.plan.state import decide
from study.launch.plan.surface import of_sweep
from study.launch.slurm.submissions import Place, places
from study.store import runs as store
from study.store.collect import Results
from study.store.find import of_runs
from study.store.layout import RunFiles, SweepFiles
from study.store.surfaces import read_spec as read_surface
from study.store.sweeps import read_sweep
from study.text import counted, duration

log = logging.getLogger(__name__)

COLOURS = {
    "done": "green",
    "diverged": "yellow",
    "at_chance": "yellow",
    "failed": "red",
    "running": "cyan",
    "queued": "blue",
    "interrupted": "magenta",
    "pending": "dim",
    "unknown": "red",
}

NUMBERS = ("iteration", "points", "error %", "images/s", "left", "attempts")

LEAST = ("attempts", "job", "where", "images/s", "left", "error %", "points", "iteration")
"""Columns that a narrow terminal does without, from the first on."""


def report(files: SweepFiles) -> list[dict[str, Any]]:
    """A plain record per run, in the sweep's order, as `study status --json` prints it; StudyError without such a sweep."""
    files = SweepFiles(files.results, files.name)  # afresh: `--watch` sees sweeps that were started meanwhile
    states = list(_states(files))
    where, trouble = _places(files)
    specs = [recorded(fields) for _, fields, _ in states]
    records = []
    for (run, stored, now), spec, told in zip(states, specs, named(specs), strict=True):
        task = decide(now, where.get(run.run_id), trouble)
        records.append(
            {
                "run_id": run.run_id,
                "network": spec.network,
                "depth": spec.depth,
                "dataset": spec.dataset,
                "recipe": spec.recipe.name,
                "seed": spec.seed,
                "title": " ".join(filter(None, [spec.title, spec.variant])),
                "state": task.state,
                "iteration": now.iteration,
                "iterations": spec.recipe.iterations,
                "attempts": now.attempts,
                "error": now.error,
                **{key: now.progress.get(key) for key in ("host", "pid", "images_per_second", "seconds_left")},
                "job": task.job,
                "message": task.message,
                "folder": str(run.folder),
                "label": told.label,
                "settings": told.settings,
                "data_digest": now.data_digest or stored.get("data_digest"),
            }
        )
    return records


def _states(files: SweepFiles) -> Iterator[tuple[RunFiles, Mapping[str, Any], store.RunStatus]]:
    """Each run, its stored spec and its state; as collected if it was trained elsewhere or its folder is gone."""
    results = Results(files)
    if results.alone:
        yield from ((files.run(name), fields, now) for name, (fields, now) in results.records().items())
        return
    named = read_sweep(files)["runs"]
    runs = {name: files.run(name) for name in named}
    found = results.states(runs)
    gone = results.gone({name: runs[name] for name, now in found.items() if now.state == "pending"})
    yield from ((run, named[name], gone.get(name) or found[name]) for name, run in runs.items())


def _places(files: SweepFiles) -> tuple[dict[str, Place], str]:
    """What the queue says, or nothing and why: the disk can be read while the controller is down."""
    try:
        return places(files.results), ""
    except StudyError as error:
        return {}, str(error)


def surfaces(files: SweepFiles) -> list[dict[str, Any]]:
    """A plain record per surface: those named by the sweep, and any others around its runs."""
    files = SweepFiles(files.results, files.name)
    if not files.sweep.exists():  # trained elsewhere
        return []
    sweep = read_sweep(files)
    if "surfaces" not in sweep and not any(files.results.glob("*/surfaces/*/spec.json")):
        return []
    specs = {name: recorded(fields) for name, fields in sweep["runs"].items()}
    named = {}
    for name, fields in sweep.get("surfaces", {}).items():
        try:
            named[name] = Surface.model_validate(fields)
        except ValidationError:
            log.warning("surface %s is of another version of this program: left out", name)
    there = {item.run_id: read_surface(item) for item in of_runs(files.run(name) for name in specs)}
    where, trouble = _places(files)
    return [
        {
            "surface_id": action.files.run_id,
            "run_id": action.surface.run,
            "title": action.title,
            "state": action.state,
            "points_sealed": action.sealed,
            "points": action.points,
            "message": "" if action.verb in ("start", "keep") and action.state != "unknown" else action.reason,
            "folder": str(action.files.folder),
        }
        for action in of_sweep(files, named | there, specs).plan(where=where, trouble=trouble)
    ]


def picture(records: Sequence[Mapping[str, Any]], width: int = NO_LIMIT, height: int = NO_LIMIT) -> Text:
    """Records, all of runs or all of surfaces, as columns that fit a width, and a line that counts the states."""
    surfaces = any("surface_id" in record for record in records)
    busy = [record for record in records if record["state"] not in ("done", "queued", "pending")]
    shown = records if len(records) <= height else busy[:height]
    rows = [_surface_cells(record) if surfaces else _cells(record) for record in shown]
    text = table(rows, width, LEAST, NUMBERS, lambda name, value: COLOURS[value] if name == "state" else "")
    counts = Counter(record["state"] for record in records)
    head = ", ".join(f"{counts[state]} {state}" for state in COLOURS if counts[state])
    return text.append(f"{counted(len(records), 'surface' if surfaces else 'run')}: {head}")


def _surface_cells(record: Mapping[str, Any]) -> dict[str, str]:
    return {
        "surface": record["title"],
        "state": record["state"],
        "points": f"{record['points_sealed']:,}/{record['points']:,}",
        "message": printable(record["message"]),
    }


def _cells(record: Mapping[str, Any]) -> dict[str, str]:
    error, speed, iterations = record["error"], record["images_per_second"], record["iterations"]
    # Of another version, the number of iterations may be anything.
    of = f"{iterations:,}" if isinstance(iterations, int) else printable(str("?" if iterations is None else iterations))
    return {
        "run": record["label"],
        "state": record["state"],
        "iteration": f"{record['iteration']:,}/{of}",
        "error %": "" if error is None else f"{error:.2f}",
        "images/s": "" if speed is None else f"{speed:,.0f}",
        "left": duration(record["seconds_left"]) if speed else "",
        "where": printable(record["host"] or ""),
        "job": record["job"] or "",
        "attempts": str(record["attempts"] or ""),
        "message": printable(record["message"]),
    }


def follow_log(files: RunFiles, follow: bool) -> Iterator[str]:
    """The text of a run's log; with `follow`, as it grows, without end."""
    if not files.log.exists() and not follow:
        raise StudyError(f"{files.run_id} has no log: it was not started")
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

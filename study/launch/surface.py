"""Surfaces: which are requested, getting them ready, and a line on each result."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from study.config.run import RunSpec
from study.config.spread import SurfaceEntry, expand
from study.config.surface import Surface
from study.config.yaml import Document, scalar
from study.errors import StudyError
from study.launch.machine import Machine, images_of, prepare_data
from study.launch.plan.state import WORK
from study.launch.plan.surface import SurfaceAction, SurfaceRequest, of_sweep
from study.launch.slurm.queue import need_a_cluster
from study.measure.recorded import contradiction
from study.measure.surface.lattice import chunks
from study.networks.count import counted as count
from study.networks.count import measured
from study.store import runs as store
from study.store import surfaces as surface_store
from study.store.files import read_checked
from study.store.find import all_runs, one_run
from study.store.housekeeping import reset_surface
from study.store.layout import RunFiles, SweepFiles
from study.store.sweeps import read_sweep
from study.store.tables import read_table
from study.text import counted

CHUNKS_PER_JOB = 8
"""On a cluster, unless told otherwise: 512 points."""


def request(files: SweepFiles, settings: Mapping[str, Any], to: Sequence[str] = ()) -> SurfaceRequest:
    """The surfaces of a sweep's runs, or of one run.

    `settings` are those of an entry of a sweep file's `surfaces`; without any, the sweep's own are meant, if it has some.
    `to` are the other runs of `plane: interpolate`: ids, or `field=value` in which they differ from each centre.
    """
    sweep = read_sweep(files) if files.sweep.exists() else None
    if sweep is None:
        run = one_run(files)
        specs = {run.run_id: store.read_spec(run)}
        files = SweepFiles(files.results, run.folder.parent.parent.name)
    else:
        specs = {name: store.checked_spec(fields, files.sweep) for name, fields in sweep["runs"].items()}
        if not settings and not to and sweep.get("surfaces"):
            return of_sweep(files, {k: Surface.model_validate(v) for k, v in sweep["surfaces"].items()}, specs)
    ids = tuple(one_run(SweepFiles(files.results, text)).run_id for text in to if "=" not in text)
    changes = [_changes(text) for text in to if "=" in text]
    known = dict(specs)
    for name, run in all_runs(files.results).items() if changes else ():
        with suppress(StudyError):  # of another version, or damaged: no run to join with
            known[name] = store.read_spec(run)
    document, entry = Document("study surface"), checked(settings, (*ids, *changes))
    surfaces = expand(document, [entry], specs, known)
    document.check()
    return of_sweep(files, surfaces, specs)


def checked(settings: Mapping[str, Any], to: Sequence[Any] = ()) -> SurfaceEntry:
    """Settings, as for `request`, and the other runs. Raises StudyError with a line for each mistake."""
    return Document("study surface").checked(SurfaceEntry, {**settings, "to": list(to)})


def _changes(text: str) -> dict[str, Any]:
    """`seed=1`, or `seed=1 depth=20`."""
    changes = {}
    for word in text.split():
        field, equals, value = word.partition("=")
        if not equals:
            raise StudyError(f"--to {text}: write it as field=value, e.g. seed=1, or name a run")
        changes[field] = scalar(value)
    return changes


def with_bn(
    surfaces: Mapping[str, Surface], specs: Mapping[str, RunSpec], root: Path
) -> tuple[dict[str, Surface], list[str]]:
    """The surfaces without those about BN's statistics of networks without BN, and a line on these.

    Only networks with parts of the user's own are looked at: what they have shows when they are built. Raises StudyError if
    no surface is left.
    """
    asked = {name: specs[of.run] for name, of in surfaces.items() if of.bn != "frozen" and measured(specs[of.run])}
    prepare_data(list(asked.values()), root)
    lacking = {name: spec for name, spec in asked.items() if not count(spec, *images_of(spec, root)).normalised}
    titles = ", ".join(dict.fromkeys(spec.title for spec in lacking.values()))
    if lacking and len(lacking) == len(surfaces):
        raise StudyError(
            f"bn: {surfaces[next(iter(lacking))].bn} needs BN, and there is none in {titles}; leave bn out"
        )
    said = f"note: {counted(len(lacking), 'surface')} left out: bn needs BN, and there is none in {titles}"
    return {name: of for name, of in surfaces.items() if name not in lacking}, [said] if lacking else []


def check(actions: Sequence[SurfaceAction], asked: SurfaceRequest, machine: Machine) -> dict[str, str]:
    """Get data sets and the runs' specs ready; by id, why a surface cannot be measured."""
    work = [action for action in actions if action.verb in WORK]
    if work and machine.executor == "slurm":
        need_a_cluster()
    prepare_data([asked.specs[action.surface.run] for action in work], machine.data_root)
    for name in {name for a in work for name in (a.surface.run, *a.surface.to)} & asked.specs.keys():
        store.write_spec(asked.runs[name], asked.specs[name])  # a finished run may have lost it
    new = [action for action in work if not action.files.planes()]
    named = {name for a in new for name in (a.surface.run, *a.surface.to)}
    sound = {name for name in named if any(map(_sound, asked.runs[name].checkpoints()))}
    wrong = {}
    for of, files in ((action.surface, action.files) for action in new):
        if lacking := [name for name in (of.run, *of.to) if name not in sound]:
            what = f"{lacking[0]} has no sound checkpoint; train it again with"
            wrong[files.run_id] = f"{what} `study sweep FILE --mode force`"
        elif of.plane == "pca" and (kept := len(asked.runs[of.run].snapshots())) <= of.dims:
            what = f"{of.run} kept {counted(kept, 'snapshot')}, too few for plane pca; train it again with"
            wrong[files.run_id] = f"{what} `study sweep FILE snapshot_every=epoch --mode force`"
    return wrong


def _sound(checkpoint: Path) -> bool:
    with suppress(OSError, ValueError):
        read_checked(checkpoint)
        return True
    return False


def open_packs(actions: Sequence[SurfaceAction], jobs: int | None = None, size: int = 1) -> list[list[Path]]:
    """Create a folder with its spec for each surface to measure; the chunks' folders, in packs of one surface each."""
    batches = []
    for action in actions:
        if action.verb not in WORK:
            continue
        if action.verb == "redo":
            reset_surface(action.files)
        surface_store.write_spec(action.files, action.surface)
        todo = list(action.chunks)
        if not todo and not surface_store.finish(action.files, chunks(action.surface)):  # some points are damaged
            todo = [c for key in chunks(action.surface) if not (c := action.files.chunk(key)).done.exists()]
        step = -(-len(todo) // jobs) if jobs and todo else size
        batches += [[c.folder for c in todo[start : start + step]] for start in range(0, len(todo), step)]
    return batches


def summary(action: SurfaceAction, run: RunFiles) -> tuple[str, list[str]]:
    """A line on a finished surface: its lowest and highest loss and that at the centre, of the training set if measured."""
    table = read_table(action.files.table).to_pylist()
    surface, split = action.surface, action.surface.splits[0]
    centre = [row for row in table if row["alpha"] == row["beta"] == 0.0]
    rows = [row for row in table if row["split"] == split and row["iteration"] is None]
    finite = [row["loss"] for row in rows if math.isfinite(row["loss"])]
    words = [f"{split} loss {min(finite):.3g} to {max(finite):.3g}" if finite else f"no finite {split} loss"]
    words += [f"no number at {len(rows) - len(finite)} points"] if len(finite) < len(rows) else []
    words += [f"{row['loss']:.4g} at the centre" for row in centre if row in rows]
    doubts = []
    for row in centre if surface.bn == "frozen" else ():
        if row["residual"] in (None, 0.0):
            images = row["images"] if row["split"] == "train" and surface.subset is not None else None
            doubts.append(contradiction(run, row["split"], row["loss"], images))
    return f"{action.title}: {', '.join(words)}", list(filter(None, dict.fromkeys(doubts)))

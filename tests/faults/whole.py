"""Sweeps to be disturbed, and what one must look like whatever happened to it: all of an undisturbed one, once, nothing else."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from study.store.files import read_json, read_lines
from study.store.layout import RunFiles, SweepFiles
from study.store.tables import read_table
from tests.faults.warm import Warm
from tests.helpers import attempts, points, read_rows
from tests.launch.command import Done, inside

SWEEP = """
fixed: {data: digits, train_subset: 160, depth: 8, seed: 0, probes: [weights], probe_every: 15, snapshot_every: 10,
  recipe: {name: quick, iterations: 30, batch_size: 16, evaluate_every: 10, log_every: 5, schedule: {at: [20]}}}
grid: {network: [plain, residual]}
surfaces:
  - {dims: 1, points: 3, data: train, subset: 64}
figures: [degradation]
"""
"""A sweep with every kind of file, which takes three seconds once everything is imported."""

SMALL = """
fixed: {data: digits, network: plain, train_subset: 100, depth: 8, seed: 0, probes: [weights], probe_every: 6,
  snapshot_every: 6, recipe: {name: quick, iterations: 12, batch_size: 16, evaluate_every: 6, log_every: 3}}
surfaces:
  - {dims: 1, points: 2, data: train, subset: 32}
"""
"""A sweep of a second, to be disturbed at every operation."""
WORDS = ("sweep", "tiny.yaml", "--threads", "1", "--checkpoint-seconds", "0")

NAME = "tiny"
OF_THE_ATTEMPTS = ("attempts", "seconds", "started", "finished", "executor", "host", "node", "commit", "dirty")
"""Columns of `runs.parquet` that say how a run was trained, not its results."""

TORN = re.compile(r"\d+ lines of attempts\.jsonl are damaged, and passed over(; )?")
"""The message about a run that was killed, or met a full disk, while it wrote to its record of attempts."""

Rows = list[tuple[Any, ...]]
Whole = dict[str, Rows | bytes | None]
"""The files of a sweep by path: what is in them, but for times and places; None of those that depend on times throughout."""


def sweep_file(folder: Path, text: str = SWEEP) -> Path:
    """Make a folder and write the sweep file into it; returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{NAME}.yaml"
    path.write_text(text)
    return path


def files_of(folder: Path) -> SweepFiles:
    """The sweep's files below the folder in which its command ran."""
    return SweepFiles(folder / "results", NAME)


def runs_of(folder: Path) -> list[RunFiles]:
    """Its runs that have folders, by id."""
    runs = files_of(folder).runs
    return [RunFiles(path) for path in sorted(runs.iterdir())] if runs.exists() else []


def read(folder: Path) -> Whole:
    """All of a sweep's results and figures."""
    results, figures = files_of(folder).folder, folder / "figures" / NAME
    found: Whole = {}
    for path in (path for top in (results, figures) for path in top.rglob("*") if path.is_file()):
        name = re.sub(r"/checkpoint-(\d+)-[0-9a-f]{16}\.pt$", r"/checkpoint-\1.pt", str(path.relative_to(folder)))
        if path.parent == figures or re.match(r"(snapshot|plane|points|surface)", path.name):
            found[name] = path.read_bytes()
        else:
            found[name] = _rows(path) if path.suffix == ".parquet" else None
    return found


def _rows(path: Path) -> Rows:
    """A table without columns that depend on time and place."""
    keep = [name for name in read_table(path).column_names if name not in OF_THE_ATTEMPTS]
    return [tuple(TORN.sub("", repr(row[name])) for name in keep) for row in read_rows(path)]


def differences(whole: Whole, undisturbed: Whole) -> Iterator[str]:
    """Each difference between a sweep and the undisturbed one, as a line."""
    for name in sorted(whole.keys() | undisturbed.keys()):
        if name not in undisturbed:
            yield f"{name} is there"
        elif name not in whole:
            yield f"{name} is missing"
        elif whole[name] != undisturbed[name]:
            yield f"{name} has other rows" if name.endswith(".parquet") else f"{name} has another content"


def trained_once(folder: Path) -> Iterator[str]:
    """Each run that was not finished exactly once, by the record of its attempts, as a line."""
    for files in runs_of(folder):
        outcomes = [row["outcome"] for row in attempts(files)]
        if files.done.exists() and outcomes[-1:] == [None]:
            outcomes[-1] = "done"  # killed between the seal, which counts, and the last line of the record
        if outcomes.count("done") != 1 or outcomes[-1] != "done":
            yield f"{files.run_id} has the attempts {outcomes}"
        begun = sum(line["event"] == "start" for line in read_lines(files.attempts))
        if begun != len(outcomes):
            yield f"{files.run_id} was begun {begun} times, and has {len(outcomes)} attempts"


def half_done(folder: Path, undisturbed: dict[str, Rows]) -> Iterator[str]:
    """Each thing in a killed sweep that is not a part of the undisturbed curves, by run id, as a line."""
    for files in runs_of(folder):
        read_json(files.done), read_json(files.spec)
        if not files.curves.exists():
            if files.done.exists():
                yield f"{files.run_id} is sealed, and has no curve"
            continue
        curve = points(files)
        whole = undisturbed[files.run_id]
        if not set(curve) <= set(whole):
            yield f"{files.run_id} has points that no undisturbed run has"
        if files.done.exists() and curve != whole:
            yield f"{files.run_id} is sealed with {len(curve)} of {len(whole)} points"


def curves_of(folder: Path) -> dict[str, Rows]:
    """The curve of each run that has one, without its seconds."""
    return {files.run_id: points(files) for files in runs_of(folder) if files.curves.exists()}


FILES = (
    *("checkpoint-", "snapshot-", "curves.parquet", "probes.parquet", "surface.parquet", "surfaces.parquet", "plane"),
    *("points-", "sweep.json", "spec.json", "attempts.jsonl", "collected.json", "runs.parquet", "lease", "heartbeat"),
    *("done.json", "/log", "/figures/"),
)
"""Kinds of files, by a part of their paths."""


def kind_of(path: str) -> str:
    """The kind of a file; empty for a folder."""
    return next((name for name in FILES if name in path), "")


class Undisturbed:
    """The results of `SMALL` when it is left alone, and how many operations of each kind it does on each kind of file."""

    def __init__(self, warm: Warm) -> None:
        folder = warm.layer.root / "undisturbed"
        sweep_file(folder, SMALL)
        warm.layer.arm()
        ended = warm.run(folder, *WORDS)
        assert ended.code == 0, ended.err
        self.whole, self.curves = read(folder), curves_of(folder)
        self.operations = Counter((kind_of(o.path), o.kind) for o in warm.layer.operations())


# -- a sweep with every kind of file, trained in this process; and ways to damage a file -------------------------------

DAMAGED = """
fixed: {data: digits, depth: 8, seed: 0, train_subset: 200, probes: [weights], probe_every: 3, snapshot_every: 3,
  recipe: {name: quick, iterations: 6, log_every: 2, evaluate_every: 3, batch_size: 32}}
grid: {network: [plain, residual]}
surfaces:
  - {of: {network: residual}, plane: random, points: 3, subset: 100}
"""


def sweep(folder: Path, *options: str) -> Done:
    """Train and measure the sweep, or what is left of it."""
    return inside(folder, "sweep", sweep_file(folder, DAMAGED).name, *options)


def run_of(folder: Path, network: str) -> RunFiles:
    """The files of its run of this network."""
    (found,) = files_of(folder).runs.glob(f"{network}-*")
    return RunFiles(found)


def measured(path: Path) -> pa.Table:
    """A table without the seconds, in which two trainings of one run may differ."""
    table = read_table(path)
    return table.drop_columns([name for name in ("seconds",) if name in table.column_names])


Damage = Callable[[bytes], bytes | None]
"""From a file's content to another; None removes the file."""


def flipped(places: Sequence[float] = (0.5,)) -> Damage:
    """One bit changed at each of these places, in parts of the file."""

    def change(content: bytes) -> bytes:
        changed = bytearray(content)
        for place in places:
            changed[int(place * len(content))] ^= 0x10
        return bytes(changed)

    return change


DAMAGES: dict[str, Damage] = {
    "cut short": lambda content: content[: len(content) // 2],
    "a bit flipped": flipped(),
    "emptied": lambda content: b"",
    "gone": lambda content: None,
}


def damage(path: Path, how: Damage) -> None:
    """Do that to a file."""
    content = how(path.read_bytes())
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)

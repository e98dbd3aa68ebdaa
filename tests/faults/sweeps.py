"""A small sweep with every kind of file, trained in this process; and ways to damage a file."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa

from study.store.layout import RunFiles
from study.store.tables import read_table
from tests.faults.whole import files_of, sweep_file
from tests.launch.command import Done, inside

SWEEP = """
fixed: {data: digits, depth: 8, seed: 0, train_subset: 200, probes: [weights], probe_every: 3, snapshot_every: 3,
  recipe: {name: quick, iterations: 6, log_every: 2, evaluate_every: 3, batch_size: 32}}
grid: {network: [plain, residual]}
surfaces:
  - {of: {network: residual}, plane: random, points: 3, subset: 100}
"""


def sweep(folder: Path, *options: str) -> Done:
    """Train and measure the sweep, or what is left of it."""
    return inside(folder, "sweep", sweep_file(folder, SWEEP).name, *options)


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

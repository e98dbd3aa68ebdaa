"""A small sweep that has all there is, trained in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import pyarrow as pa

from study.cli import app as cli
from study.store.layout import RunFiles, SweepFiles
from study.store.tables import read_table

SWEEP = """\
name: small
fixed:
  data: digits
  depth: 8
  seed: 0
  train_subset: 200
  recipe: {name: quick, iterations: 6, log_every: 2, evaluate_every: 3, batch_size: 32}
  probes: [weights]
  probe_every: 3
  snapshot_every: 3
grid: {network: [plain, residual]}
surfaces:
  - {of: {network: residual}, plane: random, points: 3, subset: 100}
"""


class Said(NamedTuple):
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str


def study(*arguments: str | Path) -> Said:
    """The command `study`, in this process."""
    out, err = StringIO(), StringIO()
    with ExitStack() as stack:
        stack.enter_context(patch.object(sys, "argv", ["study", *map(str, arguments)]))
        stack.enter_context(redirect_stdout(out))
        stack.enter_context(redirect_stderr(err))
        try:
            cli.main()
        except SystemExit as ended:
            return Said(int(ended.code or 0), out.getvalue(), err.getvalue())
    raise AssertionError("it ended without an exit code")


def sweep(folder: Path, *options: str) -> Said:
    """Have the sweep trained and measured, or go on with it."""
    file = folder / "small.yaml"
    file.write_text(SWEEP)
    return study(
        "sweep", file, "--executor", "debug", "--results", folder / "results", "--figures", folder / "figures", *options
    )


def files_of(folder: Path) -> SweepFiles:
    """The sweep's files."""
    return SweepFiles(folder / "results", "small")


def run_of(folder: Path, network: str) -> RunFiles:
    """The files of its run of this network."""
    (found,) = files_of(folder).runs.glob(f"{network}-*")
    return RunFiles(found)


def measured(path: Path) -> pa.Table:
    """A table without the seconds, in which two trainings of one run may differ."""
    table = read_table(path)
    return table.drop_columns([name for name in ("seconds",) if name in table.column_names])


Damage = Callable[[bytes], bytes | None]
"""From a file's content to another; None: the file goes."""


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

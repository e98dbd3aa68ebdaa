"""Runs and sweeps by what the user calls them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from study.errors import StudyError, nearest
from study.store import runs as store
from study.store.layout import RunFiles, SweepFiles

if TYPE_CHECKING:
    pass


def find_run(results: Path, text: str) -> RunFiles:
    """The run whose id is, or begins with, `text`.

    Raises
    ------
    StudyError
        No run is called so, or several are.
    """
    folders = {path.parent.name: path.parent for path in results.glob("*/runs/*/spec.json")}
    if text in folders:
        return RunFiles(folders[text])
    found = [name for name in sorted(folders) if text and name.startswith(text)]  # nothing is the beginning of all
    if len(found) == 1:
        return RunFiles(folders[found[0]])
    if found:
        raise StudyError(f"'{text}' fits {len(found)} runs: {', '.join(found[:4])}{', ...' if len(found) > 4 else ''}")
    raise StudyError(f"no run '{text}' under {results}/{nearest(text, folders) if folders else ''}")


def one_run(files: SweepFiles) -> RunFiles:
    """The run that is called as a sweep would be. Raises as `find_run`, with the nearest sweep too."""
    try:
        return find_run(files.results, files.name)
    except StudyError as error:
        if files.runs_table.exists():
            store.read_sweep(files)  # says what there is
        raise StudyError(
            f"{error}; nor is a sweep called so{nearest(files.name, store.sweep_names(files.results), listing='sweeps')}"
        ) from None


def all_runs(results: Path) -> dict[str, RunFiles]:
    """The files of every run under a results folder, by id."""
    return {path.parent.name: RunFiles(path.parent) for path in sorted(results.glob("*/runs/*/spec.json"))}

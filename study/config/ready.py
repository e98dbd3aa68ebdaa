"""Sweep files by path, and the ready ones by name."""

from __future__ import annotations

from pathlib import Path

from study.errors import StudyError, nearest
from study.text import user_path


def find_sweep_file(name: str) -> Path:
    """A sweep file by its path, or by its name here or in `sweeps/`. Raises StudyError if there is none."""
    path = user_path(name)
    if path.exists() or "/" in name:
        if path.is_dir():
            raise StudyError(f"{path}: is a folder, not a sweep file")
        return path  # if it does not exist, reading it says so
    known = ready_sweeps() | {here.stem: here for here in Path().glob("*.yaml")}
    stem = name.removesuffix(".yaml")
    if stem in known:
        return known[stem]
    raise StudyError(f"{name}: no such file here or in sweeps/{nearest(stem, known, listing='sweeps')}")


def ready_sweeps() -> dict[str, Path]:
    """The sweep files in `sweeps/` in the working directory and in the package, by name."""
    package = Path(__file__).parent.parent
    folders = [package / "_sweeps", package.parent / "sweeps", Path("sweeps")]
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml"))}

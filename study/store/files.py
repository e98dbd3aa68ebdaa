"""Writing so that a reader, here or on another machine, never sees half a file."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import uuid
from pathlib import Path
from typing import Any

from study.errors import StudyError


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file as one act: a temporary file of a unique name beside it, fsync, `os.replace`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make a rename outlive a power cut, where the file system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def digest(content: bytes) -> str:
    """The first 16 hex digits of the SHA-256, which the names of checkpoints carry."""
    return hashlib.sha256(content).hexdigest()[:16]


def read_checked(path: Path, *, aside: bool = False) -> bytes:
    """The content of a file whose name ends with its digest.

    Parameters
    ----------
    aside
        Rename one that is damaged, or it would count as the newest, and be kept in place of a sound one. For those who
        write such files: who only looks changes nothing.

    Raises
    ------
    ValueError
        It is damaged.
    OSError
        It cannot be read.
    """
    content = path.read_bytes()
    if digest(content) != path.stem.rpartition("-")[2]:
        with contextlib.suppress(OSError):  # another process was quicker
            if aside:
                path.rename(path.with_name(f"damaged-{path.name}"))
        raise ValueError("its content does not match the checksum in its name")
    return content


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file as one act. NaN and infinity are refused: they are not JSON."""
    write_bytes(path, (json.dumps(value, indent=1, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """The content of a JSON file, or None where there is no such file.

    Raises
    ------
    StudyError
        The file is damaged.
    """
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise StudyError(f"{path}: is damaged ({error}); put it back from a backup, or remove it") from None


def append_line(path: Path, value: Any) -> None:
    """Append one JSON line: a single write, so that lines of several writers do not mix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, (json.dumps(value) + "\n").encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """All whole JSON objects of a file, a line each; what a crash cut short or damaged is left out."""
    try:
        lines = path.read_text("utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    result = []
    for line in lines:
        with contextlib.suppress(json.JSONDecodeError):
            content = json.loads(line)
            if isinstance(content, dict):
                result.append(content)
    return result


def sweep_away_temporaries(folder: Path) -> None:
    """Remove what writers that were killed left in a folder; only for the one who holds its lease."""
    for path in folder.glob(".*.tmp"):
        # Somebody else may be asking for the lease just now; a draft that is being written has two dots.
        if not path.name.lstrip(".").startswith("lease"):
            path.unlink(missing_ok=True)

"""Atomic writing, and reading that detects damage."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from study.errors import StudyError
from study.store import process

LEFTOVER = 7 * 86400.0
"""Seconds after which a temporary file of another machine is removed."""

SUM = "sha256"
"""The key of the checksum of the other content in a JSON file."""


class DamagedError(StudyError):
    """A file is not what was written: cut short, changed, or from elsewhere."""


class WriteError(OSError):
    """A file below the results folder could not be written: a full or failing disk, or missing permissions."""

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}"


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn errors of the operating system during a write into a `WriteError` that names the file."""
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        raise WriteError(error.errno, error.strerror or str(error), str(path)) from error


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file atomically: write a temporary file, fsync, rename. Raises WriteError; the old content then stays."""
    temporary = draft(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def remove(path: Path) -> None:
    """Remove a file if it exists. Raises WriteError."""
    with writing(path):
        path.unlink(missing_ok=True)


def move(path: Path, target: Path) -> None:
    """Rename a file or folder to a name that is free. Raises WriteError."""
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
        _sync_folder(target.parent)


def discard(path: Path, results: Path) -> None:
    """Remove a folder below a results folder: whole by one rename, then file by file. Raises WriteError."""
    aside = draft(results / "removed")
    try:
        move(path, aside / "it")  # one folder deeper, where nothing looks for sweeps and runs
    except WriteError:
        with contextlib.suppress(OSError):
            aside.rmdir()
        if os.path.lexists(path):
            raise
        return  # another process was quicker
    with writing(path):
        (aside / "it").unlink() if (aside / "it").is_symlink() else shutil.rmtree(aside / "it")
        aside.rmdir()


def draft(path: Path) -> Path:
    """A unique temporary name that identifies the writer, so that files of dead writers can be removed."""
    return path.with_name(f".{path.name}.{process.mark()}-{uuid.uuid4().hex[:12]}.tmp")


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut, if the file system can."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):  # it cannot
            raise
    finally:
        os.close(descriptor)


def sweep_away_temporaries(folder: Path, *, held: bool = False) -> None:
    """Remove the temporary files and folders of writers that were killed.

    With `held`, the caller holds the lease of this folder: all temporary files go, except drafts of leases.
    """
    for path in folder.glob(".*.tmp"):
        with contextlib.suppress(OSError):  # it was renamed or removed meanwhile
            old = time.time() - path.stat().st_mtime > LEFTOVER
            ours = held and not path.name.lstrip(".").startswith("lease")  # another process may be claiming the lease
            if ours or old or process.left_behind(path.name.split(".")[-2]):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


# -- checksums ----------------------------------------------------------------------------------------------------------


def digest(content: bytes) -> str:
    """The first 16 hex digits of the SHA-256, which the names of checkpoints carry."""
    return hashlib.sha256(content).hexdigest()[:16]


def read_checked(path: Path, *, aside: bool = False) -> bytes:
    """The content of a file whose name ends with its digest. Raises ValueError if it is damaged.

    With `aside`, for processes that write such files, a damaged one is renamed, or it would count as the newest.
    """
    content = path.read_bytes()
    if digest(content) != path.stem.rpartition("-")[2]:
        with contextlib.suppress(OSError):  # another process was quicker
            if aside:
                path.rename(path.with_name(f"damaged-{path.name}"))
        raise ValueError("its content does not match the checksum in its name")
    return content


def check_version(path: Path, version: object, known: int) -> None:
    """Raise StudyError for a file of a later version of this program."""
    if version not in range(1, known + 1):
        raise StudyError(f"{path}: has version {version}; this program reads version {known}")


# -- JSON ---------------------------------------------------------------------------------------------------------------


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Replace a JSON file atomically, with a checksum of its content. Refuses NaN and infinity, which are not JSON."""
    content = value | {SUM: _checksum(value)}
    write_bytes(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


def read_json(path: Path, known: int | None = None) -> dict[str, Any] | None:
    """The content of a JSON file; None if there is none. Raises DamagedError, or StudyError for a version beyond `known`."""
    try:
        content = _checked(path.read_bytes())
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{path}: is damaged: {error}") from None
    if known is not None:
        check_version(path, content.get("version", 1), known)
    return content


def peek_json(path: Path) -> dict[str, Any]:
    """The content of a JSON file, for those who only look: empty if it is absent, damaged or unreadable."""
    with contextlib.suppress(OSError, DamagedError):
        return read_json(path) or {}
    return {}


def append_line(path: Path, value: dict[str, Any]) -> None:
    """Append one JSON line, with a checksum of it and of its folder's name, in a single write, so that writers do not mix."""
    line = json.dumps(value | {SUM: _checksum(value, path.parent.name)}).encode() + b"\n"
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not through a link: what is appended belongs into this folder.
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            size = os.fstat(descriptor).st_size
            torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"  # by a crash, or a full disk
            line = b"\n" + line if torn else line
            if os.write(descriptor, line) < len(line):
                raise OSError(errno.ENOSPC, "only a part could be written")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The intact lines of a file; see `examine_lines`."""
    return examine_lines(path)[0]


def examine_lines(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The intact JSON lines of a file, and how many were left out: cut short by a crash, damaged, or of another folder."""
    try:
        # A writer that sees another's line half written starts a new line, as after a crash; so empty ones are no loss.
        lines = [line for line in path.read_text("utf-8", errors="replace").splitlines() if line]
    except FileNotFoundError:
        return [], 0
    result = []
    for line in lines:
        with contextlib.suppress(ValueError, RecursionError):
            result.append(_checked(line, path.parent.name))
    return result, len(lines) - len(result)


def _checksum(value: dict[str, Any], folder: str = "") -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return digest((f"{folder}\n{canonical}" if folder else canonical).encode())


def _checked(text: bytes | str, folder: str = "") -> dict[str, Any]:
    """A JSON object without its checksum, which files of earlier versions lack. Raises ValueError if it does not match."""
    content = json.loads(text)
    if not isinstance(content, dict):
        raise ValueError("it is no JSON object")
    told = content.pop(SUM, None)
    if told is not None and told != _checksum(content, folder):
        raise ValueError("its content does not match its checksum")
    return content

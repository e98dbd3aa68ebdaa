"""Decoded image folders, kept on disk: `<cache>/<folder>-<key>/{train.npy, test.npy, about.json}`.

An entry appears whole, by one rename, and never changes; its key is the files' content. What content a folder had when it
was last read stands in `<cache>/<folder>-<key>.json`. The whole cache may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from study.data.class_folders import Listing
from study.data.images import Images
from study.data.progress import SlowProgress
from study.errors import StudyError
from study.store.files import write_bytes
from study.text import user_path

VERSION = 2  # to be raised when decoding changes, so that older entries are not taken for new ones


@dataclass(frozen=True, eq=False)
class Entry:
    """The decoded images of a folder, read-only memory maps of shape (N, H, W, 3)."""

    train: Images
    test: Images
    fingerprint: str
    notes: dict[str, int]
    """How many images were changed by which rule of decoding."""


def default_cache() -> Path:
    """`$STUDY_CACHE`, else `$XDG_CACHE_HOME/study`, else `~/.cache/study`. Raises StudyError where no home is known."""
    if own := os.environ.get("STUDY_CACHE"):
        return user_path(own)
    try:
        return user_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "study"
    except StudyError:
        raise StudyError(
            "no home folder is known here for the cache of decoded images; set STUDY_CACHE to a folder"
        ) from None


def entry_path(name: str, what: object) -> Path:
    """Where the entry lies that is decided by `what`: anything that JSON can say."""
    key = hashlib.sha256(json.dumps([VERSION, what]).encode()).hexdigest()[:20]
    return default_cache() / f"{name}-{key}"


def read_entry(path: Path) -> Entry | None:
    """The entry, or None where there is none that is whole."""
    try:
        about = json.loads((path / "about.json").read_text())
        train, test = (np.load(path / f"{split}.npy", mmap_mode="r", allow_pickle=False) for split in ("train", "test"))
        return Entry(train, test, about["fingerprint"], about["notes"])
    except (OSError, ValueError, KeyError, EOFError):
        return None


def write_entry(path: Path, fill: Callable[[Path], dict[str, object]]) -> None:
    """Make an entry: `fill` writes train.npy and test.npy into a folder and returns what `about.json` says.

    Two processes that make the same entry do the work twice; the first one's stays.
    """
    building = path.parent / f".{path.name}-{uuid.uuid4().hex}"
    try:
        _sweep(path)
        building.mkdir(parents=True)
        about = fill(building)
        (building / "about.json").write_text(json.dumps(about))
        for file in building.iterdir():
            _sync(file)
        _place(building, path)
    except OSError as error:
        raise StudyError(
            f"cannot write the cache of decoded images {path.parent}: {error.strerror}; "
            "set STUDY_CACHE to another folder"
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _sweep(path: Path) -> None:
    """Remove what killed processes left of the same entry, at least a day ago."""
    for left in path.parent.glob(f".{path.name}-*"):
        if time.time() - left.stat().st_mtime > 86400:
            shutil.rmtree(left, ignore_errors=True)


def _place(building: Path, path: Path) -> None:
    try:
        building.rename(path)
    except OSError:
        if read_entry(path) is not None:
            return  # another process was first
        shutil.rmtree(path, ignore_errors=True)
        building.rename(path)


class Content:
    """What the files of a folder hold, as a digest: read anew unless all are as they were when they were last read.

    Times and inodes decide that alone on this machine; in a copy of the folder they differ, and the files are read.
    """

    def __init__(self, listing: Listing, most: int | None = None) -> None:
        """`most` images of each split are read, the same for every copy; all by default."""
        self._listing, self._most = listing, most
        self._place = entry_path(listing.path.name, ["content", str(listing.path), most]).with_suffix(".json")
        try:
            told = json.loads(self._place.read_text())
            self.before: str | None = str(told["content"])
            self._same = told["stamps"] == listing.stamps
        except (OSError, ValueError, KeyError, TypeError):
            self.before, self._same = None, False
        self.digest = self.before if self._same and self.before else self._read()
        """64 hex digits; `before`, what was remembered last."""

    def remember(self) -> None:
        """Note that the files were read; where the cache cannot be written, they are read again next time."""
        if self.before == self.digest and self._same:
            return
        # What was changed a moment ago may change again within one tick of the file system's clock: read it next time.
        stamps = self._listing.stamps if self._listing.settled else ""
        with suppress(OSError):
            write_bytes(self._place, json.dumps({"content": self.digest, "stamps": stamps}).encode())

    def _read(self) -> str:
        listing, digest = self._listing, hashlib.sha256()
        digest.update(listing.names.encode())
        chosen = [path for split in ("train", "test") for path in listing.paths(split, self._most)]
        with SlowProgress(f"Reading {listing.path.name}", len(chosen)) as progress:
            for path in chosen:
                digest.update(_bytes(path))
                progress.advance(1)
        return digest.hexdigest()


def _bytes(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            return file.read()
    except OSError as error:
        raise StudyError(f"{path}: cannot be read ({error.strerror})") from error


def _sync(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

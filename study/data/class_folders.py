"""Folders of `train/<class>/*` and `test/<class>/*`: where they are, their classes, their files."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from study.data.images import Labels
from study.data.source import Source
from study.errors import StudyError

LAYOUT = "expected train/<class>/* and test/<class>/*"
SETTLED = 2_000_000_000
"""Nanoseconds: a coarse file system's clock stands still for so long, and two changes within them have equal times."""


@dataclass(frozen=True, eq=False)
class Listing:
    """The image files of a folder, each split sorted by class, then by name.

    Files are byte strings of shape (N,), relative to `path`: of a million, Python's strings would take ten times the room.
    Labels are int64 of shape (N,), indices into `classes`.
    """

    path: Path
    classes: tuple[str, ...]
    train_files: NDArray[np.bytes_]
    train_labels: Labels
    test_files: NDArray[np.bytes_]
    test_labels: Labels
    names: str
    """A digest of splits, names and sizes: the same for every copy of the folder."""
    stamps: str
    """A digest of `names` and of what shows that a file was changed or replaced: times of modification and of change, and
    inode. The first can be set, as unpacking an archive does; the others cannot."""
    settled: bool
    """Whether every file was at rest for `SETTLED`; otherwise it can still change without a change of `stamps`."""
    passed_over: Counter[str]
    """How many files are not used, by the reason."""

    def paths(self, split: str, most: int | None = None) -> list[str]:
        """Of the images of `train` or `test`; of at most `most` of them, always the same ones, in their order."""
        files = self.train_files if split == "train" else self.test_files
        if most is not None:
            files = files[np.sort(np.random.RandomState(0).permutation(len(files))[:most])]
        return [os.path.join(self.path, os.fsdecode(file)) for file in files.tolist()]  # noqa: PTH118 - a Path is slow

    @property
    def summary(self) -> str:
        """`42 training and 6 test images of 2 classes; 3 files passed over: 2 .txt (not an image format), 1 (hidden)`."""
        text = f"{len(self.train_files):,} training and {len(self.test_files):,} test images of {len(self.classes)} classes"
        if not self.passed_over:
            return text
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.passed_over.most_common())
        return f"{text}; {sum(self.passed_over.values()):,} passed over: {reasons}"


class ClassFolders(Source):
    """A data set that is a folder of the user's below the data root."""

    takes_folder = True

    def missing(self) -> str | None:
        try:
            splits(self._path())
        except StudyError as error:
            return str(error)
        return None

    def listed(self) -> Listing:
        """Raises `StudyError` for a wrong layout, a class without images, and what cannot be read."""
        return listed(self._path())

    def _path(self) -> Path:
        if self.folder is None:
            raise StudyError(f"data '{self.name}' needs `folder`: the name of a folder in {self.root}; {LAYOUT} in it")
        if self.folder in ("", ".", "..") or "/" in self.folder or "\\" in self.folder or "\0" in self.folder:
            raise StudyError(f"folder: '{self.folder}' is not a plain name; it names a folder in {self.root}")
        if self.image_size is not None and self.image_size < 1:
            raise StudyError(f"image_size: {self.image_size} must be at least 1 pixel")
        return self.root / self.folder


def splits(path: Path) -> tuple[tuple[str, ...], str]:
    """The class names, sorted, and the name of the folder with the test images.

    That is `test`; or `val`, where `test` has no class folders: ImageNet's own test images have no labels. Raises
    `StudyError` unless both splits have the same classes, two at least.
    """
    if not path.is_dir():
        raise StudyError(f"image folder {path} is not there; {LAYOUT} in it")
    held_out = "val" if _has_classes(path / "val") and not _has_classes(path / "test") else "test"
    train, test = (_subfolders(path / split) for split in ("train", held_out))
    if lacking := sorted(train ^ test):
        where = held_out if lacking[0] in train else "train"
        more = f" (and {len(lacking) - 1} more)" if len(lacking) > 1 else ""
        raise StudyError(
            f"{path}: train and {held_out} must have the same classes; not in {where}: '{lacking[0]}'{more}"
        )
    if len(train) < 2:
        raise StudyError(f"{path}: has one class only, '{train.pop()}', so every error would be 0; two are needed")
    return tuple(sorted(train)), held_out


def _has_classes(path: Path) -> bool:
    try:
        return any(entry.is_dir() and not entry.name.startswith(".") for entry in path.iterdir())
    except OSError:
        return False


def _subfolders(path: Path) -> set[str]:
    try:
        names = {entry.name for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith(".")}
    except OSError as error:
        raise StudyError(f"image folder {path} cannot be read ({error.strerror}); {LAYOUT} in {path.parent}") from error
    if not names:
        raise StudyError(f"image folder {path} has no class folders; {LAYOUT} in {path.parent}")
    return names


@lru_cache
def suffixes() -> frozenset[str]:
    """Of the files of every image format that Pillow reads, in lower case."""
    Image.init()
    # MPEG and Pillow's stubs, such as HDF5, are recognised but have no decoder. MPO is read as JPEG.
    reads = {"MPO", *(name for name, (reader, _) in Image.OPEN.items() if name != "MPEG" and not _is_stub(reader))}
    return frozenset(suffix.lower() for suffix, name in Image.registered_extensions().items() if name in reads)


def _is_stub(reader: object) -> bool:
    return isinstance(reader, type) and issubclass(reader, ImageFile.StubImageFile)


def listed(path: Path) -> Listing:
    """The image files of `path`, at any depth below the class folders, links followed; hidden ones are passed over.

    Raises `StudyError` for a wrong layout, a class without images, and what cannot be read.
    """
    started = time.time_ns()
    classes, held_out = splits(path)
    names, stamps = hashlib.sha256(), hashlib.sha256()
    passed_over: Counter[str] = Counter()
    newest, lists = 0, []
    for split in ("train", held_out):
        above = frozenset({_identity(path), _identity(path / split)})
        files: list[bytes] = []
        counts = []
        for name in classes:
            found = _images(path / split / name, f"{split}/{name}", passed_over, above)
            images = sorted(found, key=lambda image: image[0])
            if not images:
                raise StudyError(f"{path / split / name}: no images in this class folder{_why(passed_over)}")
            counts.append(len(images))
            files += [os.fsencode(file) for file, _ in images]
            # `test` and `val` are the same split.
            sizes = [(file[len(split) :], status.st_size) for file, status in images]
            names.update(repr((split == "train", name, sizes)).encode(errors="replace"))
            times = [(status.st_mtime_ns, status.st_ctime_ns, status.st_ino) for _, status in images]
            stamps.update(repr(times).encode())
            newest = max(newest, *(max(modified, changed) for modified, changed, _ in times))
        lists.append((np.array(files, np.bytes_), np.repeat(np.arange(len(classes), dtype=np.int64), counts)))
        passed_over.update(_beside_classes(path / split))
    stamps.update(names.digest())
    return Listing(
        path,
        classes,
        *lists[0],
        *lists[1],
        names.hexdigest(),
        stamps.hexdigest(),
        newest + SETTLED < started,
        passed_over,
    )


def _why(passed_over: Counter[str]) -> str:
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in passed_over.most_common(4))
    return f"; passed over so far: {reasons}" if reasons else ""


def _images(
    folder: Path | str, name: str, passed_over: Counter[str], above: frozenset[tuple[int, int]]
) -> Iterator[tuple[str, os.stat_result]]:
    """Name, relative to the data set's folder, and status of each image file in a folder and below."""
    try:
        here = _identity(folder)
        if here in above:
            passed_over["(a link to a folder that it is in)"] += 1
            return
        with os.scandir(folder) as entries:
            for entry in entries:
                if reason := _not_wanted(entry):
                    passed_over[reason] += 1
                elif entry.is_dir():
                    yield from _images(entry.path, f"{name}/{entry.name}", passed_over, above | {here})
                else:
                    yield f"{name}/{entry.name}", entry.stat()
    except OSError as error:
        raise StudyError(f"{error.filename or folder}: cannot be read ({error.strerror})") from error


def _identity(folder: Path | str) -> tuple[int, int]:
    status = os.stat(folder)  # noqa: PTH116
    return status.st_dev, status.st_ino


def _not_wanted(entry: os.DirEntry[str]) -> str:
    """Why an entry of a class folder is not used; nothing where it is."""
    if entry.name.startswith("."):
        return "(hidden)"
    if entry.is_dir():
        return ""
    suffix = os.path.splitext(entry.name)[1]  # noqa: PTH122
    if suffix.lower() not in suffixes():
        return f"{suffix} (not an image format)" if suffix else "without a suffix"
    return "" if stat.S_ISREG(entry.stat().st_mode) else "(not a plain file)"


def _beside_classes(split: Path) -> Iterator[str]:
    for entry in split.iterdir():
        if entry.name.startswith("."):
            yield "(hidden)"
        elif not entry.is_dir():
            yield "outside the class folders"

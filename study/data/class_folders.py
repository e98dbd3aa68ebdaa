"""Folders of `train/<class>/*` and `test/<class>/*`: where they are, their classes, their files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from study.data.source import Source
from study.errors import StudyError

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
LAYOUT = "expected train/<class>/* and test/<class>/*"


class ClassFolders(Source):
    """A data set that is a folder of the user's below the data root."""

    takes_folder = True

    def missing(self) -> str | None:
        try:
            splits(self._path())
        except StudyError as error:
            return str(error)
        return None

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
    `StudyError` unless both splits have the same classes.
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


def images_in(folder: Path) -> list[tuple[str, int, int]]:
    """Name, size in bytes and modification time in ns of the image files directly in a folder, sorted by name."""
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or os.path.splitext(entry.name)[1].lower() not in SUFFIXES:  # noqa: PTH122
                    continue
                status = entry.stat()
                if stat.S_ISREG(status.st_mode):
                    found.append((entry.name, status.st_size, status.st_mtime_ns))
    except OSError as error:
        raise StudyError(f"{error.filename or folder}: cannot be read ({error.strerror})") from error
    return sorted(found)

"""Any folder of `train/<class>/*` and `test/<class>/*`: decoded once, then read from the cache."""

from __future__ import annotations

import os
import stat
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from study.data.decode import decode_all, shape_of
from study.data.image_cache import Entry, entry_path, read_entry, write_entry
from study.data.images import ImageSet, Labels, fingerprint
from study.data.progress import SlowProgress
from study.data.source import Source
from study.errors import StudyError

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
LAYOUT = "expected train/<class>/* and test/<class>/*"


@dataclass(frozen=True, eq=False)
class Split:
    """The image files of one split, sorted by class, then by name."""

    files: list[str]
    labels: Labels  # (N,)
    stamps: list[tuple[str, int, int]]  # name, size in bytes, modification time in ns: what the cache is keyed by


class ImageFolder(Source):
    """`<root>/<folder>/{train,test}/<class>/*`, RGB; files directly in the class folders, hidden ones ignored.

    Without `image_size` all images must have one size; with it, they are resized and cropped to a square.
    """

    takes_folder = True

    def missing(self) -> str | None:
        try:
            _classes(self._path())
        except StudyError as error:
            return str(error)
        return None

    def prepare(self) -> None:
        self._scan_and_decode()

    def load(self) -> ImageSet:
        path, classes, train, test, entry = self._scan_and_decode()
        return ImageSet(path.name, entry.train, train.labels, entry.test, test.labels, classes, entry.fingerprint)

    def _path(self) -> Path:
        if self.folder is None:
            raise StudyError(f"data '{self.name}' needs `folder`: the name of a folder in {self.root}; {LAYOUT} in it")
        if self.folder in ("", ".", "..") or "/" in self.folder or "\\" in self.folder or "\0" in self.folder:
            raise StudyError(f"folder: '{self.folder}' is not a plain name; it names a folder in {self.root}")
        if self.image_size is not None and self.image_size < 1:
            raise StudyError(f"image_size: {self.image_size} must be at least 1 pixel")
        return self.root / self.folder

    def _scan_and_decode(self) -> tuple[Path, tuple[str, ...], Split, Split, Entry]:
        path = self._path()
        classes = _classes(path)
        train, test = scan(path / "train", classes), scan(path / "test", classes)
        # The path is part of the key: images of equal names, sizes and times can differ, as unpacked ones often do.
        place = entry_path(path.name, [str(path), self.image_size, train.stamps, test.stamps])
        entry = read_entry(place)
        if entry is None:
            write_entry(place, lambda building: _decode(path.name, train, test, self.image_size, building))
            entry = read_entry(place)
        if entry is None:
            raise StudyError(f"the cache of decoded images cannot be read back: {place}; delete it and try again")
        return path, classes, train, test, entry


def scan(path: Path, classes: tuple[str, ...]) -> Split:
    """List a split's image files. Raises `StudyError` for a class without images and for unreadable files."""
    files, labels, stamps = [], [], []
    for label, name in enumerate(classes):
        found = _images(path / name)
        if not found:
            raise StudyError(f"{path / name}: no images ({', '.join(sorted(SUFFIXES))}) directly in this class folder")
        for file, size, modified in found:
            files.append(os.path.join(path, name, file))  # noqa: PTH118 - a Path for each of 60,000 files is slow
            labels.append(label)
            stamps.append((f"{name}/{file}", size, modified))
    return Split(files, np.array(labels, dtype=np.int64), stamps)


def _images(folder: Path) -> list[tuple[str, int, int]]:
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


def _classes(path: Path) -> tuple[str, ...]:
    """The class names, sorted; they must be the same in both splits."""
    if not path.is_dir():
        raise StudyError(f"image folder {path} is not there; {LAYOUT} in it")
    train, test = (_subfolders(path / split) for split in ("train", "test"))
    if lacking := sorted(train ^ test):
        where = "test" if lacking[0] in train else "train"
        more = f" (and {len(lacking) - 1} more)" if len(lacking) > 1 else ""
        raise StudyError(f"{path}: train and test must have the same classes; not in {where}: '{lacking[0]}'{more}")
    return tuple(sorted(train))


def _subfolders(path: Path) -> set[str]:
    try:
        names = {entry.name for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith(".")}
    except OSError as error:
        raise StudyError(f"image folder {path} cannot be read ({error.strerror}); {LAYOUT} in {path.parent}") from error
    if not names:
        raise StudyError(f"image folder {path} has no class folders; {LAYOUT} in {path.parent}")
    return names


def _decode(name: str, train: Split, test: Split, image_size: int | None, building: Path) -> str:
    """Decode both splits into train.npy and test.npy in the folder `building`; return their fingerprint."""
    shape = (image_size, image_size) if image_size else shape_of(train.files[0])
    arrays = {}
    with SlowProgress(f"Decoding {name}", len(train.files) + len(test.files)) as progress:
        for split, files in (("train", train.files), ("test", test.files)):
            array = np.lib.format.open_memmap(building / f"{split}.npy", "w+", np.uint8, (len(files), *shape, 3))
            with closing(decode_all(files, shape, crop=image_size is not None)) as blocks:
                for start, block in blocks:
                    array[start : start + len(block)] = block
                    progress.advance(len(block))
            array.flush()
            arrays[split] = array
    return fingerprint(arrays["train"], train.labels, arrays["test"], test.labels)

"""Any folder of `train/<class>/*` and `test/<class>/*`: decoded once, then read from the cache."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from study.data.class_folders import SUFFIXES, ClassFolders, images_in, splits
from study.data.decode import decode_all, shape_of
from study.data.image_cache import Entry, entry_path, read_entry, write_entry
from study.data.images import ImageSet, Labels, fingerprint
from study.data.progress import SlowProgress
from study.errors import StudyError


@dataclass(frozen=True, eq=False)
class Split:
    """The image files of one split, sorted by class, then by name."""

    files: list[str]
    labels: Labels  # (N,)
    stamps: list[tuple[str, int, int]]  # name, size in bytes, modification time in ns: what the cache is keyed by


class ImageFolder(ClassFolders):
    """`<root>/<folder>/{train,test}/<class>/*`, RGB; files directly in the class folders, hidden ones ignored.

    Without `image_size` all images must have one size; with it, they are resized and cropped to a square.
    """

    def prepare(self) -> None:
        self._scan_and_decode()

    def load(self) -> ImageSet:
        path, classes, train, test, entry = self._scan_and_decode()
        return ImageSet(path.name, entry.train, train.labels, entry.test, test.labels, classes, entry.fingerprint)

    def _scan_and_decode(self) -> tuple[Path, tuple[str, ...], Split, Split, Entry]:
        path = self._path()
        classes, held_out = splits(path)
        train, test = scan(path / "train", classes), scan(path / held_out, classes)
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
        found = images_in(path / name)
        if not found:
            raise StudyError(f"{path / name}: no images ({', '.join(sorted(SUFFIXES))}) directly in this class folder")
        for file, size, modified in found:
            files.append(os.path.join(path, name, file))  # noqa: PTH118 - a Path for each of 60,000 files is slow
            labels.append(label)
            stamps.append((f"{name}/{file}", size, modified))
    return Split(files, np.array(labels, dtype=np.int64), stamps)


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

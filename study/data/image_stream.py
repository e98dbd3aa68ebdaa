"""A folder of images too large for memory: listed here, decoded where they are needed (`study.training.stream`)."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from study.data.class_folders import SUFFIXES, ClassFolders, images_in, splits
from study.data.image_statistics import statistics
from study.data.images import ImageFiles, Labels
from study.errors import StudyError
from study.spec.run import STREAM_SIZE


class ImageStream(ClassFolders):
    """`<root>/<folder>/{train,test}/<class>/*`, RGB, of any sizes; ImageNet's `val` will do for `test`.

    The fingerprint is of names and sizes, not of contents, which would take an hour to read, nor of times, which differ
    between copies.
    """

    def prepare(self) -> None:
        self.load()

    def load(self) -> ImageFiles:
        path = self._path()
        classes, held_out = splits(path)
        digest = hashlib.sha256()
        train, train_labels = _listed(path, "train", classes, digest)
        test, test_labels = _listed(path, held_out, classes, digest)
        mark, size = digest.hexdigest()[:16], self.image_size or STREAM_SIZE
        colours = statistics(path, train, size, mark)
        return ImageFiles(
            path.name, str(path), train, train_labels, test, test_labels, classes, size, colours, fingerprint=mark
        )


def _listed(
    path: Path, split: str, classes: tuple[str, ...], digest: hashlib._Hash
) -> tuple[NDArray[np.bytes_], Labels]:
    """The files of a split, by class, then by name, and their labels; what they are goes into the digest.

    Raises `StudyError` for a class without images.
    """
    names: list[bytes] = []
    counts = []
    for name in classes:
        found = images_in(path / split / name)
        if not found:
            raise StudyError(
                f"{path / split / name}: no images ({', '.join(sorted(SUFFIXES))}) directly in this class folder"
            )
        counts.append(len(found))
        names += [os.fsencode(f"{split}/{name}/{file}") for file, _, _ in found]
        # `test` and `val` are the same split.
        digest.update(
            repr((split == "train", name, [(file, size) for file, size, _ in found])).encode(errors="replace")
        )
    return np.array(names, dtype=np.bytes_), np.repeat(np.arange(len(classes), dtype=np.int64), counts)

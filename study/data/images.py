"""The nouns of this floor: a data set in memory, as NumPy arrays, and one that stays in its files."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Labelled images, split into training and test set.

    Images are uint8 of shape (N, H, W, C), grey levels 0 to 255, C = 1 (grey) or 3 (RGB), C-contiguous; they may
    be a read-only memory map. Labels are int64 of shape (N,), indices into `classes`.
    """

    name: str  # what tables and figures call it; for an image folder the folder's name
    train_images: Images
    train_labels: Labels
    test_images: Images
    test_labels: Labels
    classes: tuple[str, ...]
    fingerprint: str  # 16 hex digits that identify images and labels exactly

    def with_train(self, indices: Labels, fingerprint: str) -> ImageSet:
        """The same with these training images alone."""
        images, labels = self.train_images[indices], self.train_labels[indices]
        return replace(self, train_images=images, train_labels=labels, fingerprint=fingerprint)


@dataclass(frozen=True, eq=False)
class Statistics:
    """Of the colours of a sample of training images, in grey levels (0 to 255) and in units of white (0 to 1)."""

    pixel_mean: Floats
    """(S, S, 3), grey levels: the mean of the images' centre squares, resized to S."""
    eigenvalues: Floats
    """(3,), falling, units of white squared: of the covariance of R, G and B over all pixels."""
    eigenvectors: Floats
    """(3, 3): a column for each eigenvalue."""


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Labelled image files, split into training and test set; RGB, of any sizes, decoded as they are needed.

    Files are byte strings of shape (N,), relative to `root`: of a million, a list of paths would be copied into each
    process that decodes. Labels are int64 of shape (N,), indices into `classes`.
    """

    name: str
    root: str
    train_files: NDArray[np.bytes_]
    train_labels: Labels
    test_files: NDArray[np.bytes_]
    test_labels: Labels
    classes: tuple[str, ...]
    image_size: int  # height and width of what a network sees
    statistics: Statistics
    fingerprint: str  # 16 hex digits that identify the files' names, sizes and labels

    def with_train(self, indices: Labels, fingerprint: str) -> ImageFiles:
        """The same with these training images alone; the statistics stay those of the whole set."""
        files, labels = self.train_files[indices], self.train_labels[indices]
        return replace(self, train_files=files, train_labels=labels, fingerprint=fingerprint)

    def path(self, split: str, number: int) -> str:
        """Of an image of `train` or `test`."""
        files = self.train_files if split == "train" else self.test_files
        return os.path.join(self.root, os.fsdecode(bytes(files[number])))  # noqa: PTH118 - once an image


def image_set(
    name: str, train: tuple[Images, Labels], test: tuple[Images, Labels], classes: tuple[str, ...]
) -> ImageSet:
    """An `ImageSet` of arrays just read, made contiguous and given its fingerprint."""
    train_images, test_images = (np.ascontiguousarray(images) for images, _ in (train, test))
    train_labels, test_labels = (np.ascontiguousarray(labels, dtype=np.int64) for _, labels in (train, test))
    return ImageSet(
        name,
        train_images,
        train_labels,
        test_images,
        test_labels,
        classes,
        fingerprint(train_images, train_labels, test_images, test_labels),
    )


def fingerprint(*arrays: NDArray[np.generic]) -> str:
    """16 hex digits of the SHA-256 of the arrays' types, shapes and contents, in their order."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()[:16]

"""The noun of this floor: a data set in memory, as NumPy arrays."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]


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

"""What a data set is: images in memory or in files, the `Source` that provides them, and class-balanced subsets."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from study.errors import StudyError
from study.text import user_path

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Labelled images in memory, split into training and test set.

    Images are of shape (N, H, W, C), C-contiguous: uint8, grey levels 0 to 255, C = 1 (grey) or 3 (RGB), or the user's
    own float32 with any C. They may be a read-only memory map. Labels are int64 of shape (N,), indices into `classes`.
    """

    name: str  # as in tables and figures; for an image folder the folder's name
    train_images: Images
    train_labels: Labels
    test_images: Images
    test_labels: Labels
    classes: tuple[str, ...]
    fingerprint: str  # 16 hex digits that identify images and labels exactly

    def with_train(self, indices: Labels, fingerprint: str) -> ImageSet:
        """Return a copy with only these training images."""
        images, labels = self.train_images[indices], self.train_labels[indices]
        return replace(self, train_images=images, train_labels=labels, fingerprint=fingerprint)


@dataclass(frozen=True, eq=False)
class Statistics:
    """Mean and covariance of the colours of a sample of training images."""

    pixel_mean: Floats
    """(S, S, 3), grey levels (0 to 255): the mean of the images' centre squares, resized to S."""
    eigenvalues: Floats
    """(3,), descending, in squared units of white (0 to 1): of the covariance of R, G and B over all pixels."""
    eigenvectors: Floats
    """(3, 3): one column per eigenvalue."""


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Labelled image files, split into training and test set; RGB, of any sizes, decoded when they are needed.

    Files are byte strings of shape (N,), relative to `root`: a list of a million paths would be copied into each
    decoding process. Labels are int64 of shape (N,), indices into `classes`.
    """

    name: str
    root: str
    train_files: NDArray[np.bytes_]
    train_labels: Labels
    test_files: NDArray[np.bytes_]
    test_labels: Labels
    classes: tuple[str, ...]
    image_size: int  # height and width of the network's input
    statistics: Statistics
    fingerprint: str  # 16 hex digits that identify the files' names, sizes and labels

    def with_train(self, indices: Labels, fingerprint: str) -> ImageFiles:
        """Return a copy with only these training images; the statistics remain those of the whole set."""
        files, labels = self.train_files[indices], self.train_labels[indices]
        return replace(self, train_files=files, train_labels=labels, fingerprint=fingerprint)

    def path(self, split: str, number: int) -> str:
        """Return the path of an image of `train` or `test`."""
        files = self.train_files if split == "train" else self.test_files
        return os.path.join(self.root, os.fsdecode(bytes(files[number])))  # noqa: PTH118 - a Path is slow


def image_set(
    name: str, train: tuple[Images, Labels], test: tuple[Images, Labels], classes: tuple[str, ...]
) -> ImageSet:
    """Make an `ImageSet` of arrays just read: contiguous, with a fingerprint."""
    train_images, test_images = (np.ascontiguousarray(images) for images, _ in (train, test))
    train_labels, test_labels = (np.ascontiguousarray(labels, dtype=np.int64) for _, labels in (train, test))
    digest = fingerprint(train_images, train_labels, test_images, test_labels)
    return ImageSet(name, train_images, train_labels, test_images, test_labels, classes, digest)


def fingerprint(*arrays: NDArray[np.generic]) -> str:
    """Return 16 hex digits of the SHA-256 of the arrays' types, shapes and contents, in order."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()[:16]


class Survey(NamedTuple):
    """What is known of a data set without downloading or decoding anything."""

    fingerprint: str | None = None
    """The fingerprint of what `load` would return; None if unknown."""
    train_labels: Labels | None = None
    classes: int = 0
    summary: str = ""
    """For an image folder: how many files are used, how many are skipped, and why."""
    changed: bool = False
    """Whether the fingerprint is unknown because the files differ from those read last."""

    @classmethod
    def of(cls, data: ImageSet) -> Survey:
        """Survey a data set that loads quickly."""
        return cls(data.fingerprint, data.train_labels, len(data.classes))


class Source(ABC):
    """Provides one data set; options are further arguments. A new one is a subclass and an entry in `DATA`.

    Several processes may load or prepare it at the same time, or be killed while they do.
    """

    def __init__(self, name: str, root: Path) -> None:
        self.name = name
        self.root = user_path(root).resolve()

    def missing(self) -> str | None:
        """None if the data can be had without a network, else one line that says what to do.

        Looks at file names only: it takes milliseconds and never imports torch.
        """
        return None

    def prepare(self) -> None:
        """Download, verify or decode what is missing."""
        self.load()

    @abstractmethod
    def load(self) -> ImageSet | ImageFiles:
        """Load the whole data set, preparing it first if needed. Raises `StudyError`, one line."""

    def survey(self) -> Survey:
        """What is known without reading the data: nothing where files are verified when they are read."""
        return Survey()


def choose_subset(
    fingerprint: str, labels: Labels, classes: int, name: str, size: int, seed: int
) -> tuple[Labels, str]:
    """The indices of a training subset, and the fingerprint of the data set with only these.

    Indices are sorted and random; class counts differ by at most one. They depend only on `numpy.random.RandomState(seed)`,
    whose streams NumPy's policy freezes. The new fingerprint is of the old one and the indices, so a memory map need not be
    read again. Raises `StudyError`.
    """
    random = np.random.RandomState(seed)
    quotas = np.full(classes, size // classes)
    quotas[random.permutation(classes)[: size % classes]] += 1
    chosen = []
    for label, quota in enumerate(quotas):
        members = np.flatnonzero(labels == label)
        if len(members) < quota:
            most = int(np.bincount(labels, minlength=classes).min()) * classes
            raise StudyError(
                f"train_subset: {size} of data '{name}' is impossible: class {label} has only {len(members)} training images; "
                f"at most {most} can be balanced"
            )
        chosen.append(random.permutation(members)[:quota])
    indices = np.sort(np.concatenate(chosen)).astype(np.int64)
    digest = hashlib.sha256(fingerprint.encode() + indices.astype("<i8").tobytes())
    return indices, digest.hexdigest()[:16]

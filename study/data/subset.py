"""A smaller training set for reduced studies: class-balanced, and the same for everyone who names the same seed."""

from __future__ import annotations

import hashlib

import numpy as np

from study.data.images import ImageFiles, ImageSet, Labels
from study.errors import StudyError


def with_train_subset(data: ImageSet | ImageFiles, size: int, seed: int) -> ImageSet | ImageFiles:
    """`data` with `size` of its training images; the test set stays whole. Raises as `chosen`."""
    return data.with_train(*chosen(data.fingerprint, data.train_labels, len(data.classes), data.name, size, seed))


def chosen(fingerprint: str, labels: Labels, classes: int, name: str, size: int, seed: int) -> tuple[Labels, str]:
    """The indices of a subset (`balanced_indices`), and the fingerprint of the data set with these training images alone.

    That is of the whole set's fingerprint and the indices, so that a memory map need not be read again. Raises `StudyError`.
    """
    try:
        indices = balanced_indices(labels, classes, size, seed)
    except ValueError as error:
        raise StudyError(f"train_subset: {size} of data '{name}' is impossible: {error}") from None
    digest = hashlib.sha256(fingerprint.encode() + indices.astype("<i8").tobytes())
    return indices, digest.hexdigest()[:16]


def balanced_indices(labels: Labels, n_classes: int, size: int, seed: int) -> Labels:
    """Sorted indices, shape (size,), of a random subset whose class counts differ by at most one.

    Drawn from `numpy.random.RandomState(seed)`, whose streams NumPy's policy freezes, and from nothing else.
    Raises `ValueError` where the labels do not allow it.
    """
    if size < 1:
        raise ValueError("it must be at least 1")
    if size > len(labels):
        raise ValueError(f"there are only {len(labels)} training images")
    if not 0 <= seed < 2**32:
        raise ValueError(f"train_subset_seed must lie in 0 to {2**32 - 1}, not {seed}")
    random = np.random.RandomState(seed)
    quotas = np.full(n_classes, size // n_classes)
    quotas[random.permutation(n_classes)[: size % n_classes]] += 1
    chosen = []
    for label, quota in enumerate(quotas):
        members = np.flatnonzero(labels == label)
        if len(members) < quota:
            smallest = int(np.bincount(labels, minlength=n_classes).min())
            raise ValueError(
                f"class {label} has only {len(members)} training images; "
                f"balanced over {n_classes} classes, at most {smallest * n_classes} can be had"
            )
        chosen.append(random.permutation(members)[:quota])
    return np.sort(np.concatenate(chosen)).astype(np.int64)

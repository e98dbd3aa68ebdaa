"""Mean and covariance of colours, of a sample of images: what is subtracted from each image, and how colours vary."""

from __future__ import annotations

import io
import zipfile
from contextlib import closing
from pathlib import Path

import numpy as np

from study.data.class_folders import Listing
from study.data.decode import decode_all
from study.data.image_cache import entry_path
from study.data.images import Floats, Statistics
from study.data.progress import SlowProgress
from study.errors import StudyError
from study.store.files import write_bytes

SAMPLE = 4000
"""Images at most. Their mean is off by some 1 grey level a pixel (a pixel's deviation, 70, over the root of 4,000)."""
WHITE = 255.0


def statistics(listing: Listing, size: int, mark: str) -> Statistics:
    """The statistics of the training images; kept in the cache under `mark`, which says what they are.

    Of `SAMPLE` images, the centre squares, resized to `size`. The sums are of whole numbers
    and exact, so that their order, and with it the number of processes that decode, changes nothing. Raises
    `StudyError`.
    """
    place = entry_path(listing.path.name, ["statistics", size, SAMPLE, mark])
    place = place.with_name(f"{place.name}.npz")
    found = _read(place)
    if found is None:
        found = _measure(listing, size)
        _write(place, found)
    return found


def _measure(listing: Listing, size: int) -> Statistics:
    paths = listing.paths("train", SAMPLE)
    total, products = np.zeros((size, size, 3)), np.zeros((3, 3))
    with (
        SlowProgress(f"Mean colours of {listing.path.name}", len(paths)) as progress,
        closing(decode_all(paths, (size, size), crop=True)) as blocks,
    ):
        for _, block in blocks:
            total += block.sum(0, dtype=np.float64)
            pixels = block.reshape(-1, 3).astype(np.float64)
            products += pixels.T @ pixels
            progress.advance(len(block))
    return of_sums(total, products, len(paths))


def of_sums(total: Floats, products: Floats, images: int) -> Statistics:
    """Statistics from the sum of images (S, S, 3) and the sum over pixels of the outer products of their colours (3, 3).

    The signs of eigenvectors mean nothing: each is turned so that its components sum to no less than zero.
    """
    pixel_mean = total / images
    mean = pixel_mean.mean((0, 1))
    covariance = (products / (images * total.shape[0] * total.shape[1]) - np.outer(mean, mean)) / WHITE**2
    values, vectors = np.linalg.eigh(covariance)
    vectors = vectors * np.where(vectors.sum(0) < 0, -1.0, 1.0)
    return Statistics(pixel_mean, np.maximum(values[::-1], 0.0).copy(), vectors[:, ::-1].copy())


def _read(place: Path) -> Statistics | None:
    try:
        with np.load(place, allow_pickle=False) as content:
            return Statistics(content["pixel_mean"], content["eigenvalues"], content["eigenvectors"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _write(place: Path, found: Statistics) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, pixel_mean=found.pixel_mean, eigenvalues=found.eigenvalues, eigenvectors=found.eigenvectors)
    try:
        write_bytes(place, buffer.getvalue())
    except OSError as error:
        raise StudyError(
            f"cannot write the cache {place.parent}: {error.strerror}; set STUDY_CACHE to another folder"
        ) from error

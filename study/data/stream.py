"""A folder of images too large for memory: its files and the statistics of its colours, and parts cut out of an image.

Images are decoded when they are needed, by `study.training.feeds.stream` (He et al. 2015, section 3.4).
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from study.data.cache import cached, writing
from study.data.decode import decode_all, open_image, scaled
from study.data.folder import ClassFolders, Listing, content, listed
from study.data.images import Floats, ImageFiles, Images, Statistics, Survey

SAMPLE = 4000
"""Images of a sample at most. Their mean is off by about 1 grey level a pixel (a pixel's deviation, 70, over the root of
4,000)."""
WHITE = 255.0


class ImageStream(ClassFolders):
    """`<root>/<folder>/{train,test}/<class>/*`, RGB, of any sizes; ImageNet's `val` serves as `test`.

    The fingerprint is of all names and sizes, and of the content of `SAMPLE` images of each split: to read a million
    would take an hour. Times are no part of it, since they differ between copies.
    """

    def __init__(self, name: str, root: Path, folder: str, image_size: int = 224) -> None:
        super().__init__(name, root, folder)
        self.size = image_size

    def load(self) -> ImageFiles:
        listing = listed(self.path)
        digest, _ = content(listing, SAMPLE, remember=True)
        return ImageFiles(
            name=self.path.name,
            root=str(self.path),
            train_files=listing.train_files,
            train_labels=listing.train_labels,
            test_files=listing.test_files,
            test_labels=listing.test_labels,
            classes=listing.classes,
            image_size=self.size,
            statistics=statistics(listing, self.size, digest[:16]),
            fingerprint=digest[:16],
        )

    def survey(self) -> Survey:
        listing = listed(self.path)
        digest, _ = content(listing, SAMPLE)
        return Survey(digest[:16], listing.train_labels, len(listing.classes), listing.summary)


# -- the statistics of the colours ------------------------------------------------------------------------------------


def statistics(listing: Listing, size: int, mark: str) -> Statistics:
    """Return the statistics of the training images, kept in the cache under `mark`, which identifies the images.

    They are of the centre squares of `SAMPLE` images, resized to `size`. The sums are of whole numbers and exact, so
    the number of decoding processes changes nothing. Raises `StudyError`.
    """
    place = cached(listing.path.name, ["statistics", size, SAMPLE, mark], ".npz")
    try:
        with np.load(place, allow_pickle=False) as stored:
            return Statistics(stored["pixel_mean"], stored["eigenvalues"], stored["eigenvectors"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        found = _measure(listing, size)
    with writing(place) as temporary, temporary.open("wb") as file:
        np.savez(file, **asdict(found))
    return found


def _measure(listing: Listing, size: int) -> Statistics:
    paths = listing.paths("train", SAMPLE)
    total, products = np.zeros((size, size, 3)), np.zeros((3, 3))
    blocks = decode_all(paths, (size, size), True, f"Mean colours of {listing.path.name}")
    with closing(blocks):
        for _, block, _ in blocks:
            total += block.sum(0, dtype=np.float64)
            pixels = block.reshape(-1, 3).astype(np.float64)
            products += pixels.T @ pixels
    pixel_mean = total / len(paths)
    mean = pixel_mean.mean((0, 1))
    covariance = (products / (len(paths) * size**2) - np.outer(mean, mean)) / WHITE**2
    values, vectors = np.linalg.eigh(covariance)
    vectors = vectors * np.where(vectors.sum(0) < 0, -1.0, 1.0)  # signs mean nothing; these are the same everywhere
    return Statistics(pixel_mean, np.maximum(values[::-1], 0.0).copy(), vectors[:, ::-1].copy())


# -- parts of an image ------------------------------------------------------------------------------------------------


class Crop(NamedTuple):
    """A part of an image that was scaled as a whole; all in pixels of the scaled image."""

    whole: tuple[int, int]
    """Width and height of the scaled image."""
    left: int
    top: int
    width: int
    height: int


Place = Callable[[int, int], Crop]
"""Maps an image's width and height in its file to the wanted part."""


class Choices(NamedTuple):
    """What is random about one sample, a pure function of its key."""

    scale: float
    """Where in the range of scales, 0 to 1; `top` and `left`: where in the range of crops."""
    top: float
    left: float
    alphas: Floats
    """(3,): the factors of the colour's eigenvectors, from a normal distribution of deviation 0.1."""


def choices(key: int) -> Choices:
    """Derive the choices from the key of a sample (`study.training.feeds.samples`)."""
    random = np.random.RandomState(key)  # its streams never change
    scale, top, left = random.random_sample(3)
    return Choices(scale, top, left, random.normal(0.0, 0.1, 3))


def random_crop(chosen: Choices, scales: tuple[int, int], size: int) -> Place:
    """Place a square of `size` pixels anywhere in the image, its shorter side drawn from `scales`, both ends included."""
    low, high = scales
    side = low + int(chosen.scale * (high - low + 1))

    def place(width: int, height: int) -> Crop:
        whole = scaled(width, height, side)
        left, top = int(chosen.left * (whole[0] - size + 1)), int(chosen.top * (whole[1] - size + 1))
        return Crop(whole, left, top, size, size)

    return place


def centre_crop(side: int, size: int) -> Place:
    """Place the square of `size` pixels in the middle of an image whose shorter side is scaled to `side`."""

    def place(width: int, height: int) -> Crop:
        whole = scaled(width, height, side)
        return Crop(whole, (whole[0] - size) // 2, (whole[1] - size) // 2, size, size)

    return place


def whole_image(side: int) -> Place:
    """Take the whole image, its shorter side scaled to `side`."""

    def place(width: int, height: int) -> Crop:
        whole = scaled(width, height, side)
        return Crop(whole, 0, 0, *whole)

    return place


def cut(path: str, place: Place) -> Images:
    """Cut a part out of an image file: RGB, uint8 (height, width, 3), scaled bilinearly with antialiasing."""
    found: list[Crop] = []

    def at_least(width: int, height: int) -> tuple[int, int]:
        found.append(place(width, height))
        return found[0].whole

    image = open_image(path, at_least)
    crop = found[0]
    # Only the part is scaled: its place in the file's pixels is a box of fractions.
    x, y = image.width / crop.whole[0], image.height / crop.whole[1]
    right, bottom = min((crop.left + crop.width) * x, image.width), min((crop.top + crop.height) * y, image.height)
    box = (crop.left * x, crop.top * y, right, bottom)
    return np.asarray(image.resize((crop.width, crop.height), Image.Resampling.BILINEAR, box))

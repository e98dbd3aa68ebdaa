"""Parts of an image at a scale: the random crop of training, and the views of testing (He et al. 2015, section 3.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image

from study.data.decode import open_image
from study.data.images import Floats
from study.data.images import Images as Pixels


class Crop(NamedTuple):
    """A part of an image that was scaled as a whole; all in pixels of the scaled image."""

    whole: tuple[int, int]
    """Width and height of the scaled image."""
    left: int
    top: int
    width: int
    height: int


Place = Callable[[int, int], Crop]
"""From an image's width and height in its file to the part that is wanted."""


class Choices(NamedTuple):
    """What is random about one sample, a pure function of its key."""

    scale: float
    """Where in the range of scales, 0 to 1; `top` and `left`: where in the range of crops."""
    top: float
    left: float
    alphas: Floats
    """(3,): the factors of the colour's eigenvectors, from a normal distribution of deviation 0.1."""


def choices(key: int) -> Choices:
    """The choices that follow from the key of a sample (`study.training.feeds.samples`)."""
    random = np.random.RandomState(key)  # its streams never change
    scale, top, left = random.random_sample(3)
    return Choices(scale, top, left, random.normal(0.0, 0.1, 3))


def random_crop(chosen: Choices, scales: tuple[int, int], size: int) -> Place:
    """A square of `size` pixels anywhere in the image, whose shorter side is drawn from `scales`, both ends included."""
    low, high = scales
    side = low + int(chosen.scale * (high - low + 1))

    def place(width: int, height: int) -> Crop:
        whole = scaled(width, height, side)
        left, top = int(chosen.left * (whole[0] - size + 1)), int(chosen.top * (whole[1] - size + 1))
        return Crop(whole, left, top, size, size)

    return place


def centre_crop(side: int, size: int) -> Place:
    """The square of `size` pixels in the middle of an image whose shorter side is `side`."""

    def place(width: int, height: int) -> Crop:
        whole = scaled(width, height, side)
        return Crop(whole, (whole[0] - size) // 2, (whole[1] - size) // 2, size, size)

    return place


def whole_image(side: int) -> Place:
    """The image, its shorter side scaled to `side`."""

    def place(width: int, height: int) -> Crop:
        whole = scaled(width, height, side)
        return Crop(whole, 0, 0, *whole)

    return place


def scaled(width: int, height: int, side: int) -> tuple[int, int]:
    """Width and height once the shorter of them is `side`."""
    scale = side / min(width, height)
    return max(side, round(width * scale)), max(side, round(height * scale))


def cut(path: str, place: Place) -> Pixels:
    """A part of an image file, RGB, uint8 of shape (height, width, 3); scaled bilinearly, with antialiasing.

    Raises `StudyError` that names the file.
    """
    found: list[Crop] = []

    def at_least(width: int, height: int) -> tuple[int, int]:
        found.append(place(width, height))
        return found[0].whole

    image = open_image(path, at_least)
    crop = found[0]
    # Only what is wanted is scaled: the part's place in the file's pixels is a box of fractions.
    x, y = image.width / crop.whole[0], image.height / crop.whole[1]
    right, bottom = min((crop.left + crop.width) * x, image.width), min((crop.top + crop.height) * y, image.height)
    box = (crop.left * x, crop.top * y, right, bottom)
    return np.asarray(image.resize((crop.width, crop.height), Image.Resampling.BILINEAR, box))

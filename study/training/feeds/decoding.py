"""Chunks of decoded images in a given order, with what training's random crops need."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from study.data import ImageFiles
from study.data.stream import Choices, Place, centre_crop, choices, cut, random_crop, whole_image

CHUNK = 32
"""Images decoded and sent at once: a third of a second's work, 5 MB at 224 pixels."""


class Random(NamedTuple):
    """The random part of training images; each array is (n,)."""

    keys: NDArray[np.int64]
    mirror: NDArray[np.bool_]
    scales: tuple[int, int]


class Request(NamedTuple):
    """Images of `train` or `test` by their numbers, int64 (n,), and the part of each that is wanted."""

    split: str
    numbers: NDArray[np.int64]
    side: int
    """The scaled shorter side; `random` has its own range."""
    size: int | None
    """The side of the square to cut out; None: the whole image."""
    random: Random | None = None


class Chunk(NamedTuple):
    """The images of a request, in order."""

    request: Request
    pixels: Tensor
    """uint8: all images in one tensor."""
    shapes: list[tuple[int, ...]]
    """(height, width, 3) of each."""
    alphas: NDArray[np.float64]
    """(n, 3): the colour shift; zero unless the request is `random`."""

    def images(self) -> list[Tensor]:
        """Return each image, uint8 (height, width, 3)."""
        sizes = [height * width * channels for height, width, channels in self.shapes]
        parts = torch.split(self.pixels, sizes)
        return [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def pin_memory(self) -> Chunk:
        """Called by the loader, which would otherwise turn the shapes into lists."""
        return self._replace(pixels=self.pixels.pin_memory())


def decode(data: ImageFiles, request: Request) -> Chunk:
    """Answer a request for images of a data set."""
    alphas = np.zeros((len(request.numbers), 3))
    images = []
    for i, number in enumerate(request.numbers):
        chosen = None if request.random is None else choices(int(request.random.keys[i]))
        image = cut(data.path(request.split, int(number)), _place(request, chosen))
        if request.random is not None and chosen is not None:
            alphas[i] = chosen.alphas
            image = image[:, ::-1] if request.random.mirror[i] else image
        images.append(image)
    pixels = torch.from_numpy(np.concatenate([image.reshape(-1) for image in images]))
    return Chunk(request, pixels, [image.shape for image in images], alphas)


def _place(request: Request, chosen: Choices | None) -> Place:
    if request.size is None:
        return whole_image(request.side)
    if request.random is None or chosen is None:
        return centre_crop(request.side, request.size)
    return random_crop(chosen, request.random.scales, request.size)

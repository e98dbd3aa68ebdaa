"""Where a lane gets its batches from: images on the device, or in files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from study.config.recipes import Numbers
from study.data.images import Floats
from study.errors import StudyError
from study.networks.shape import EVALUATED
from study.training.feeds.samples import Draws, Samples

EVALUATION_BATCH = EVALUATED
"""Images in a batch of an evaluation: a constant, so that sums are taken in the same order every time."""


class Feed(ABC):
    """Training and test images as a network's input.

    The input is `(pixel - mean) / 255`. `mean` is that of the training images at each pixel (He et al. 2015, section
    4.2), or of each channel; BN undoes the division. Or it is `(pixel / 255 - mean) / deviation` with given numbers
    (`Recipe.normalise`). Pixels that are floating-point numbers are not divided by 255 (`white`).
    """

    _labels: dict[str, Tensor]
    recordable = True
    """Whether a CUDA graph may record its batches: they come from tensors that stay in place."""

    def __init__(
        self,
        device: torch.device,
        fingerprint: str,
        classes: int,
        pixel_mean: Floats,
        prepared: str | Numbers,
        white: float = 255.0,
    ) -> None:
        self.device, self.fingerprint, self.classes = device, fingerprint, classes
        self.channels = int(pixel_mean.shape[2])
        """1 for grey images, 3 for colour."""
        self.native = (int(pixel_mean.shape[0]), int(pixel_mean.shape[1]))
        """Height and width of the network's input in training."""
        # A tensor: a GPU would multiply by the reciprocal of a plain number, and samples would differ in their last bits.
        self._scale = torch.tensor(white, device=device)
        self._channel_mean = _float32(pixel_mean.mean((0, 1), keepdims=True), device)
        if not isinstance(prepared, str):
            if wrong := [len(numbers) for numbers in prepared if len(numbers) not in (1, self.channels)]:
                raise StudyError(f"recipe.normalise: {wrong[0]} numbers for images of {self.channels} channels")
            means, deviations = (_float32(white * np.array(numbers), device) for numbers in prepared)
            self._channel_mean, self._scale = means.view(1, 1, -1), deviations
        self.mean = _float32(pixel_mean, device) if prepared == "pixel" else self._channel_mean
        """(H, W, C), or (1, 1, C) of channels."""

    def normalise(self, images: Tensor) -> Tensor:
        """Turn grey levels (N, H, W, C) into the network's input, float32, of the same shape.

        At a size other than the native one the mean of each channel is subtracted.
        """
        mean = self.mean if images.shape[1:3] == self.native else self._channel_mean
        return (images.float() - mean) / self._scale

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of training images."""

    def expect(self, samples: Samples, iteration: int) -> None:  # noqa: B027 -- nothing to do where all is at hand
        """Prepare the batches of the steps from `iteration` on, in order, this rank's parts only."""

    @abstractmethod
    def batch(self, draws: Draws, pad: int) -> tuple[Tensor, Tensor]:
        """Make a training batch, or a part of it, from draws (B,) on the device, padded by `pad` pixels on each side.

        Returns images, float32 (B, C, H, W) in channels-last layout, and labels, int64 (B,).
        """

    def chance(self) -> float:
        """Return the training error of a guess of the most frequent class, in percent."""
        counts = torch.bincount(self._labels["train"].cpu())
        return 100.0 * float(1 - counts.max() / counts.sum())

    @abstractmethod
    def count(self, split: str) -> int:
        """Count the images that an evaluation of `train` or `test` takes."""

    @abstractmethod
    def at(self, split: str, number: Tensor) -> tuple[Tensor, Tensor]:
        """Return the images of a split with these numbers, int64 (B,) on the device, not augmented; as `batch`.

        Numbers count the images of an evaluation, from 0 to `count(split)`.
        """

    def batches(self, split: str, numbers: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield `at` of each of these; images that must be decoded are decoded ahead for all."""
        for number in numbers:
            yield self.at(split, number)

    def every(self, split: str, first: int = 0, step: int = 1) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of an evaluation of `train` or `test`, in order, not augmented; as `batch`.

        Of several ranks each takes every `step`-th batch from number `first` on.
        """
        # Files are looked up by the host, which would have to wait for numbers on the device.
        numbers = torch.arange(self.count(split), device=self.device if self.recordable else "cpu")
        return self.batches(split, torch.split(numbers, EVALUATION_BATCH)[first::step])

    @property
    @abstractmethod
    def sides(self) -> tuple[int, int]:
        """For tests of several views: an image's shorter side, and the side of the square crops."""

    @abstractmethod
    def views(self, split: str, side: int, square: bool) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield the images of an evaluation, the shorter side scaled to `side`: whole, or the square in the middle.

        Each item is numbers, int64 (N,) from 0 to `count(split)`; grey levels (N, H, W, C), uint8 or float32; and
        labels, int64 (N,), all on the device. Images of one size come together, in no particular order.
        """

    def close(self) -> None:  # noqa: B027
        """End the decoding processes, if any."""


def _float32(array: Floats, device: torch.device) -> Tensor:
    return torch.from_numpy(array.astype(np.float32)).to(device)


def pinned(source: Tensor, device: torch.device) -> Tensor:
    """Return host memory that the device can fetch asynchronously: pinned for a GPU."""
    return source.pin_memory() if device.type == "cuda" else source

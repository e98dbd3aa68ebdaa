"""What a lane is fed with: batches for training and evaluation, whether the images lie on the device or in files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from study.data.images import Floats
from study.networks.shape import EVALUATED
from study.training.feeds.samples import Draws, Samples

EVALUATION_BATCH = EVALUATED
"""Images in a batch of an evaluation: a constant, so that sums are taken in the same order every time."""


class Feed(ABC):
    """Training and test images, as a network takes them.

    Its input is `(pixel - mean) / 255`. By default `mean` is that of the training images at each pixel (He et al. 2015,
    section 4.2), or of each channel. The division changes nothing that BN does not undo.
    """

    recordable = True
    """Whether a CUDA graph may record its batches: they come from tensors that stay in their places."""

    def __init__(self, device: torch.device, fingerprint: str, classes: int, pixel_mean: Floats, mean: str) -> None:
        self.device, self.fingerprint, self.classes = device, fingerprint, classes
        self.channels = int(pixel_mean.shape[2])
        """1 for grey images, 3 for colour."""
        self.native = (int(pixel_mean.shape[0]), int(pixel_mean.shape[1]))
        """Height and width of what the network is trained on."""
        # As a tensor: a GPU multiplies by the reciprocal of a plain number, and the samples would differ in their last bits.
        self._scale = torch.tensor(255.0, device=device)
        self._channel_mean = _float32(pixel_mean.mean((0, 1), keepdims=True), device)
        self.mean = _float32(pixel_mean, device) if mean == "pixel" else self._channel_mean
        """(H, W, C), or (1, 1, C) of channels."""

    def normalise(self, images: Tensor) -> Tensor:
        """The network's input from grey levels: (N, H, W, C) to the same shape, float32.

        At another size than the native one the mean of each channel is subtracted.
        """
        mean = self.mean if images.shape[1:3] == self.native else self._channel_mean
        return (images.float() - mean) / self._scale

    @abstractmethod
    def __len__(self) -> int:
        """Images to train on."""

    def expect(self, samples: Samples, iteration: int) -> None:  # noqa: B027 -- nothing to do where all is at hand
        """Have the batches of the steps from `iteration` on ready in their order, each part of this rank's once."""

    @abstractmethod
    def batch(self, draws: Draws, pad: int) -> tuple[Tensor, Tensor]:
        """One training batch, or a part of it.

        Parameters
        ----------
        draws
            Of these images, each part (B,), on the device.
        pad
            Pixels of padding on each side.

        Returns
        -------
        images, labels
            float32 (B, C, H, W) in channels-last layout, and int64 (B,).
        """

    @abstractmethod
    def count(self, split: str) -> int:
        """Images that an evaluation of `train` or `test` takes."""

    @abstractmethod
    def in_order(self, split: str, first: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """`count` images of `train` or `test` from the number in `first` (int64, on the device) on, not augmented.

        Shapes as in `batch`.
        """

    @abstractmethod
    def at(self, split: str, number: Tensor) -> tuple[Tensor, Tensor]:
        """The images of `train` or `test` with these numbers, int64 (B,) on the device, not augmented. Shapes as in `batch`.

        Numbers count what an evaluation takes, from 0 to `count(split)`.
        """

    def batches(self, split: str, numbers: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """As `at` of each of these, one after another; where images have to be decoded, that is done ahead for all."""
        for number in numbers:
            yield self.at(split, number)

    def evaluation_sizes(self, split: str, first: int = 0, step: int = 1) -> list[int]:
        """Images in each batch of an evaluation of `train` or `test`, of every `step`-th batch from `first` on."""
        count = self.count(split)
        starts = range(first * EVALUATION_BATCH, count, step * EVALUATION_BATCH)
        return [min(EVALUATION_BATCH, count - start) for start in starts]

    @property
    @abstractmethod
    def sides(self) -> tuple[int, int]:
        """For tests of several views: an image's shorter side, and that of the square crops taken of it."""

    @abstractmethod
    def views(self, split: str, side: int, square: bool) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """The images of an evaluation, their shorter side scaled to `side`: whole, or the square in their middle.

        Yields
        ------
        numbers, images, labels
            int64 (N,) from 0 to `count(split)`; grey levels (N, H, W, C), uint8 or float32; int64 (N,). Images of one
            size come together, in no particular order; all on the device.
        """

    def close(self) -> None:  # noqa: B027
        """End what was started."""


def _float32(array: Floats, device: torch.device) -> Tensor:
    return torch.from_numpy(array.astype(np.float32)).to(device)

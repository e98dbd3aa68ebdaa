"""A data set resident on a device, and its batches: augmented for training, as they are for evaluation."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from study.data import ImageSet
from study.networks.memory import EVALUATED
from study.training.samples import Draws

EVALUATION_BATCH = EVALUATED
"""Images in a batch of an evaluation: a constant, so that sums are taken in the same order every time."""


class Images:
    """Training and test images on a device, as uint8 (N, H, W, C), with their labels.

    The network's input is `(pixel - mean) / 255`, where `mean` is the per-pixel mean over the training images (He et
    al. 2015, section 4.2); padding is zero after that. The division changes nothing that BN does not undo.
    """

    def __init__(self, data: ImageSet, device: torch.device) -> None:
        self.device = device
        self.fingerprint = data.fingerprint
        self.classes = len(data.classes)
        mean = np.zeros(data.train_images.shape[1:], np.float64)
        for start in range(0, len(data.train_images), 5000):  # in parts: float64 copies are eight times the data
            mean += data.train_images[start : start + 5000].sum(0, dtype=np.float64)
        # As a tensor: a GPU multiplies by the reciprocal of a plain number, and the samples would differ in their last bits.
        self._scale = torch.tensor(255.0, device=device)
        self.mean = torch.from_numpy((mean / len(data.train_images)).astype(np.float32)).to(device)
        self._images = {"train": _upload(data.train_images, device), "test": _upload(data.test_images, device)}
        self._labels = {"train": _upload(data.train_labels, device), "test": _upload(data.test_labels, device)}

    def __len__(self) -> int:
        """Images to train on."""
        return len(self._labels["train"])

    @property
    def channels(self) -> int:
        """1 for grey images, 3 for colour."""
        return int(self.mean.shape[2])

    def _normalise(self, images: Tensor) -> Tensor:
        return (images.float() - self.mean) / self._scale

    def batch(self, draws: Draws, pad: int) -> tuple[Tensor, Tensor]:
        """One training batch.

        Parameters
        ----------
        draws
            Of this batch, each part (B,), on the device.
        pad
            Pixels of padding on each side.

        Returns
        -------
        images, labels
            float32 (B, C, H, W) in channels-last layout, and int64 (B,).
        """
        images = self._normalise(self._images["train"].index_select(0, draws.image))
        if pad:
            images = F.pad(images, (0, 0, pad, pad, pad, pad))
        count, height, width, channels = images.shape
        rows = draws.top[:, None] + torch.arange(height - 2 * pad, device=self.device)
        across = torch.arange(width - 2 * pad, device=self.device)
        columns = draws.left[:, None] + torch.where(draws.mirror[:, None], across.flip(0), across)
        first = torch.arange(count, device=self.device)[:, None] * height
        pixel = ((first + rows) * width)[:, :, None] + columns[:, None, :]
        crop = images.view(-1, channels).index_select(0, pixel.flatten())
        crop = crop.view(count, height - 2 * pad, width - 2 * pad, channels)
        return crop.permute(0, 3, 1, 2), self._labels["train"].index_select(0, draws.image)

    def count(self, split: str) -> int:
        """Images of `train` or `test`."""
        return len(self._labels[split])

    def in_order(self, split: str, first: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """`count` images of `train` or `test` from the number in `first` (int64, on the device) on, not augmented.

        Shapes as in `batch`.
        """
        return self.at(split, first + torch.arange(count, device=self.device))

    def at(self, split: str, number: Tensor) -> tuple[Tensor, Tensor]:
        """The images of `train` or `test` with these numbers, int64 (B,) on the device, not augmented. Shapes as in `batch`."""
        images = self._normalise(self._images[split].index_select(0, number))
        return images.permute(0, 3, 1, 2), self._labels[split].index_select(0, number)

    def evaluation_sizes(self, split: str, first: int = 0, step: int = 1) -> list[int]:
        """Images in each batch of an evaluation of `train` or `test`, of every `step`-th batch from `first` on."""
        count = self.count(split)
        starts = range(first * EVALUATION_BATCH, count, step * EVALUATION_BATCH)
        return [min(EVALUATION_BATCH, count - start) for start in starts]


def _upload(array: np.ndarray, device: torch.device) -> Tensor:
    with warnings.catch_warnings():
        # torch warns that it could write to a read-only array. Nothing here does, and a memory map stays one: its
        # pages are shared by all workers of a machine.
        warnings.filterwarnings("ignore", "The given NumPy array is not writ")
        return torch.from_numpy(array).to(device)

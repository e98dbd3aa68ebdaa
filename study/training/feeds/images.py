"""A data set resident on a device, and its batches, augmented for training."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from study.config.recipes import Numbers
from study.data import ImageSet
from study.data.decode import scaled
from study.training.feeds.feed import EVALUATION_BATCH, Feed
from study.training.feeds.samples import Draws


class Images(Feed):
    """Training and test images on a device, (N, H, W, C), with their labels; padding is zero, after the mean.

    Grey levels are uint8; the user's float32 are not divided by 255.
    """

    def __init__(self, data: ImageSet, device: torch.device, prepared: str | Numbers = "pixel") -> None:
        total = np.zeros(data.train_images.shape[1:], np.float64)
        for start in range(0, len(data.train_images), 5000):  # in parts: a float64 copy is eight times the data
            total += data.train_images[start : start + 5000].sum(0, dtype=np.float64)
        white = 255.0 if data.train_images.dtype == np.uint8 else 1.0
        super().__init__(device, data.fingerprint, len(data.classes), total / len(data.train_images), prepared, white)
        self._images = {"train": _upload(data.train_images, device), "test": _upload(data.test_images, device)}
        self._labels = {"train": _upload(data.train_labels, device), "test": _upload(data.test_labels, device)}

    def __len__(self) -> int:
        return len(self._labels["train"])

    def batch(self, draws: Draws, pad: int) -> tuple[Tensor, Tensor]:
        images = self.normalise(self._images["train"].index_select(0, draws.image))
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
        return len(self._labels[split])

    def at(self, split: str, number: Tensor) -> tuple[Tensor, Tensor]:
        images = self.normalise(self._images[split].index_select(0, number))
        return images.permute(0, 3, 1, 2), self._labels[split].index_select(0, number)

    @property
    def sides(self) -> tuple[int, int]:
        side = min(self.native)
        return side, side * 7 // 8  # 224 of 256, as for ImageNet

    def views(self, split: str, side: int, square: bool) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for start in range(0, self.count(split), EVALUATION_BATCH):
            images = self._images[split][start : start + EVALUATION_BATCH]
            numbers = torch.arange(start, start + len(images), device=self.device)
            yield numbers, _view(images, side, square), self._labels[split][start : start + EVALUATION_BATCH]


def _view(images: Tensor, side: int, square: bool) -> Tensor:
    height, width = images.shape[1:3]
    across, down = scaled(width, height, side)
    if (down, across) != (height, width):
        maps = images.permute(0, 3, 1, 2).float()
        maps = F.interpolate(maps, (down, across), mode="bilinear", antialias=True, align_corners=False)
        images = maps.permute(0, 2, 3, 1)
    top, left = (down - side) // 2, (across - side) // 2
    return images[:, top : top + side, left : left + side] if square else images


def _upload(array: np.ndarray, device: torch.device) -> Tensor:
    with warnings.catch_warnings():
        # torch warns that the array is read-only. Nothing writes to it, and a memory map's pages are shared by all
        # workers of a machine.
        warnings.filterwarnings("ignore", "The given NumPy array is not writ")
        return torch.from_numpy(array).to(device)

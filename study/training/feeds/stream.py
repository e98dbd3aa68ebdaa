"""Images that stay in files: decoded ahead by processes, normalised on the device (He et al. 2015, section 3.4)."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from study.config.recipes import Recipe
from study.data import ImageFiles
from study.data.decode import ahead
from study.training.feeds.decoding import CHUNK, Chunk, Random, Request, decode
from study.training.feeds.feed import Feed, pinned
from study.training.feeds.samples import Draws, Samples
from study.training.ranks import Ranks

EVALUATED_TRAINING = 50_000
"""The most training images of an evaluation, as many as ImageNet's validation set has: all 1.28 million once an epoch would
add a third to the training's arithmetic."""


class Stream(Feed):
    """Training and test images in files, decoded in the order in which one lane takes them.

    The recipe says `scales` (by default the shorter side is the crop's), `colour`, `mean`, and the parts of a batch.
    Each rank decodes its own parts of a batch and its own batches of an evaluation, by `workers` processes (0: this
    one). The images do not depend on their number.
    """

    recordable = False

    def __init__(
        self, data: ImageFiles, recipe: Recipe, device: torch.device, ranks: Ranks | None = None, workers: int = 0
    ) -> None:
        super().__init__(device, data.fingerprint, len(data.classes), data.statistics.pixel_mean, recipe.prepared)
        self.data, self.recipe, self.ranks, self.workers = data, recipe, ranks or Ranks(), workers
        self.size = data.image_size
        self.scales = recipe.scales or (self.size, self.size)
        # Alphas times this are the colour shift (Krizhevsky et al. 2012, section 4.1), in units of white: in grey levels
        # the formula would shift by thousands.
        self._shifts = data.statistics.eigenvalues[:, None] * data.statistics.eigenvectors.T
        self._labels = {
            split: torch.from_numpy(labels).to(device)
            for split, labels in (("train", data.train_labels), ("test", data.test_labels))
        }
        self._evaluated = {"train": _subset(len(data.train_labels)), "test": np.arange(len(data.test_labels))}
        self._training: Generator[Chunk, None, None] | None = None
        self._parts = 0  # that training has taken, counted from the first step

    def __len__(self) -> int:
        return len(self.data.train_labels)

    def close(self) -> None:
        if self._training is not None:
            self._training.close()
        self._training = None

    # -- training -----------------------------------------------------------------------------------------------------

    @property
    def _share(self) -> range:
        return self.ranks.share(self.recipe.bn_groups)

    def expect(self, samples: Samples, iteration: int) -> None:
        if self._training is None or self._parts != iteration * len(self._share):
            self.close()
            self._training = self._decoded(self._wanted(samples, iteration))
            self._parts = iteration * len(self._share)

    def _wanted(self, samples: Samples, iteration: int) -> Iterator[Request]:
        """Request all batches from a step on, endlessly: the loader runs ahead of the window on the device."""
        size = self.recipe.batch_size // self.recipe.bn_groups
        while True:
            image, _, _, mirror, key = (part.numpy() for part in samples.window(iteration))
            for batch in range(len(image)):
                for group in self._share:
                    for start in range(group * size, (group + 1) * size, CHUNK):
                        part = (batch, slice(start, min(start + CHUNK, (group + 1) * size)))
                        random = Random(key[part], mirror[part], self.scales)
                        yield Request("train", image[part], self.scales[0], self.size, random)
            iteration += len(image)

    def batch(self, draws: Draws, pad: int) -> tuple[Tensor, Tensor]:
        """Return the next batch announced by `expect`, which must be that of these draws."""
        if self._training is None:
            raise RuntimeError("call `expect` first")
        chunks = [next(self._training) for _ in range(-(-len(draws.image) // CHUNK))]
        self._parts += 1
        if self.device.type == "cpu":  # a GPU would have to wait
            keys = np.concatenate([chunk.request.random.keys for chunk in chunks if chunk.request.random])
            assert np.array_equal(keys, draws.key.numpy()), "batches were taken in another order than they were drawn"
        images = self.normalise(self._uploaded(chunks))
        if self.recipe.colour == "pca":
            shift = np.concatenate([chunk.alphas for chunk in chunks]) @ self._shifts
            images = images + self._on_device(shift.astype(np.float32))[:, None, None, :]
        return images.permute(0, 3, 1, 2), self._labels["train"].index_select(0, draws.image)

    # -- evaluation ---------------------------------------------------------------------------------------------------

    def count(self, split: str) -> int:
        """Count the images of an evaluation: all of `test`, at most a fixed sample of 50,000 of `train`."""
        return len(self._evaluated[split])

    def at(self, split: str, number: Tensor) -> tuple[Tensor, Tensor]:
        [found] = self.batches(split, [number])
        return found

    def batches(self, split: str, numbers: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        # One pool for all: starting it takes longer than decoding a batch.
        parts = [self._evaluated[split][number.cpu().numpy()] for number in numbers]
        chunks = self._decoded(r for part in parts for r in _in_chunks(split, part, self.scales[0], self.size))
        with closing(chunks):
            for part in parts:
                images = self._uploaded([next(chunks) for _ in range(-(-len(part) // CHUNK))])
                labels = self._labels[split].index_select(0, self._on_device(part))
                yield self.normalise(images).permute(0, 3, 1, 2), labels

    @property
    def sides(self) -> tuple[int, int]:
        return self.scales[0], self.size

    def views(self, split: str, side: int, square: bool) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        numbers, seen = self._evaluated[split], 0
        for chunk in self._decoded(_in_chunks(split, numbers, side, side if square else None)):
            images, count = chunk.images(), len(chunk.shapes)
            for shape in dict.fromkeys(chunk.shapes):
                places = [i for i in range(count) if chunk.shapes[i] == shape]
                labels = self._labels[split].index_select(0, self._on_device(chunk.request.numbers[places]))
                alike = torch.stack([images[i] for i in places]).to(self.device)
                yield self._on_device(np.array(places) + seen), alike, labels
            seen += count

    # -- both ---------------------------------------------------------------------------------------------------------

    def _decoded(self, requests: Iterator[Request]) -> Generator[Chunk, None, None]:
        return ahead(partial(decode, self.data), requests, self.workers, pin=self.device.type == "cuda")

    def _uploaded(self, chunks: list[Chunk]) -> Tensor:
        """Upload the squares of chunks, uint8 (n, size, size, 3)."""
        parts = [chunk.pixels.to(self.device, non_blocking=True).view(-1, self.size, self.size, 3) for chunk in chunks]
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def _on_device(self, numbers: NDArray[Any]) -> Tensor:
        """Upload numbers without waiting for the device."""
        return pinned(torch.from_numpy(numbers), self.device).to(self.device, non_blocking=True)


def _in_chunks(split: str, numbers: NDArray[np.int64], side: int, size: int | None) -> Iterator[Request]:
    for start in range(0, len(numbers), CHUNK):
        yield Request(split, numbers[start : start + CHUNK], side, size)


def _subset(images: int) -> NDArray[np.int64]:
    """Return the sorted numbers of the training images that are evaluated: the same for every run on a data set."""
    return np.sort(np.random.RandomState(0).permutation(images)[:EVALUATED_TRAINING])

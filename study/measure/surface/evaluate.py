"""Loss and error of one network at many settings of its weights.

BN's statistics are the centre's, moved where the directions move them (`frozen`), those of training images at the point
(`recalibrated`), or each batch's own (`batch`). With the first two, BN is folded (`study.networks.fold`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from study.config.run import RunSpec
from study.config.surface import Surface
from study.measure.probes.batch_norm import recalibrate
from study.measure.probes.subject import Stopped
from study.measure.surface.flat import Flat
from study.measure.surface.plane import Plane
from study.networks.fold import Folded
from study.networks.layers import BatchNorm
from study.networks.network import Network, Own, structure
from study.training.engine import Cuda
from study.training.feeds.feed import Feed
from study.training.session import never

PIXELS = {("cpu", torch.float32): 1 << 16, ("cpu", torch.bfloat16): 1 << 17}
GPU_PIXELS = 2500 << 10
"""Pixels of a batch if BN's statistics do not depend on it: on a CPU its maps should fit the cache (measured)."""

RESIDENT = 2 << 30
"""Bytes of images that are kept in the network's input format on a GPU and for streams; more are converted at each point.
Images resident on a CPU always are: it takes 0.1 % of a point's time (measured), and a copy of CIFAR-10 0.7 GB a worker."""

Batch = tuple[Tensor, Tensor]


class Measured(NamedTuple):
    """Loss and error at a point, of one split."""

    loss: float
    """Mean cross-entropy, nats; may be NaN or infinite."""
    error: float
    """Percent. A prediction whose loss is NaN is wrong."""


class Evaluator:
    """Measures the points of one plane one after another, on the device of `feed`.

    Equal coordinates give equal numbers, bit for bit, whatever was measured before.
    """

    def __init__(self, surface: Surface, spec: RunSpec, plane: Plane, feed: Feed) -> None:
        self.surface, self.spec, self.feed = surface, spec, feed
        device = feed.device
        self.network = structure(spec, feed.channels, feed.classes, feed.native[0]).placed(device).eval()
        self.flat = Flat(self.network)
        self.centre, self.directions = plane.centre.to(device), plane.directions.to(device)
        self._vector = self.centre.clone()
        self.flat.bind(self.network, self._vector)
        self._coordinates = torch.zeros(surface.dims, device=device)
        dtype = torch.bfloat16 if surface.precision == "bf16" else torch.float32
        plain = surface.bn == "batch" or isinstance(self.network, Own)  # whose structure is unknown
        self._forward = _AsItIs(self.network, dtype, surface.bn == "batch") if plain else Folded(self.network, dtype)
        self._calibration = self._calibrating() if surface.bn == "recalibrated" else None
        self._sums = {split: _Sums(device) for split in surface.splits}
        self._batches = {split: self._made(split, dtype) for split in surface.splits}
        resident = all(isinstance(made, list) for made in (self._calibration or [], *self._batches.values()))
        self.recording = device.type == "cuda" and resident
        """Whether points are replayed from one CUDA graph: the images must stay in place."""
        self._replay: Callable[[], None] | None = None

    def images(self, split: str) -> int:
        """Count the images of a split that are evaluated."""
        there = self.feed.count(split)
        return min(there, self.surface.subset or there) if split == "train" else there

    # -- points -------------------------------------------------------------------------------------------------------

    def at(self, coordinates: tuple[float, ...], stopped: Callable[[], bool] = never) -> dict[str, Measured]:
        """Measure loss and error of each split at a point of the plane.

        Asks `stopped` before each batch, and raises `Stopped`; a GPU takes only seconds for a point and does not ask.
        """
        self._coordinates.copy_(torch.tensor(coordinates))
        if self.recording and self._replay is None:
            self._eager()  # so that libraries choose their algorithms before the recording
            self._replay = Cuda([]).record(self._eager)
        if self._replay is not None:
            self._replay()
        else:
            self._eager(stopped)
        return self._found()

    def of(self, vector: Tensor, stopped: Callable[[], bool] = never) -> dict[str, Measured]:
        """Measure a network that need not lie in the plane, given as a `Flat` vector."""
        self._vector.copy_(vector)
        self._evaluate(stopped)
        return self._found()

    @torch.no_grad()
    def move(self, coordinates: tuple[float, ...]) -> Network:
        """Return the network at a point in float32, to be measured otherwise; always the same object."""
        self._coordinates.copy_(torch.tensor(coordinates))
        self._place()
        self._recalibrate()
        return self.network

    def _eager(self, stopped: Callable[[], bool] = never) -> None:
        self._place()
        self._evaluate(stopped)

    @torch.no_grad()
    def _place(self) -> None:
        torch.addmv(self.centre, self.directions.T, self._coordinates, out=self._vector)

    def _recalibrate(self) -> None:
        if self._calibration is not None:
            recalibrate(self.network, (images for images, _ in self._calibration))

    @torch.no_grad()
    def _evaluate(self, stopped: Callable[[], bool]) -> None:
        self._recalibrate()
        self._forward.renew()
        for split, sums in self._sums.items():
            sums.clear()
            for images, labels in self._batches[split]:
                if stopped():
                    raise Stopped
                sums.add(self._forward(images), labels)

    def _found(self) -> dict[str, Measured]:
        return {split: sums.means(self.images(split)) for split, sums in self._sums.items()}

    # -- data ---------------------------------------------------------------------------------------------------------

    def _calibrating(self) -> Iterable[Batch]:
        """Make batches of training images for BN's statistics, of the size that BN saw in training."""
        chosen = _drawn(self.feed.count("train"), self.surface.bn_images)
        size = self.spec.recipe.batch_size // self.spec.recipe.bn_groups
        return self._kept("train", chosen, size, torch.float32)

    def _made(self, split: str, dtype: torch.dtype) -> Iterable[Batch]:
        """Make the batches of an evaluation."""
        count = self.images(split)
        if self.surface.bn == "batch":
            # Shuffled: files often come class by class, and a batch of one class has other statistics.
            chosen, size = _drawn(self.feed.count(split), count), self.spec.recipe.batch_size
            size //= self.spec.recipe.bn_groups
        else:
            whole = count == self.feed.count(split)
            chosen = np.arange(count) if whole else np.sort(_drawn(self.feed.count(split), count))
            size = max(1, PIXELS.get((self.feed.device.type, dtype), GPU_PIXELS) // math.prod(self.feed.native))
        return self._kept(split, chosen, size, dtype)

    def _kept(self, split: str, numbers: np.ndarray, size: int, dtype: torch.dtype) -> Iterable[Batch]:
        """Split images into as few batches of at most `size` as possible; keep them as a list if that saves time."""
        parts = np.array_split(numbers, max(1, -(-len(numbers) // size)))
        batches = _Anew(self.feed, split, [torch.from_numpy(part).to(self.feed.device) for part in parts], dtype)
        costly = self.feed.device.type == "cuda" or not self.feed.recordable  # to be recorded, or decoded from files
        return list(batches) if costly and batches.bytes <= RESIDENT else batches


class _Anew:
    """Batches that are converted each time they are used."""

    def __init__(self, feed: Feed, split: str, numbers: list[Tensor], dtype: torch.dtype) -> None:
        self.feed, self.split, self.numbers, self.dtype = feed, split, numbers, dtype
        self.bytes = sum(map(len, numbers)) * feed.channels * math.prod(feed.native) * dtype.itemsize

    def __iter__(self) -> Iterator[Batch]:
        for images, labels in self.feed.batches(self.split, self.numbers):
            yield images.to(self.dtype, memory_format=torch.channels_last), labels


class _Sums:
    """Sums of loss and correct predictions of an evaluation, on the device."""

    def __init__(self, device: torch.device) -> None:
        self.loss = torch.zeros((), dtype=torch.float64, device=device)
        self.right = torch.zeros((), dtype=torch.int64, device=device)

    def clear(self) -> None:
        self.loss.zero_()
        self.right.zero_()

    def add(self, logits: Tensor, labels: Tensor) -> None:
        losses = F.cross_entropy(logits, labels, reduction="none")
        self.loss += losses.sum(dtype=torch.float64)
        self.right += ((logits.argmax(1) == labels) & ~losses.isnan()).sum()

    def means(self, count: int) -> Measured:
        return Measured(float(self.loss) / count, 100.0 * (count - int(self.right)) / count)


class _AsItIs:
    """The network itself; `batchwise` with each batch's own statistics. Dropout as in evaluation."""

    def __init__(self, network: Network, dtype: torch.dtype, batchwise: bool) -> None:
        self._network, self._dtype = network, dtype
        for module in network.modules() if batchwise else ():
            if isinstance(module, BatchNorm):
                module.forward = partial(_of_batch, module)  # type: ignore[method-assign]

    def renew(self) -> None:
        """The weights are the network's own."""

    def __call__(self, images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self._dtype == torch.bfloat16):
            return self._network(images).float()  # type: ignore[no-any-return]


def _of_batch(module: BatchNorm, x: Tensor) -> Tensor:
    return F.batch_norm(x, None, None, module.weight, module.bias, training=True, eps=module.eps)


def _drawn(there: int, count: int | None) -> np.ndarray:
    """Draw the numbers of `count` images, always the same for a data set."""
    return np.random.RandomState(0).permutation(there)[: min(there, count or there)]

"""What a probe gets and returns, and the layers that probes name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from study.config.run import RunSpec
from study.networks.network import Network, loaded
from study.training.feeds.feed import Feed
from study.training.session import never
from study.training.start import begun


class Value(NamedTuple):
    """One number that a probe measured."""

    measure: str
    """What was measured, such as `std`; its unit is in the probe's docstring."""
    layer: str
    """The layer or block, named as in the network's state; empty for the whole network."""
    place: int
    """Its position among the measured layers, from 1 in the order of the forward pass; 0 for the whole network."""
    value: float
    images: int | None = None
    """The number of images; None: the training images that `Subject.batches` yields."""


class Stopped(Exception):  # noqa: N818 -- no error: it unwinds a measurement
    """The measurement was cancelled."""


@dataclass(frozen=True)
class Subject:
    """A network to measure: a copy in float32, so that nothing done to it affects the training."""

    spec: RunSpec
    network: Network
    images: Feed
    count: int
    """How many training images a probe uses."""
    stopped: Callable[[], bool] = never
    """Whether to stop, by raising `Stopped`; for a probe that takes minutes per value."""

    @classmethod
    def of(cls, spec: RunSpec, state: Mapping[str, Tensor], images: Feed, count: int) -> Subject:
        """Make a subject from a network's state (of a checkpoint or a `Program`)."""
        network = loaded(spec, state, images.channels, images.classes, images.native[0])
        return cls(spec, network.placed(images.device), images, count)

    def initial(self) -> Network:
        """Build the network as its seed initialises it."""
        return begun(self.spec, self.images)

    def batches(self, count: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield whole batches of training images, not augmented: about `count` images in all, at least one batch.

        They are the same randomly drawn images for every network and iteration. Shapes as `Feed.batch`.
        """
        whole = self.looked_at(count)
        chosen = np.random.RandomState(0).permutation(self.images.count("train"))[:whole]
        numbers = torch.from_numpy(chosen).to(self.images.device)
        return self.images.batches("train", torch.split(numbers, min(self.spec.recipe.batch_size, whole)))

    def every(self, split: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield all images of `split` in order, not augmented, as an evaluation does. Shapes as `Feed.batch`.

        Asks `stopped` before each batch, and raises `Stopped`.
        """
        for batch in self.images.every(split):
            if self.stopped():
                raise Stopped
            yield batch

    def looked_at(self, count: int | None = None) -> int:
        """Count the images that `batches` yields."""
        there = self.images.count("train")
        size = min(self.spec.recipe.batch_size, there)
        return max(size, min(count or self.count, there) // size * size)

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Compute the mean cross-entropy of a batch, in nats, differentiably. BN sees the batch in `bn_groups` parts."""
        groups = self.spec.recipe.bn_groups
        parts = zip(images.chunk(groups), labels.chunk(groups), strict=True)
        return torch.stack([self._loss(*part) for part in parts]).mean()

    def _loss(self, images: Tensor, labels: Tensor) -> Tensor:
        self.network.set_keys(torch.arange(len(labels), device=labels.device))
        return F.cross_entropy(self.network(images), labels)


def weighted(network: Network) -> list[tuple[str, nn.Conv2d | nn.Linear]]:
    """List every convolution and linear layer by name; those of a block's shortcut follow those of its branch."""
    return [(name, module) for name, module in network.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]


def scores(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the sum of losses and the number of errors, float64 (2,), on the CPU."""
    loss = F.cross_entropy(logits, labels, reduction="sum")
    return torch.stack([loss.double(), (logits.argmax(1) != labels).sum().double()]).cpu()

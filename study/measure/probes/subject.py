"""What a probe is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from study.config.run import RunSpec
from study.networks.network import Network, build, loaded
from study.training.feeds.feed import Feed


class Value(NamedTuple):
    """One number that a probe measured."""

    measure: str
    """What was measured, such as `std`; its unit is in the probe's docstring."""
    layer: str
    """The layer or block, named as in the network's state; empty for the whole network."""
    place: int
    """Its place among those measured, from 1 in the order of the data's way; 0 for the whole network."""
    value: float
    images: int | None = None
    """How many images it is of; None: the training images that `Subject.batches` gives."""


class Stopped(Exception):  # noqa: N818 -- no error: it unwinds a measurement
    """What measures was told to stop."""


@dataclass(frozen=True)
class Subject:
    """A network to be measured: a copy in float32, so that nothing that is done to it reaches the training."""

    spec: RunSpec
    network: Network
    images: Feed
    count: int
    """How many training images a probe looks at."""
    stopped: Callable[[], bool] = lambda: False
    """For a probe that takes minutes to a value: whether it is to give up, by raising `Stopped`."""

    @classmethod
    def of(cls, spec: RunSpec, state: Mapping[str, Tensor], images: Feed, count: int) -> Subject:
        """A subject from a network's state (of a checkpoint, or of a `Program`)."""
        network = loaded(spec, state, images.channels, images.classes)
        return cls(spec, _placed(network, images), images, count)

    def initial(self) -> Network:
        """The network as its seed made it."""
        return _placed(build(self.spec, self.images.channels, self.images.classes), self.images)

    def batches(self, split: str = "train", count: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Whole batches of `split`, not augmented, `count` images in all or a little less, but at least one batch.

        Always the same images, drawn at random, for every network and at every iteration. Shapes as `Feed.batch`.
        """
        whole = self.looked_at(split, count)
        chosen = np.random.RandomState(0).permutation(self.images.count(split))[:whole]
        numbers = torch.from_numpy(chosen).to(self.images.device)
        for part in torch.split(numbers, min(self.spec.recipe.batch_size, whole)):
            yield self.images.at(split, part)

    def every(self, split: str) -> Iterator[tuple[Tensor, Tensor]]:
        """All images of `split` in their order, not augmented, as an evaluation takes them. Shapes as `Feed.batch`.

        Raises
        ------
        Stopped
            `stopped`, which is asked before each batch, says so.
        """
        first = 0
        for size in self.images.evaluation_sizes(split):
            if self.stopped():
                raise Stopped
            yield self.images.in_order(split, torch.tensor(first, device=self.images.device), size)
            first += size

    def looked_at(self, split: str = "train", count: int | None = None) -> int:
        """How many images `batches` gives in all."""
        there = self.images.count(split)
        size = min(self.spec.recipe.batch_size, there)
        return max(size, min(count or self.count, there) // size * size)

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy of a batch, in nats; its gradient can be taken. BN sees the batch in `bn_groups` parts."""
        groups = self.spec.recipe.bn_groups
        parts = zip(images.chunk(groups), labels.chunk(groups), strict=True)
        return torch.stack([self._loss(*part) for part in parts]).mean()

    def _loss(self, images: Tensor, labels: Tensor) -> Tensor:
        self.network.set_keys(torch.arange(len(labels), device=labels.device))
        return F.cross_entropy(self.network(images), labels)


def _placed(network: Network, images: Feed) -> Network:
    return network.to(images.device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

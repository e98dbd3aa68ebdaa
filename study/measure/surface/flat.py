"""All of a network's weights and BN statistics in one vector, so that a point of a plane is one operation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from study.networks.network import Network


class Flat:
    """The layout of a network in a vector: its parameters in order, then BN's running statistics."""

    def __init__(self, network: Network) -> None:
        self._known = network.state_dict()
        parameters = {name: p.shape for name, p in network.named_parameters()}
        kept = ((name, b) for name, b in network.named_buffers() if name in self._known)
        buffers = {name: b.shape for name, b in kept if b.is_floating_point()}
        self.shapes = parameters | buffers
        """The shapes by name, in the order of the vector."""
        self.weights = sum(map(math.prod, parameters.values()))
        """How many values are parameters; they come first."""
        self.size = self.weights + sum(map(math.prod, buffers.values()))

    def pack(self, state: Mapping[str, Tensor]) -> Tensor:
        """Return a network's state as a vector, float32 (size,). Raises `ValueError` for another network's state."""
        wrong = [n for n, shape in self.shapes.items() if n not in state or state[n].shape != shape]
        unknown = [n for n in state if n not in self._known and not n.endswith("num_batches_tracked")]
        if wrong or unknown:
            raise ValueError(f"not the state of this network: {', '.join([*wrong, *unknown][:3])}")
        return torch.cat([state[name].detach().flatten().float() for name in self.shapes])

    def parts(self, vector: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield views of a vector (size,) in the shapes of the network's tensors."""
        start = 0
        for name, shape in self.shapes.items():
            yield name, vector[start : start + math.prod(shape)].view(shape)
            start += math.prod(shape)

    def bind(self, network: Network, vector: Tensor) -> None:
        """Make a network's tensors views of a vector: the network computes with what is written there."""
        tensors: dict[str, nn.Parameter | Tensor] = {
            **dict(network.named_parameters()),
            **dict(network.named_buffers()),
        }
        for name, view in self.parts(vector):
            tensors[name].data = view

"""How strongly each 3x3 layer responds (He et al. 2015, section 4.2 and figure 7)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn

from study.measure.probes.subject import Subject, Value
from study.networks.network import Network


class Spread:
    """The standard deviation of all numbers taken, summed in float64."""

    def __init__(self) -> None:
        self.count = 0
        self.total = self.squares = torch.zeros((), dtype=torch.float64)

    def take(self, x: Tensor) -> None:
        """Add a batch of any shape."""
        wide = x.detach().double()
        self.count += wide.numel()
        self.total = self.total + wide.sum()
        self.squares = self.squares + wide.square().sum()

    @property
    def std(self) -> float:
        mean = float(self.total) / self.count
        variance = float(self.squares) / self.count - mean**2
        return math.sqrt(variance) if not variance < 0 else 0.0  # rounding may make a constant negative; keep NaN


def _places(network: Network) -> Iterator[tuple[str, str]]:
    """Yield each 3x3 convolution of the chain, and the module whose output is its response."""
    follows = {f"{name}.{conv}": f"{name}.{bn}" for name, block in network.blocks() for conv, bn in block.normalised()}
    for (name, module), (after, _) in pairwise(network.stem.named_children()):
        if isinstance(module, nn.Conv2d):
            follows[f"stem.{name}"] = f"stem.{after}"
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3):
            yield name, follows.get(name, name)


def measure(subject: Subject) -> Iterator[Value]:
    """`std`: standard deviation of each 3x3 layer's response, over images, positions and maps.

    The response is the output of the BN that directly follows the convolution, before any ReLU or addition, in
    evaluation mode (no unit). Where no BN directly follows, it is the convolution's own output: the last 3x3 layer of
    a basic block with `order: pre` or `bn_after_add`.

    `layer` names the convolution. The stem counts if it is 3x3; of a bottleneck only the middle layer counts.

    Source: He et al. 2015, figure 7. Cost: one forward pass.
    """
    network = subject.network
    places = list(_places(network))
    spreads = {name: Spread() for name, _ in places}
    for name, source in places:
        take = spreads[name].take
        network.get_submodule(source).register_forward_hook(lambda module, given, out, take=take: take(out))
    with torch.no_grad():
        for images, _ in subject.batches():
            network(images)
    for place, (name, _) in enumerate(places, 1):
        yield Value("std", name, place, spreads[name].std)

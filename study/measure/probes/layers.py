"""The layers that probes speak of, by their names in the network's state and in the order of the data's way."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from torch import nn

from study.networks.network import Network


def weighted(network: Network) -> list[tuple[str, nn.Conv2d | nn.Linear]]:
    """Every convolution and linear layer; those of a block's shortcut come after those of its branch."""
    return [(name, module) for name, module in network.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]


def normalised(network: Network) -> Iterator[tuple[str, str]]:
    """Each convolution that BN directly follows in the chain of stem and branches, and that BN."""
    stem = network.stem.named_children()
    for (first, module), (second, after) in pairwise(stem):
        if isinstance(module, nn.Conv2d) and isinstance(after, nn.BatchNorm2d):
            yield f"stem.{first}", f"stem.{second}"
    for name, block in network.blocks():
        for first, second in block.normalised():
            yield f"{name}.{first}", f"{name}.{second}"

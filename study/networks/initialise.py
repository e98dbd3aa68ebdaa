"""Initial weights, from the seed alone: the same numbers on every device, and for every member of a matched pair."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import torch
from torch import nn


def he_fan_in(weight: torch.Tensor) -> float:
    """Variance 2 / fan_in (He et al. 2015, arXiv 1502.01852, eq. 10): keeps the signal's size on the way forward."""
    return 2.0 / weight[0].numel()


def he_fan_out(weight: torch.Tensor) -> float:
    """Variance 2 / fan_out (the same, eq. 14): keeps the gradient's size on the way back; torchvision's choice."""
    return 2.0 / weight[:, 0].numel()


def glorot(weight: torch.Tensor) -> float:
    """Variance 2 / (fan_in + fan_out) (Glorot & Bengio 2010, eq. 12), here of a normal distribution."""
    return 2.0 / (weight[0].numel() + weight[:, 0].numel())


def initialise(network: nn.Module, seed: int, variance: Callable[[torch.Tensor], float] = he_fan_in) -> None:
    """Normal weights of convolutions and linear layers, of the variance that their shape gives.

    Biases are 0 (of a gate, its `initial_bias`), BN scales 1 and shifts 0. Each layer draws from a stream of its own,
    keyed by the seed and the layer's name, so networks that differ in a shortcut or in later layers share the weights of
    all the layers that they have in common.
    """
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            draw = _stream(seed, name).standard_normal(module.weight.shape) * np.sqrt(variance(module.weight))
            with torch.no_grad():
                module.weight.copy_(torch.from_numpy(draw))
                if module.bias is not None:
                    module.bias.fill_(getattr(module, "initial_bias", 0.0))
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()


def _stream(seed: int, name: str) -> np.random.RandomState:
    # RandomState, because NumPy promises that its streams never change; Generator's may.
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    return np.random.RandomState(np.random.MT19937(np.random.SeedSequence([seed, key])))

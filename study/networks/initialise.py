"""Initial weights, from the seed alone: the same numbers on every device, and for every member of a matched pair."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import nn


def initialise(network: nn.Module, seed: int) -> None:
    """He initialisation (He et al. 2015, arXiv 1502.01852, eq. 10): normal, standard deviation sqrt(2 / fan_in).

    For convolutions and linear layers; biases are 0 (of a gate, its `initial_bias`), BN scales 1 and shifts 0. Each
    layer draws from a stream of its own, keyed by the seed and the layer's name, so networks that differ in a shortcut
    or in later layers share the weights of all the layers that they have in common.
    """
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            fan_in = module.weight[0].numel()
            draw = _stream(seed, name).standard_normal(module.weight.shape) * np.sqrt(2.0 / fan_in)
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

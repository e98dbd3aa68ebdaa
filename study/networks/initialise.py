"""Initial weights, from the seed alone: the same on every device and for both networks of a matched pair."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

Random = np.random.RandomState
Draw = Callable[[Tensor, Random], Any]
"""From a layer's weight, of which the shape counts, and its random stream to an array of that shape."""


def he_fan_in(weight: Tensor, random: Random) -> Any:
    """Variance 2 / fan_in (He et al. 2015, arXiv 1502.01852, eq. 10), which preserves the signal in the forward pass."""
    return _normal(weight, random, 2.0 / weight[0].numel())


def he_fan_out(weight: Tensor, random: Random) -> Any:
    """Variance 2 / fan_out (the same, eq. 14) of convolutions, which preserves the gradient; as in torchvision.

    Linear layers as `he_fan_in`: with as few outputs as classes, their logits would start far too large.
    """
    return _normal(weight, random, 2.0 / weight[:, 0].numel()) if weight.ndim == 4 else he_fan_in(weight, random)


def glorot(weight: Tensor, random: Random) -> Any:
    """Variance 2 / (fan_in + fan_out) (Glorot & Bengio 2010, eq. 12), here of a normal distribution."""
    return _normal(weight, random, 2.0 / (weight[0].numel() + weight[:, 0].numel()))


def _normal(weight: Tensor, random: Random, variance: float) -> Any:
    return random.standard_normal(weight.shape) * np.sqrt(variance)


def orthogonal(weight: Tensor, random: Random, *, gain: float = 1.0) -> Any:
    """Rows or columns orthonormal, times `gain` (Saxe et al. 2013, arXiv 1312.6120); a convolution as a flat matrix."""
    return gain * _orthonormal(random, len(weight), weight[0].numel()).reshape(weight.shape)


def delta_orthogonal(weight: Tensor, random: Random, *, gain: float) -> Any:
    """An orthonormal matrix at the centre of each kernel and 0 elsewhere (Xiao et al. 2018, arXiv 1806.05393, algorithm 2).

    With tanh, gain 1 and biases 0 are critical. The authors' example (github.com/brain-research/mean-field-cnns) draws biases
    and a gain that are critical at a variance of 1 / depth in each layer.
    """
    if weight.ndim < 4:
        return orthogonal(weight, random, gain=gain)
    found = np.zeros(weight.shape)
    height, width = weight.shape[2:]
    found[:, :, height // 2, width // 2] = gain * _orthonormal(random, *weight.shape[:2])
    return found


def scaled_orthogonal(weight: Tensor, random: Random) -> Any:
    """`delta_orthogonal` times max(1, sqrt(outputs / inputs)), which keeps the mean square of wide layers' inputs.

    Martens et al. 2021 (arXiv 2110.01765), "Parameter distributions": what TAT's authors draw.
    """
    return delta_orthogonal(weight, random, gain=max(1.0, np.sqrt(weight.shape[0] / weight.shape[1])))


@torch.no_grad()
def unit_variance(network: nn.Module, images: Tensor) -> None:
    """Scale the weights so that each layer's outputs have variance 1 (LSUV, Mishkin & Matas 2016, arXiv 1511.06422).

    From the first layer to the last, over all images, maps and positions, with norms as in evaluation. The paper divides
    until the variance is within a tolerance of 1; with biases of 0 a layer is linear, so once is enough. The authors' code for
    PyTorch (github.com/ducha-aiki/LSUV-pytorch) also sets biases to make the mean 0; that for Caffe (LSUVinit) does not.
    """

    def scale(module: Any, given: tuple[Tensor], out: Tensor) -> Tensor:
        deviation = float(out.double().std(correction=0))
        if deviation > 0:
            module.weight /= deviation
        return module.forward(*given)  # type: ignore[no-any-return]

    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(scale) for layer in layers]
    network.eval()(images)
    network.train()
    for hook in hooks:
        hook.remove()


def _orthonormal(random: Random, rows: int, columns: int) -> Any:
    """A matrix with orthonormal rows or columns, uniform among them: signs as in Mezzadri 2007, section 5."""
    q, r = np.linalg.qr(random.standard_normal((max(rows, columns), min(rows, columns))))
    q = q * np.sign(np.diag(r))
    return q if rows >= columns else q.T


def initialise(network: nn.Module, seed: int, draw: Draw, own: Collection[str]) -> None:
    """Draw the weights of convolutions and linear layers.

    A layer's `initial_scale` multiplies its draw; one that is `mirrored` draws half of its weight, and the other half is
    minus that. Biases are 0 (of a gate, its `initial_bias`). Each layer has its own random stream, keyed by the seed and
    the layer's name, so networks that differ in a shortcut or in later layers share the weights of all common layers. `own`
    names weights and biases to keep.
    """
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            with torch.no_grad():
                if f"{name}.weight" not in own:
                    module.weight.copy_(_drawn(module, draw, _stream(seed, name)))
                if module.bias is not None and f"{name}.bias" not in own:
                    module.bias.fill_(getattr(module, "initial_bias", 0.0))


def _drawn(module: nn.Conv2d | nn.Linear, draw: Draw, random: Random) -> Tensor:
    mirrored, scale = getattr(module, "mirrored", False), getattr(module, "initial_scale", 1.0)
    shape = module.weight.chunk(2, 1)[0] if mirrored else module.weight
    drawn = torch.as_tensor(draw(shape, random))
    drawn = drawn if scale == 1.0 else drawn * scale
    return torch.cat([drawn, -drawn], 1) if mirrored else drawn


@contextmanager
def constructing() -> Iterator[dict[nn.Module, Tensor]]:
    """Record the generator's state before torch's constructors draw a convolution's or a linear layer's weights."""
    states: dict[nn.Module, Tensor] = {}

    def note(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
        if isinstance(module, nn.Conv2d | nn.Linear):
            states.setdefault(module, torch.get_rng_state())  # parameters are registered before they are drawn

    hook = register_module_parameter_registration_hook(note)
    try:
        yield states
    finally:
        hook.remove()


def own_values(network: nn.Module, states: Mapping[nn.Module, Tensor]) -> set[str]:
    """Return the names of weights and biases that blocks set, since they differ from what the constructors drew."""
    names = set()
    for name, module in network.named_modules():
        if module in states:
            with torch.random.fork_rng(devices=[]):
                torch.set_rng_state(states[module])
                made = deepcopy(module)
                made.reset_parameters()
            drawn = dict(made.named_parameters())
            names |= {f"{name}.{n}" for n, value in module.named_parameters() if not torch.equal(value, drawn[n])}
    return names


@contextmanager
def seeded(seed: int, name: str) -> Iterator[None]:
    """Seed torch's generator by the seed and the name within the context, and restore it afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(_key(f"{seed} {name}"))
        yield


def _stream(seed: int, name: str) -> np.random.RandomState:
    # RandomState, because NumPy promises that its streams never change; Generator's may.
    return np.random.RandomState(np.random.MT19937(np.random.SeedSequence([seed, _key(name)])))


def _key(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")

"""The layers that networks consist of, and the norm and the activation that a run chose for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

BatchNorm = nn.modules.batchnorm._BatchNorm
"""BN of maps, or of vectors in a network of the user's own."""
M = TypeVar("M", bound=nn.Module)


class GroupNorm(nn.GroupNorm):
    """Group normalisation (Wu & He 2018, arXiv 1803.08494), in float32 whatever the type of its input.

    One group is layer normalisation (Ba et al. 2016, arXiv 1607.06450), with a scale and a shift for each map. Wu & He take 32.
    """

    def __init__(self, maps: int, groups: int = 1) -> None:
        super().__init__(groups, maps)

    def forward(self, x: Tensor) -> Tensor:
        return F.group_norm(at_least_float(x), self.num_groups, self.weight, self.bias, self.eps).to(x.dtype)


def at_least_float(tensor: Tensor) -> Tensor:
    """Widen bfloat16 to float32."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def leaky_relu(slope: float) -> nn.Module:
    return nn.LeakyReLU(slope)


class Crelu(nn.Module):
    """Concatenated ReLU, (N, C, H, W) to (N, 2C, H, W): max(0, x) and max(0, -x) (Shang et al. 2016, arXiv 1603.05201).

    Unless `random`, it comes with the looks-linear initialisation (Balduzzi et al. 2017, arXiv 1702.08591): each layer behind a
    CReLU starts as [W, -W], and W max(0, x) - W max(0, -x) = W x, so the network starts linear. W is drawn by the
    run's `initialisation` with the shape of the same layer behind a ReLU: both networks start with equal W. The paper takes
    orthogonal W; here `delta_orthogonal` keeps the signal, while the taps of `orthogonal` lose some at each border: nearly
    all in 56 layers on 8x8 images. We found no code of the authors'.
    """

    def __init__(self, random: bool) -> None:
        super().__init__()
        self.random = random

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, -x], 1).relu_()


class Tailored(nn.Module):
    """Tailored Activation Transformation (Zhang et al. 2022, arXiv 2203.08120): a leaky ReLU of slope a below 0.

    phi(x) = sqrt(2 / (1 + a^2)) (max(0, x) + a min(0, x)) keeps a mean square of 1, if weights have variance 1 / fan_in or
    are orthogonal: `initialisation: scaled_orthogonal`. Its C map takes the cosine c of two inputs to that of the outputs,
    C(c) = c + (1 - a)^2 (sqrt(1 - c^2) - c arccos(c)) / (pi (1 + a^2)); a is such that C, applied once for each of the
    activations from the images to the classifier, takes 0 to `eta`. Of a network so shallow that ReLU stays below
    `eta`, a is 0. With shortcuts the cosine is another: the paper normalises their sums, which no shortcut here does.

    The authors' code (github.com/google-deepmind/dks) takes the largest C(0) over all parts of the network, which of a
    plain one is the whole, and raises an error where ReLU stays below `eta`. It offers to normalise the images' pixels, too.
    """

    def __init__(self, eta: float) -> None:
        super().__init__()
        self.slope = tailored_slope(eta, _chosen.get().activations)
        self.scale = math.sqrt(2 / (1 + self.slope**2))

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x, self.slope) * self.scale


def c_map(cosine: float, slope: float) -> float:
    """Map the cosine of two inputs of a wide layer with leaky ReLU to that of its outputs (Cho & Saul 2009 for slope 0)."""
    cosine = min(cosine, 1.0)
    turned = math.sqrt(1 - cosine**2) - cosine * math.acos(cosine)
    return cosine + (1 - slope) ** 2 / (math.pi * (1 + slope**2)) * turned


@lru_cache
def tailored_slope(eta: float, layers: int) -> float:
    """Solve for the slope: the C map of all layers at 0 falls as the slope rises, to 0 at 1."""
    from scipy.optimize import brentq  # late: no other network needs it

    def above(slope: float) -> float:
        cosine = 0.0
        for _ in range(layers):
            cosine = c_map(cosine, slope)
        return cosine - eta

    return float(brentq(above, 0.0, 1.0, xtol=1e-15)) if above(0.0) > 0 else 0.0


class Chosen(NamedTuple):
    """How the layers of a network are made, and what depends on its depth."""

    norm: Callable[[int], nn.Module] = nn.BatchNorm2d
    activation: Callable[[], nn.Module] = nn.ReLU
    convolution: Callable[..., nn.Conv2d] = nn.Conv2d
    biased: bool = False
    """Whether convolutions have biases, since no norm follows them."""
    doubles: bool = False
    """Whether an activation makes two maps of each."""
    mirrored: bool = False
    """Whether the layers behind it start as [W, -W]."""
    blocks: int = 1
    """Blocks of the network."""
    activations: int = 1
    """Activations from the images to the classifier along the branches."""


_chosen: ContextVar[Chosen] = ContextVar("chosen", default=Chosen())  # noqa: B039 -- it is immutable


@contextmanager
def choose(chosen: Chosen) -> Iterator[None]:
    """Have the networks made in this context consist of these layers."""
    token = _chosen.set(chosen)
    try:
        yield
    finally:
        _chosen.reset(token)


def blocks() -> int:
    """Return the number of blocks of the network that is being made."""
    return _chosen.get().blocks


def conv(kernel: int, in_maps: int, maps: int, stride: int = 1, bias: bool | None = None) -> nn.Conv2d:
    """Make a convolution behind an activation that keeps height and width, divided by its stride.

    It has a bias if no norm follows, unless told otherwise.
    """
    chosen = _chosen.get()
    bias = chosen.biased if bias is None else bias
    return behind(chosen.convolution, in_maps, maps, kernel, stride, padding=kernel // 2, bias=bias)


def stem(kernel: int, channels: int, maps: int, stride: int = 1) -> nn.Conv2d:
    """Make a convolution of images."""
    chosen = _chosen.get()
    make = getattr(chosen.convolution, "of_images", chosen.convolution)
    return make(channels, maps, kernel, stride, padding=kernel // 2, bias=chosen.biased)


def behind(make: Callable[..., M], in_maps: int, *given: int, **options: int) -> M:
    """Make a layer behind an activation, which may make two maps of each of `in_maps`."""
    chosen = _chosen.get()
    layer = make(in_maps * (1 + chosen.doubles), *given, **options)
    layer.mirrored = chosen.mirrored  # type: ignore[assignment]
    return layer


def norm(maps: int) -> nn.Module:
    """Make the norm of this run's networks for a number of maps."""
    return _chosen.get().norm(maps)


def activation(inplace: bool = False) -> nn.Module:
    """Make the activation of this run's networks; `inplace` is a wish."""
    made = _chosen.get().activation()
    if type(made) is nn.ReLU:
        made.inplace = inplace
    return made


def activate(made: nn.Module, x: Tensor, inplace: bool = False) -> Tensor:
    """Apply an activation; `inplace` is a wish."""
    return F.relu(x, inplace) if type(made) is nn.ReLU else made(x)

"""The layers that networks consist of, and the norm and the activation that a run chose for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

BatchNorm = nn.modules.batchnorm._BatchNorm
"""BN of maps, or of vectors in a network of the user's own."""


class GroupNorm(nn.GroupNorm):
    """Group normalisation (Wu & He 2018, arXiv 1803.08494), in float32 whatever the type of its input."""

    def forward(self, x: Tensor) -> Tensor:
        return F.group_norm(x.float(), self.num_groups, self.weight, self.bias, self.eps).to(x.dtype)


def group(maps: int, groups: int) -> nn.Module:
    """Normalise groups of maps of each image."""
    return GroupNorm(groups, maps)


def layer(maps: int) -> nn.Module:
    """Normalise all maps of each image together (Ba et al. 2016), with a scale and a shift for each map."""
    return GroupNorm(1, maps)


def no_norm(maps: int) -> nn.Module:
    return nn.Identity()


def leaky_relu(slope: float) -> nn.Module:
    return nn.LeakyReLU(slope)


class Chosen(NamedTuple):
    """How the layers of a network are made."""

    norm: Callable[[int], nn.Module] = nn.BatchNorm2d
    activation: Callable[[], nn.Module] = nn.ReLU
    biased: bool = False
    """Whether convolutions have biases, since no norm follows them."""


_chosen: ContextVar[Chosen] = ContextVar("chosen", default=Chosen())  # noqa: B039 -- it is immutable


@contextmanager
def choose(norm: Callable[[int], nn.Module], activation: Callable[[], nn.Module]) -> Iterator[None]:
    """Have the networks made in this context use a norm, made for a number of maps, and an activation."""
    token = _chosen.set(Chosen(norm, activation, isinstance(norm(16), nn.Identity)))
    try:
        yield
    finally:
        _chosen.reset(token)


def conv(kernel: int, in_maps: int, maps: int, stride: int = 1) -> nn.Conv2d:
    """Make a convolution that keeps height and width, divided by its stride; without bias if a norm follows."""
    return nn.Conv2d(in_maps, maps, kernel, stride, padding=kernel // 2, bias=_chosen.get().biased)


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

"""The layers that networks consist of: the one place where a norm and an activation are made."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


def conv(kernel: int, in_maps: int, maps: int, stride: int = 1) -> nn.Conv2d:
    """Make a convolution without bias (BN follows) that keeps height and width, divided by its stride."""
    return nn.Conv2d(in_maps, maps, kernel, stride, padding=kernel // 2, bias=False)


def norm(maps: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(maps)


def activation(inplace: bool = False) -> nn.ReLU:
    return nn.ReLU(inplace)


def activate(x: Tensor, inplace: bool = False) -> Tensor:
    """Apply the activation without a module of its own."""
    return F.relu(x, inplace)

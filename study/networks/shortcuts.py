"""The shortcut connections of He et al. 2015, section 3.3: what is added to a block's output."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 -- the name that everybody knows it by


class ZeroPad(nn.Module):
    """Option A where the shape changes: every second pixel, and zeros for the maps that are new; no parameters."""

    def __init__(self, in_maps: int, out_maps: int, stride: int) -> None:
        super().__init__()
        self.extra, self.stride = out_maps - in_maps, stride

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_maps, H, W) to (N, out_maps, H/stride, W/stride)."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.extra))


def projection(in_maps: int, out_maps: int, stride: int) -> nn.Module:
    """A 1x1 convolution and BN."""
    return nn.Sequential(nn.Conv2d(in_maps, out_maps, 1, stride, bias=False), nn.BatchNorm2d(out_maps))


def option_a(in_maps: int, out_maps: int, stride: int) -> nn.Module:
    """A: the identity; where the shape changes, subsampled and zero-padded."""
    return nn.Identity() if in_maps == out_maps and stride == 1 else ZeroPad(in_maps, out_maps, stride)


def option_b(in_maps: int, out_maps: int, stride: int) -> nn.Module:
    """B: the identity; where the shape changes, a projection."""
    return nn.Identity() if in_maps == out_maps and stride == 1 else projection(in_maps, out_maps, stride)


def option_c(in_maps: int, out_maps: int, stride: int) -> nn.Module:
    """C: a projection everywhere."""
    return projection(in_maps, out_maps, stride)

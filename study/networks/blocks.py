"""The repeated block of a network. A plain network has the same block without the addition."""

from __future__ import annotations

from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, each with BN; ReLU after the first, and after the addition (He et al. 2015, figure 5 left).

    Parameters
    ----------
    in_maps, maps
        Feature maps before and after.
    stride
        Of the first convolution.
    shortcut
        What is added to the second BN's output, or None in a plain network.
    """

    layers = 2
    """Weighted layers of one block: what it adds to the depth."""
    expansion = 1
    """Output maps over `maps`."""

    def __init__(self, in_maps: int, maps: int, stride: int, shortcut: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_maps, maps, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(maps)
        self.conv2 = nn.Conv2d(maps, maps, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(maps)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_maps, H, W) to (N, maps, H/stride, W/stride)."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.shortcut is not None:
            out += self.shortcut(x)
        return self.relu(out)  # type: ignore[no-any-return]

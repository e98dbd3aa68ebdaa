"""Random masks that are a pure function of keys: no generator, whose state a checkpoint or a graph would have to carry."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_A, _B = 0x7FEB352D, 0x846CA68B - (1 << 32)
_WEYL = 0x9E3779B9 - (1 << 32)


def kept(keys: Tensor, salt: int, shape: Sequence[int], dropout: float) -> Tensor:
    """Which values dropout keeps, each with probability 1 - `dropout`.

    Parameters
    ----------
    keys
        A random number below 2**31 for each image, int64 (N,).
    salt
        Of the layer.
    shape
        (C, H, W) of what is masked.

    Returns
    -------
    Tensor
        bool (N, C, H, W) in channels-last layout, the same on every device.
    """
    maps, height, width = shape
    image = _mix(keys.to(torch.int32) ^ _mix(torch.full_like(keys, salt, dtype=torch.int32)))
    place = torch.arange(height * width * maps, dtype=torch.int32, device=keys.device) * _WEYL
    number = _mix(image[:, None] + place).bitwise_and_(0x7FFFFFFF)
    return (number >= int(dropout * 2**31)).view(-1, height, width, maps).permute(0, 3, 1, 2)


def _mix(x: Tensor) -> Tensor:
    """A hash of 32-bit integers in which every bit depends on every other (Ellis 2018, "lowbias32"); overwrites x."""
    x ^= (x >> 16).bitwise_and_(0xFFFF)
    x *= _A
    x ^= (x >> 15).bitwise_and_(0x1FFFF)
    x *= _B
    x ^= (x >> 16).bitwise_and_(0xFFFF)
    return x

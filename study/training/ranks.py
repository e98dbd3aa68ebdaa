"""Data parallelism: the processes that train one run together, each on its device.

A step's samples and the parts of a batch that BN sees (`recipe.bn_groups`) belong to the spec; the number of ranks that
share the parts does not. So the results are the same, up to the order of sums, for any number of ranks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor


class Ranks:
    """This process among those that train a run together; alone by default."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    @property
    def first(self) -> bool:
        """Whether this rank holds the lease and writes the files."""
        return self.rank == 0

    def share(self, groups: int) -> range:
        """Return the parts of a batch that this rank works on."""
        return range(self.rank * groups // self.size, (self.rank + 1) * groups // self.size)

    def average_(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over ranks, in one exchange."""
        if self.size == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        parts = torch.split(flat / self.size, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))  # in place: the fused SGD needs the layout of the parameter

    def sum_(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its sum over ranks."""
        if self.size > 1:
            for tensor in tensors:
                dist.all_reduce(tensor)

    def copy_first_(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by the first rank's."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0)

    def any(self, flag: bool, device: torch.device) -> bool:
        """Return whether any rank sets the flag: all get the same answer at the same step."""
        if self.size == 1:
            return flag
        count = torch.tensor(float(flag), device=device)
        dist.all_reduce(count)
        return bool(count.item())

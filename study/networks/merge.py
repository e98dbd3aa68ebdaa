"""Each convolution with what follows it and stands beside it as one: an ordinary network, equal in evaluation.

BN becomes a part of the convolution before it, as do the 1x1 and the identity beside a RepVGG's, and the weights of a
DiracNet become parameters. Where a BN follows each convolution, the result is the plain network with `norm: none`.
`study.networks.fold` does the same for BN on tensors that it renews, for speed.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from study.networks.blocks import Block, RepVgg, Side
from study.networks.convolutions import Reparametrised, kernel
from study.networks.network import Network

Affine = tuple[Tensor, Tensor | None]
"""Kernel and bias, float64."""


@torch.no_grad()
def merge(network: Network) -> Network:
    """Return a copy in evaluation mode without BN, as far as BN directly follows a convolution."""
    network = deepcopy(network).eval()
    for holder in list(network.modules()):
        pairs = holder.normalised() if isinstance(holder, Block) else []
        if isinstance(holder, nn.Sequential):
            pairs = list(pairwise(name for name, _ in holder.named_children()))
        followers = dict(pairs)
        for name, conv in list(holder.named_children()):
            bn = getattr(holder, followers.get(name, ""), None)
            fixed = isinstance(bn, nn.BatchNorm2d) and bn.running_var is not None
            if not isinstance(conv, nn.Conv2d) or not (fixed or isinstance(conv, Reparametrised)):
                continue
            parts = [(kernel(conv), conv.bias)]
            if fixed:
                parts = [_scaled(*parts[0], bn)]
                holder.add_module(followers[name], nn.Identity())
            if isinstance(holder, RepVgg) and name in holder.sides:
                parts += _beside(holder.sides.pop(name), conv)
            holder.add_module(name, _ordinary(conv, parts))
    return network


def _scaled(weight: Tensor, bias: Tensor | None, bn: Any) -> Affine:
    scale = bn.weight.double() / (bn.running_var.double() + bn.eps).sqrt()
    begin = -bn.running_mean.double() if bias is None else bias.double() - bn.running_mean
    return weight.double() * scale.view(-1, 1, 1, 1), begin * scale + bn.bias


def _beside(side: nn.Module, conv: nn.Conv2d) -> Iterator[Affine]:
    """Yield what stands beside a convolution as kernels of its shape, and biases."""
    assert isinstance(side, Side)
    height, width = (size // 2 for size in conv.kernel_size)
    yield _scaled(F.pad(side.conv.weight, (width, width, height, height)), None, side.bn)
    if side.same is not None:
        yield _scaled(nn.init.dirac_(torch.empty_like(conv.weight)), None, side.same)


def _ordinary(conv: nn.Conv2d, parts: list[Affine]) -> nn.Conv2d:
    """Make the convolution that is the sum of the parts."""
    how = (conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups)
    biases = [bias for _, bias in parts if bias is not None]
    made = nn.Conv2d(conv.in_channels, conv.out_channels, *how, bool(biases), conv.padding_mode)  # type: ignore[arg-type]
    made.to(conv.weight)
    made.weight.copy_(torch.stack([weight for weight, _ in parts]).sum(0))
    if made.bias is not None:
        made.bias.copy_(torch.stack(biases).sum(0))
    return made

"""A trained network made deeper by exact identity layers: the solution whose existence He et al. 2015, section 1, argue.

New blocks follow the trained ones of each stage, where the shape does not change. A plain one has convolutions of Dirac
deltas, BN that passes its input on, and ReLUs whose input is never negative. A residual one has a branch of zeros.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from study.networks.blocks import Block
from study.networks.network import Network

Moments = tuple[Tensor, Tensor]
"""Mean and variance of each map, (C,), over images and positions."""


@torch.no_grad()
def stretch(small: Network, large: Network, batches: Iterable[Tensor]) -> None:
    """Make `large`, as its seed made it, compute what `small` does in evaluation mode, up to rounding.

    The two must pass `study.config.differences.check_stretch`. New BN takes its statistics from the batches (N, channels, H, W);
    in training mode, new layers are identities as far as a batch has these statistics.
    """
    for name in ("stem", "tail", "head"):
        _copy(getattr(small, name), getattr(large, name))
    moments = _stage_moments(small, batches)
    for ours, theirs, statistics in zip(large.stages, small.stages, moments, strict=True):
        trained = list(theirs.children())
        for place, block in enumerate(ours.children()):
            if place < len(trained):
                _copy(trained[place], block)
            elif isinstance(block, Block):
                _make_identity(block, statistics)


def _copy(source: nn.Module, target: nn.Module) -> None:
    state = {name: value for name, value in source.state_dict().items() if not name.endswith("num_batches_tracked")}
    target.load_state_dict(state, strict=False)


def _stage_moments(network: Network, batches: Iterable[Tensor]) -> list[Moments]:
    """Compute the moments of each stage's output."""
    network.eval()
    sums: list[list[Tensor]] = [[] for _ in network.stages]
    for images in batches:
        x = network.stem(images)
        for stage, parts in zip(network.stages, sums, strict=True):
            x = stage(x)
            wide = x.double()
            count = torch.full((x.shape[1],), x.numel() / x.shape[1], dtype=torch.float64, device=x.device)
            parts.append(torch.stack([wide.sum((0, 2, 3)), wide.square().sum((0, 2, 3)), count]))
    moments = []
    for parts in sums:
        total, squares, count = torch.stack(parts).sum(0)
        mean = total / count
        moments.append((mean, (squares / count - mean**2).clamp(min=0)))
    return moments


def _make_identity(block: Block, moments: Moments) -> None:
    convs = [getattr(block, name) for name in block.names("conv")]
    if block.shortcut is None:
        for conv in convs:
            nn.init.dirac_(conv.weight)
        for name in block.names("bn"):
            _pass_through(getattr(block, name), moments)
        return
    pairs = dict(block.normalised())
    last = block.names("conv")[-1]
    if last in pairs:  # a zero scale still has a gradient
        getattr(block, pairs[last]).weight.zero_()
    else:
        convs[-1].weight.zero_()
    for name in block.names("bn", after=True):
        _pass_through(getattr(block, name), moments)
    if isinstance(block.shortcut, nn.Sequential):  # option C has a projection where the shape stays, too
        nn.init.dirac_(block.shortcut[0].weight)  # type: ignore[arg-type]
        _pass_through(block.shortcut[1], moments)


def _pass_through(bn: nn.Module, moments: Moments) -> None:
    """Set scale and shift so that they undo the normalisation."""
    assert isinstance(bn, nn.BatchNorm2d) and bn.running_mean is not None and bn.running_var is not None
    mean, variance = moments
    bn.running_mean.copy_(mean)
    bn.running_var.copy_(variance)
    bn.weight.copy_((bn.running_var + bn.eps).sqrt())
    bn.bias.copy_(bn.running_mean)

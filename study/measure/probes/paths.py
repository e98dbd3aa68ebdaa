"""How much a network depends on each block, and the lengths of the paths that its gradient takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from study.measure.probes.subject import Subject, Value, scores
from study.networks.blocks import Block
from study.networks.network import Network

DELETED_SHARE = 4
"""Blocks are deleted on one in four of the probe's images: that takes a forward pass per block."""
PATH_IMAGES = 32
LONGEST = 64
"""Paths through more blocks than this are summed."""


def measure(subject: Subject) -> Iterator[Value]:
    """The network without each block, and the gradient by length of path, in evaluation mode.

    `loss` (nats) and `error` (percent) are the whole network's on a quarter of the probe's images; `deleted_loss` and
    `deleted_error` are those without a block's branch. In a plain network the block's input goes on instead, and a
    block that changes the shape cannot be deleted.

    The rest is for residual networks. A network of n blocks has 2^n paths, since each addition joins a branch and a
    shortcut. G_k is the part of the loss's gradient to the first block's input that goes through k branches, summed
    over all such paths; the G_k add up to the gradient. `path_norm` is ||G_k||, L2 over 32 images, nats per unit of
    input; `place` is k, `layer` empty, and the row after the longest separate k holds the sum of all longer paths.
    `path_share` is ||G_k|| over the sum of these norms, and `effective_depth` 2 + l sum_k k path_share, in weighted
    layers, l being the layers of a branch (the longer paths count as k + 1).

    Source: Veit et al. 2016 (arXiv 1605.06431), sections 4.1 and 5. They sample single paths and multiply the mean norm
    by the number of paths of that length; here each G_k is exact, including cancellation between paths.
    Cost: with n blocks n/2 forward passes of a quarter of the images, and n/2 backward passes of 32 images.
    """
    network = subject.network.eval().requires_grad_(False)
    yield from _deletions(subject, network)
    if subject.spec.network == "residual":
        images, labels = (part[:PATH_IMAGES] for part in next(subject.batches()))
        norms = [float(part.norm()) for part in by_length(network, images, labels)]
        shares = [norm / total if (total := sum(norms)) else float("nan") for norm in norms]
        yield from (Value("path_norm", "", k, norm, len(labels)) for k, norm in enumerate(norms))
        yield from (Value("path_share", "", k, share, len(labels)) for k, share in enumerate(shares))
        layers = len(next(network.blocks())[1].names("conv"))
        depth = 2 + layers * sum(k * share for k, share in enumerate(shares))
        yield Value("effective_depth", "", 0, depth, len(labels))


# -- deleting a block ---------------------------------------------------------------------------------------------------


def _deletions(subject: Subject, network: Network) -> Iterator[Value]:
    whole, count = torch.zeros(2, dtype=torch.float64), 0
    without: dict[nn.Module, Tensor] = {}
    for images, labels in subject.batches(count=subject.count // DELETED_SHARE):
        modules, x = list(network.parts()), network.stem(images)
        count += len(labels)
        for place, module in enumerate(modules):
            out = module(x)
            if isinstance(module, Block) and (y := _deleted(module, x)).shape == out.shape:
                for later in modules[place + 1 :]:
                    y = later(y)
                lost = without.setdefault(module, torch.zeros(2, dtype=torch.float64))
                lost += scores(network.classify(y), labels)
            x = out
        whole += scores(network.classify(x), labels)
    scale = torch.tensor([1.0, 100.0]) / count
    for measured, value in zip(("loss", "error"), (whole * scale).tolist(), strict=True):
        yield Value(measured, "", 0, value, count)
    for place, (name, block) in enumerate(network.blocks(), 1):
        if block in without:
            for measured, value in zip(("loss", "error"), (without[block] * scale).tolist(), strict=True):
                yield Value(f"deleted_{measured}", name, place, value, count)


def _deleted(block: Block, x: Tensor) -> Tensor:
    """Return a block's output without its branch; of a plain one, its input."""
    return x if block.shortcut is None else block.after(block.shortcut(x).clone())


# -- the gradient by length of path -------------------------------------------------------------------------------------


Way = Callable[[Tensor], Tensor]
"""Takes a gradient at a module's output back to its input."""


def by_length(network: Network, images: Tensor, labels: Tensor, longest: int = LONGEST) -> list[Tensor]:
    """Split the gradient of the mean loss to the first block's input by the number of branches it goes through.

    The network is in evaluation mode, with parameters that need no gradient. Entry k holds the paths through k branches;
    with more blocks than `longest`, one more entry holds all longer paths. The entries add up to the gradient.
    """
    x = network.stem(images)
    ways = []
    for module in network.parts():
        x, along, through = _split(module, x)
        ways.append((along, through))
    output = x.requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(network.classify(output), labels), output)
    parts, whole = [gradient], gradient
    for along, through in reversed(ways):
        carried = [along(part) for part in parts]
        if through is None:
            parts, whole = carried, along(whole)
            continue
        branched = [through(part) for part in parts]
        whole = along(whole) + through(whole)
        parts = [carried[0], *map(torch.add, carried[1:], branched[:-1]), branched[-1]][: longest + 1]
    blocks = sum(through is not None for _, through in ways)
    return parts if blocks <= longest else [*parts, whole - torch.stack(parts).sum(0)]


def _split(module: nn.Module, x: Tensor) -> tuple[Tensor, Way, Way | None]:
    """Return a module's detached output and the ways back, along a block's shortcut, with its gate, and through its branch.

    All paths pass along a module between two stages, which has no way through.
    """
    with torch.enable_grad():
        carried, branched = x.detach().requires_grad_(), x.detach().requires_grad_()
        if isinstance(module, Block):
            branch = module.branch(branched)
            added = branch.detach().requires_grad_()
            output = module.after(module.join(carried, added.clone()))
        else:
            output = module(carried)

    def along(gradient: Tensor) -> Tensor:
        return torch.autograd.grad(output, carried, gradient, retain_graph=True)[0]

    def through(gradient: Tensor) -> Tensor:
        (reached,) = torch.autograd.grad(output, added, gradient, retain_graph=True)
        return torch.autograd.grad(branch, branched, reached, retain_graph=True)[0]

    return output.detach(), along, through if isinstance(module, Block) else None

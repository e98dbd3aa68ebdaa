"""The norm of the gradient at each layer."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from study.measure.probes.subject import Subject, Value, weighted


def measure(subject: Subject) -> Iterator[Value]:
    """`norm`: ||dL/dw||, the gradient of the mean loss to a layer's weights (nats per unit of weight); `relative`:
    the same over ||w|| (nats per unit of weight squared).

    ||.|| is the L2 norm over all weights of a layer, without bias and BN. The gradients are those of training: of whole
    batches of `batch_size` images, BN in training mode, in `bn_groups` parts, but without augmentation and weight decay.
    `norm` is the mean of the batches' norms.

    `layer` is every convolution and linear layer; those of a block's shortcut or gate follow those of its branch.

    Source: He et al. 2015, section 4.1, reports healthy gradient norms of plain networks, but shows none; Yang et al.
    2019 (arXiv 1902.08129) find that they grow with depth at initialisation. Cost: one forward and one backward pass.
    """
    network = subject.network.train()
    layers = weighted(network)
    weights = [layer.weight for _, layer in layers]
    total, batches = torch.zeros(len(weights), dtype=torch.float64, device=subject.images.device), 0
    for images, labels in subject.batches():
        total += norms(torch.autograd.grad(subject.loss(images, labels), weights))
        batches += 1
    mean = total / batches
    relative = mean / norms(weights)
    for measured, values in (("norm", mean.tolist()), ("relative", relative.tolist())):
        for place, ((name, _), value) in enumerate(zip(layers, values, strict=True), 1):
            yield Value(measured, name, place, value)


def norms(tensors: list[Tensor] | tuple[Tensor, ...]) -> Tensor:
    """Compute the L2 norm of each tensor, float64 (len(tensors),)."""
    return torch.stack([tensor.detach().double().norm() for tensor in tensors])

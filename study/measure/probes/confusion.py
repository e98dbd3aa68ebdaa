"""Whether mini-batches pull the weights in the same direction."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, islice

import torch
from torch import Tensor

from study.measure.probes.subject import Subject, Value

BATCHES = 8


def measure(subject: Subject) -> Iterator[Value]:
    """Pairwise agreement of the gradients of up to eight mini-batches, over all parameters, BN in training mode.

    `cosine`: the cosine of each pair, in order; `cosine_min` and `cosine_mean` over the pairs; `confusion`: the smallest
    eta with <g_i, g_j> >= -eta for all pairs, in (nats per unit of weight)^2; 0 if no two oppose each other.

    Source: Sankararaman et al. 2020 (arXiv 1904.06963), definition 2.1 and section 5. Cost: one forward and one
    backward pass of the images, of eight batches at most; keeps eight gradients.
    """
    subject.network.train()
    parameters = list(subject.network.parameters())
    gradients, count = [], 0
    for images, labels in islice(subject.batches(), BATCHES):
        parts = torch.autograd.grad(subject.loss(images, labels), parameters)
        gradients.append(torch.cat([part.flatten() for part in parts]))
        count += len(labels)
    if len(gradients) < 2:
        return
    inner = products(torch.stack(gradients))
    lengths = inner.diagonal().sqrt()
    cosines = inner / lengths[:, None] / lengths[None, :]
    pairs = list(combinations(range(len(gradients)), 2))
    found = torch.stack([cosines[i, j] for i, j in pairs])
    size = count // len(gradients)
    yield from (Value("cosine", "", place, float(value), 2 * size) for place, value in enumerate(found, 1))
    yield Value("cosine_min", "", 0, float(found.min()), count)
    yield Value("cosine_mean", "", 0, float(found.mean()), count)
    opposed = torch.stack([-inner[i, j] for i, j in pairs]).max().clamp(min=0)  # keeps NaN
    yield Value("confusion", "", 0, float(opposed), count)


AT_ONCE = 1 << 23
"""Values in float64 at a time: 64 MB."""


def products(rows: Tensor) -> Tensor:
    """Compute the inner products of the rows of (M, P), float64 (M, M), up to a million columns at a time."""
    total = torch.zeros(len(rows), len(rows), dtype=torch.float64, device=rows.device)
    for part in torch.split(rows, min(1 << 20, AT_ONCE // len(rows)), dim=1):
        wide = part.double()
        total += wide @ wide.T
    return total.cpu()

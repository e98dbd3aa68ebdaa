"""The curvature of the training loss: eigenvalues, trace and spectrum of its Hessian."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from study.measure.probes.curvature import Hessian, density, extremes, trace
from study.measure.probes.subject import Subject, Value


def measure(subject: Subject) -> Iterator[Value]:
    """The Hessian H of the mean cross-entropy over the probe's images, BN in evaluation mode, over all parameters.

    In nats per squared unit of weight, unless noted. `largest`: the five algebraically largest eigenvalues, `place` being
    the rank; `smallest`: the two smallest ones, ascending. Each is within 0.1 % of an eigenvalue, or NaN if the search
    did not converge. `ratio`: |lambda_min / lambda_max|, without unit: how far the loss is from convex. `trace`: the mean
    of v'Hv over ten random sign vectors v; `trace_error`: its standard error. `density_node` and `density_weight`: the
    spectral density by stochastic Lanczos quadrature, 30 nodes for each of two random vectors; `place` numbers the
    nodes, and all weights sum to 1. All are NaN if the loss is.

    Weight decay is left out: it adds its factor to each eigenvalue.

    Source: Li et al. 2018 (arXiv 1712.09913), section 6 and figure 7, for `ratio`; Hutchinson 1990 for the trace;
    Ghorbani et al. 2019 (arXiv 1901.10159), section 2, for the density. Cost: 130 to 200 products with H, each some
    four to five times a forward and a backward pass of the images; keeps 30 vectors of all parameters, in float64.
    """
    hessian = Hessian(subject.network.eval(), list(subject.batches()), subject.stopped)
    top, bottom = extremes(hessian, largest=5, smallest=2)
    yield from (Value("largest", "", rank, float(value)) for rank, value in enumerate(top.values, 1))
    yield from (Value("smallest", "", rank, float(value)) for rank, value in enumerate(bottom.values, 1))
    yield Value("ratio", "", 0, float(abs(bottom.values[0] / top.values[0])))
    mean, error = trace(hessian, samples=10)
    yield Value("trace", "", 0, mean)
    yield Value("trace_error", "", 0, error)
    nodes, weights = (np.concatenate(parts) for parts in zip(*density(hessian, steps=30, samples=2), strict=True))
    for place, (node, weight) in enumerate(zip(nodes, weights, strict=True), 1):
        yield Value("density_node", "", place, float(node))
        yield Value("density_weight", "", place, float(weight) / 2)

"""The curvature of the training loss by Hessian-vector products: eigenvalues, trace and spectral density.

`extremes`, `trace` and `density` take any symmetric `LinearOperator`, such as `Hessian`. All random numbers are NumPy's
from a fixed seed, so results repeat bit for bit.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import eigh_tridiagonal
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F  # noqa: N812

from study.measure.probes.subject import Stopped
from study.training.session import never

Array = NDArray[np.float64]

LIMIT = 1000
"""Products after which a search for eigenvalues fails."""


# -- the operator ---------------------------------------------------------------------------------------------------------


class Hessian(LinearOperator):  # type: ignore[misc]
    """The Hessian of the mean cross-entropy over fixed images, in nats per squared unit of weight, as float64 (P, P).

    Its rows and columns are the network's `parameters()` in their order, each flattened in C order; vectors are float64
    (P,). Products are computed in the network's precision, on its device, by differentiating twice (Pearlmutter 1994),
    and summed over the batches in float64; they are NaN where the loss is. The network is left as it is, and its
    weights are read for each product: they may change in between.

    The network must be in evaluation mode, so that the loss of an image does not depend on the others. Images and
    labels are on its device; every image counts the same in batches of any size. `stopped` is asked before each batch,
    and ends a product with `Stopped`. Raises `ValueError`.
    """

    def __init__(
        self, network: nn.Module, batches: Sequence[tuple[Tensor, Tensor]], stopped: Callable[[], bool] = never
    ) -> None:
        if any(module.training for module in network.modules()):
            raise ValueError("the Hessian is of a network in evaluation mode; call network.eval() first")
        self.network, self.batches, self.stopped = network, batches, stopped
        self.images = sum(len(labels) for _, labels in batches)
        count = sum(parameter.numel() for parameter in network.parameters())
        super().__init__(np.dtype(np.float64), (count, count))

    def _matvec(self, vector: Array) -> Array:
        # Detached, so that a network with frozen weights has a Hessian too; copies would need memory.
        weights = {name: weight.detach().requires_grad_() for name, weight in self.network.named_parameters()}
        like = next(iter(weights.values()))
        whole = torch.from_numpy(np.ascontiguousarray(vector, dtype=np.float64).reshape(-1)).to(like.device, like.dtype)
        parts = torch.split(whole, [weight.numel() for weight in weights.values()])
        direction = [part.view_as(weight) for part, weight in zip(parts, weights.values(), strict=True)]
        total = torch.zeros(self.shape[0], dtype=torch.float64, device=like.device)
        for images, labels in self.batches:
            if self.stopped():
                raise Stopped
            total += self._product(weights, direction, images, labels)
        return total.cpu().numpy()

    def _product(self, weights: dict[str, Tensor], direction: list[Tensor], images: Tensor, labels: Tensor) -> Tensor:
        """Compute a batch's part of a product, (P,)."""
        with torch.enable_grad():
            logits = functional_call(self.network, weights, (images,))
            loss = F.cross_entropy(logits, labels, reduction="sum") / self.images
            over = list(weights.values())
            gradient = torch.autograd.grad(loss, over, create_graph=True)
            parts = torch.autograd.grad(gradient, over, direction, materialize_grads=True)
        return torch.cat([part.flatten() for part in parts])


# -- eigenvalues ----------------------------------------------------------------------------------------------------------


class Pairs(NamedTuple):
    """Eigenvalues, float64 (K,), and their unit eigenvectors as rows, (K, P); NaN where the search failed."""

    values: Array
    vectors: Array


class _GaveUp(Exception):  # noqa: N818 -- never seen outside
    """A product is not finite, or there were too many."""


def extremes(hessian: LinearOperator, largest: int, smallest: int, tolerance: float = 1e-3) -> tuple[Pairs, Pairs]:
    """Find the algebraically largest eigenvalues, descending, and the smallest ones, ascending, by ARPACK.

    `tolerance` is relative: the norm of the residual Hv - lambda v, and so the distance from a true eigenvalue, is at
    most `tolerance` times |lambda|. Each vector's component of largest magnitude is positive. All are NaN where
    products are not finite, or a search does not converge within `LIMIT` products: it is unknown which eigenvalues
    those that converged are. Each end has its own search, unless both ask for as many. `largest` or `smallest` may be 0.
    """
    if largest == smallest:  # measured: 21 to 54 products for one of each, 42 to 92 in two searches
        both = _search(hessian, 2 * largest, "BE", tolerance)
        return Pairs(*(part[largest:][::-1] for part in both)), Pairs(*(part[:largest] for part in both))
    # For 5 and 2 one search costs as much as two: "BE" finds as many of both.
    top = _search(hessian, largest, "LA", tolerance)
    return Pairs(*(part[::-1] for part in top)), _search(hessian, smallest, "SA", tolerance)


def _search(hessian: LinearOperator, count: int, which: str, tolerance: float) -> Pairs:
    """Find the `count` eigenvalues that SciPy calls `which`, ascending."""
    size, left = hessian.shape[0], LIMIT
    if not count:
        return Pairs(np.empty(0), np.empty((0, size)))

    def product(vector: Array) -> Array:
        """Raise where ARPACK would go on with NaN, or for hours."""
        nonlocal left
        if not left:
            raise _GaveUp
        left -= 1
        result: Array = hessian.matvec(vector)
        if not np.isfinite(result).all():
            raise _GaveUp
        return result

    start = np.random.RandomState(0).standard_normal(size)
    # Since SciPy 1.17 ARPACK draws vectors when its space is exhausted.
    seeded = {"rng": np.random.default_rng(0)} if "rng" in inspect.signature(eigsh).parameters else {}
    operator = LinearOperator(hessian.shape, matvec=product, dtype=np.float64)
    try:
        values, columns = eigsh(operator, count, which=which, v0=start, tol=tolerance, **seeded)
    except (_GaveUp, ArpackError):
        return Pairs(np.full(count, np.nan), np.full((count, size), np.nan))
    order = np.argsort(values)
    vectors = columns.T[order]
    signs = np.sign(vectors[np.arange(count), np.abs(vectors).argmax(1)])
    return Pairs(values[order], vectors * signs[:, None])


# -- trace and density ----------------------------------------------------------------------------------------------------


def trace(hessian: LinearOperator, samples: int) -> tuple[float, float]:
    """Estimate the trace as the mean of v'Hv over random signs v; return it with its standard error.

    Source: Hutchinson 1990. One product per sample. The error of a single sample is NaN.
    """
    draws = [signs @ hessian.matvec(signs) for signs in _signs(hessian, samples)]
    error = np.std(draws, ddof=1) / np.sqrt(samples) if samples > 1 else np.nan
    return float(np.mean(draws)), float(error)


def density(hessian: LinearOperator, steps: int, samples: int) -> Iterator[tuple[Array, Array]]:
    """Yield nodes, ascending, and weights of the spectral density, float64 (`steps`,), by stochastic Lanczos quadrature.

    For a smooth f the sum of weight times f(node) is, in expectation over samples, the mean of f over the spectrum; a
    sample's weights sum to 1. There are fewer nodes if the spectrum has fewer values, and one NaN if products are not
    finite. Source: Ghorbani et al. 2019 (arXiv 1901.10159), section 2. Keeps `steps` vectors of length P.
    """
    for start in _signs(hessian, samples):
        diagonal, beside = lanczos(hessian, start, steps)
        if np.isnan(diagonal[-1]):
            yield np.full(1, np.nan), np.full(1, np.nan)
        else:
            nodes, vectors = eigh_tridiagonal(diagonal, beside)
            yield nodes, vectors[0] ** 2


def lanczos(hessian: LinearOperator, start: Array, steps: int) -> tuple[Array, Array]:
    """Return diagonal, (M,), and off-diagonal, (M - 1,), of the tridiagonal matrix in the Krylov space of `start`.

    M is `steps` or less, where the next vector would be zero; the diagonal ends with NaN if a product is not finite.
    """
    # With full reorthogonalisation. curvlinops has it, but needs backpack, linear_operator, einops and einconv.
    basis = np.zeros((steps, len(start)))
    basis[0] = start / np.linalg.norm(start)
    diagonal, beside = [], []
    for step in range(steps):
        product = hessian.matvec(basis[step])
        size = np.linalg.norm(product)
        diagonal.append(basis[step] @ product if np.isfinite(size) else np.nan)
        if not np.isfinite(size):
            break
        for _ in range(2):  # once leaves rounding errors
            product = product - basis[: step + 1].T @ (basis[: step + 1] @ product)
        length = np.linalg.norm(product)
        if step + 1 == steps or length <= 1e-10 * size:
            break
        beside.append(length)
        basis[step + 1] = product / length
    return np.array(diagonal), np.array(beside)


def _signs(hessian: LinearOperator, samples: int) -> Iterator[Array]:
    """Draw random vectors of 1 and -1 (Rademacher)."""
    random = np.random.RandomState(0)
    for _ in range(samples):
        yield random.randint(0, 2, hessian.shape[0]) * 2.0 - 1.0

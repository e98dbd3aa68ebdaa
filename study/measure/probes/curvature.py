"""The curvature of the training loss without its matrix: products with the Hessian, and what can be had from them.

`Hessian` is made of any network in evaluation mode and any batches; `extremes`, `trace` and `density` take whatever
symmetric `LinearOperator`. Every draw is NumPy's from a seed, so that all of them repeat bit for bit.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import eigh_tridiagonal
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F  # noqa: N812

from study.measure.probes.subject import Stopped

Array = NDArray[np.float64]

LIMIT = 1000
"""Products after which a search for eigenvalues is given up."""


# -- the operator ---------------------------------------------------------------------------------------------------------


class Hessian(LinearOperator):  # type: ignore[misc]
    """The Hessian of the mean cross-entropy over fixed images, in nats per squared unit of weight, as float64 (P, P).

    Its rows and columns are the network's `parameters()` in their order, each flattened in C order; vectors are float64
    (P,). Products are computed in the network's precision, on its device, by differentiating twice (Pearlmutter 1994),
    and summed over the batches in float64. Where the loss is no number, neither are they. Nothing of the network is
    touched, and its weights are read anew in each product: they may be set to others in between.

    Parameters
    ----------
    network
        In evaluation mode, so that BN's statistics are fixed: the loss of an image doesn't depend on the others then.
    batches
        Images and labels, on the network's device. Batches may be of different sizes: every image counts the same.
    stopped
        Asked before each batch; when it says True, a product ends with `Stopped`.
    progress
        Told the number of products so far, after each.

    Raises
    ------
    ValueError
        There are no images, or the network is in training mode.
    """

    def __init__(
        self,
        network: nn.Module,
        batches: Sequence[tuple[Tensor, Tensor]],
        stopped: Callable[[], bool] = lambda: False,
        progress: Callable[[int], None] = lambda products: None,
    ) -> None:
        if any(module.training for module in network.modules()):
            raise ValueError("the Hessian is of a network in evaluation mode; call network.eval() first")
        self.network, self.batches, self.stopped, self.progress = network, batches, stopped, progress
        self.images = sum(len(labels) for _, labels in batches)
        if not self.images:
            raise ValueError("the Hessian is of the loss over some images; there are none")
        self.products = 0
        """How many were taken so far."""
        count = sum(parameter.numel() for parameter in network.parameters())
        super().__init__(np.dtype(np.float64), (count, count))

    def _matvec(self, vector: Array) -> Array:
        # Detached, so that networks of frozen weights have a Hessian too; as copies would be, but without their memory.
        weights = {name: weight.detach().requires_grad_() for name, weight in self.network.named_parameters()}
        direction = _split(vector, list(weights.values()))
        total = torch.zeros(self.shape[0], dtype=torch.float64, device=direction[0].device)
        for images, labels in self.batches:
            if self.stopped():
                raise Stopped
            total += self._product(weights, direction, images, labels)
        self.products += 1
        self.progress(self.products)
        return total.cpu().numpy()

    def _product(self, weights: dict[str, Tensor], direction: list[Tensor], images: Tensor, labels: Tensor) -> Tensor:
        """A batch's part of a product, (P,)."""
        with torch.enable_grad():
            logits = functional_call(self.network, weights, (images,))
            loss = F.cross_entropy(logits, labels, reduction="sum") / self.images
            over = list(weights.values())
            gradient = torch.autograd.grad(loss, over, create_graph=True)
            parts = torch.autograd.grad(gradient, over, direction, materialize_grads=True)
        return torch.cat([part.flatten() for part in parts])

    def _adjoint(self) -> Hessian:
        return self


def _split(vector: Array, like: Sequence[Tensor]) -> list[Tensor]:
    """A vector in parts of the shape, precision and device of these tensors."""
    whole = torch.from_numpy(np.ascontiguousarray(vector, dtype=np.float64).reshape(-1))
    whole = whole.to(like[0].device, like[0].dtype)
    parts = torch.split(whole, [one.numel() for one in like])
    return [part.view_as(one) for part, one in zip(parts, like, strict=True)]


# -- eigenvalues ----------------------------------------------------------------------------------------------------------


class Pairs(NamedTuple):
    """Eigenvalues, float64 (K,), and their unit eigenvectors as rows, (K, P); NaN where they could not be had."""

    values: Array
    vectors: Array


class _GaveUp(Exception):  # noqa: N818 -- never seen outside
    """A product is no number, or there were too many."""


def extremes(
    hessian: LinearOperator, largest: int, smallest: int, tolerance: float = 1e-3, limit: int = LIMIT, seed: int = 0
) -> tuple[Pairs, Pairs]:
    """The algebraically largest eigenvalues from the largest down, and the smallest ones from the smallest up.

    By ARPACK's restarted Lanczos. Each vector's component of largest magnitude is positive. All are NaN where the
    products aren't finite, and those of a search that does not converge within `limit` products: of eigenvalues that
    converge alone nobody knows which ones they are. Each end has a search of its own, unless as many are asked of both.

    Parameters
    ----------
    hessian
        Symmetric; larger than `largest` and `smallest` together, each of which may be 0.
    tolerance
        Of each eigenvalue, relative: the norm of its residual Hv - lambda v is at most that times |lambda|, and so
        is its distance from a true eigenvalue.
    """
    if largest == smallest:  # measured: 21 to 54 products for one of each, 42 to 92 in two searches
        both = _search(hessian, 2 * largest, "BE", tolerance, limit, seed)
        return Pairs(*(part[largest:][::-1] for part in both)), Pairs(*(part[:largest] for part in both))
    # For 5 and 2 one search is as dear as two: "BE" can't have other than as many of both.
    top = _search(hessian, largest, "LA", tolerance, limit, seed)
    return Pairs(*(part[::-1] for part in top)), _search(hessian, smallest, "SA", tolerance, limit, seed)


def _search(hessian: LinearOperator, count: int, which: str, tolerance: float, limit: int, seed: int) -> Pairs:
    """The `count` eigenvalues that SciPy calls `which`, in rising order."""
    size = hessian.shape[0]
    if not count:
        return Pairs(np.empty(0), np.empty((0, size)))
    start = np.random.RandomState(seed).standard_normal(size)
    try:
        found = eigsh(_guarded(hessian, limit), count, which=which, v0=start, tol=tolerance, **_restarts(seed))
    except (_GaveUp, ArpackError):
        return Pairs(np.full(count, np.nan), np.full((count, size), np.nan))
    order = np.argsort(found[0])
    return Pairs(found[0][order], _signed(found[1].T[order]))


def _guarded(hessian: LinearOperator, limit: int) -> LinearOperator:
    """The same operator, which gives up where ARPACK would go on with NaN, or for hours."""
    left = limit

    def product(vector: Array) -> Array:
        nonlocal left
        if not left:
            raise _GaveUp
        left -= 1
        result: Array = hessian.matvec(vector)
        if not np.isfinite(result).all():
            raise _GaveUp
        return result

    return LinearOperator(hessian.shape, matvec=product, dtype=np.float64)


def _restarts(seed: int) -> dict[str, Any]:
    """What has ARPACK draw the same vectors where its space is exhausted: since SciPy 1.17 they are random."""
    return {"rng": np.random.default_rng(seed)} if "rng" in inspect.signature(eigsh).parameters else {}


def _signed(vectors: Array) -> Array:
    """Rows with the sign that has their component of largest magnitude positive, the first of equal ones."""
    places = np.abs(vectors).argmax(1)
    signs: Array = np.sign(vectors[np.arange(len(vectors)), places])
    return vectors * signs[:, None]


# -- trace and density ----------------------------------------------------------------------------------------------------


def trace(hessian: LinearOperator, samples: int, seed: int = 0) -> tuple[float, float]:
    """The trace as the mean of v'Hv over random signs v, and that mean's standard error; one product a sample.

    Source: Hutchinson 1990. The error is NaN with a single sample; both are where the products aren't finite.
    """
    draws = [signs @ hessian.matvec(signs) for signs in _signs(hessian, samples, seed)]
    error = np.std(draws, ddof=1) / np.sqrt(samples) if samples > 1 else np.nan
    return float(np.mean(draws)), float(error)


def density(hessian: LinearOperator, steps: int, samples: int, seed: int = 0) -> Iterator[tuple[Array, Array]]:
    """Nodes and weights of the spectral density, each float64 (`steps`,) and from the lowest node up, a pair a sample.

    For a smooth f the sum over the nodes of weight times f(node) is, in expectation over samples, the mean of f over
    the spectrum; a sample's weights sum to 1. By stochastic Lanczos quadrature, one product a step. Fewer nodes where
    the spectrum has fewer values than `steps`; a single one, NaN as its weight, where the products aren't finite.

    Source: Ghorbani et al. 2019 (arXiv 1901.10159), section 2. Keeps `steps` vectors of length P.
    """
    for start in _signs(hessian, samples, seed):
        diagonal, beside = lanczos(hessian, start, steps)
        if np.isnan(diagonal[-1]):
            yield np.full(1, np.nan), np.full(1, np.nan)
        else:
            nodes, vectors = eigh_tridiagonal(diagonal, beside)
            yield nodes, vectors[0] ** 2


def lanczos(hessian: LinearOperator, start: Array, steps: int) -> tuple[Array, Array]:
    """Diagonal, (M,), and off-diagonal, (M - 1,), of the tridiagonal matrix that `hessian` is in M <= `steps` vectors.

    `start` is the first of these, up to its norm. Ends early where the next would be zero; and with NaN on the diagonal
    where a product isn't finite.
    """
    # Ours, with full reorthogonalisation: curvlinops has it, but brings backpack, linear_operator, einops and einconv.
    basis = np.zeros((steps, len(start)))
    basis[0] = start / np.linalg.norm(start)
    diagonal, beside = [], []
    for step in range(steps):
        product = hessian.matvec(basis[step])
        size = np.linalg.norm(product)
        diagonal.append(basis[step] @ product if np.isfinite(size) else np.nan)
        if not np.isfinite(size):
            break
        for _ in range(2):  # once leaves what rounding has kept
            product = product - basis[: step + 1].T @ (basis[: step + 1] @ product)
        length = np.linalg.norm(product)
        if step + 1 == steps or length <= 1e-10 * size:
            break
        beside.append(length)
        basis[step + 1] = product / length
    return np.array(diagonal), np.array(beside)


def _signs(hessian: LinearOperator, samples: int, seed: int) -> Iterator[Array]:
    """Random vectors of 1 and -1 (Rademacher)."""
    random = np.random.RandomState(seed)
    for _ in range(samples):
        yield random.randint(0, 2, hessian.shape[0]) * 2.0 - 1.0

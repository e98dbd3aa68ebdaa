"""The directions of a plane of weights, as vectors of a `Flat` layout."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from study.measure.probes.confusion import AT_ONCE, products
from study.measure.surface.flat import Flat


def random(
    flat: Flat,
    centre: Tensor,
    number: int,
    dims: int,
    normalisation: str,
    orthogonal: bool = False,
    ignore: str = "biasbn",
) -> Tensor:
    """Draw Gaussian directions, each normalised to the weights: float32 (dims, size).

    `filter` normalisation is d_f <- d_f / ||d_f|| * ||w_f|| for each filter f of each layer, or row of a linear layer;
    `layer` does the same for whole layers, `model` for all these weights together; `weight` multiplies each draw by its
    weight. Biases, BN's parameters and statistics have zeros (Li et al. 2018, section 4); with `ignore: none` the
    direction of biases and BN's parameters is they themselves. `weight` and `none` follow that paper's code
    (`net_plotter.py`).

    The draws depend only on the axis and the plane's `number`. With `orthogonal` each unit of the second direction
    (filter, layer or all) is orthogonal to that of the first, before it is normalised.
    """
    directions, weights = torch.zeros(dims, flat.size), torch.zeros(flat.size)
    for (_, ours), (_, theirs) in zip(flat.parts(weights), flat.parts(centre), strict=True):
        if ours.ndim > 1:
            ours.copy_(theirs)
    for axis in range(dims):
        draw = torch.Generator().manual_seed(_seed(number, axis))
        drawn = torch.zeros(flat.size)
        for _, part in flat.parts(drawn):
            if part.ndim > 1:
                part.normal_(generator=draw)
        if normalisation == "weight":
            directions[axis] = drawn * weights
            continue
        units = [_units(flat, vector, normalisation) for vector in (drawn, weights, directions[0], directions[axis])]
        for d, w, first, out in zip(*units, strict=True):
            d = d.double()
            if orthogonal and axis:
                d = d - _scale(_inner(first, d), _inner(first, first)) * first.double()
            out.copy_(d * _scale(_inner(w, w), _inner(d, d)).sqrt())
    if ignore == "none":
        _move_vectors(flat, centre, directions)
    return directions


def _move_vectors(flat: Flat, centre: Tensor, directions: Tensor) -> None:
    """Make each one-dimensional parameter its own direction, in place."""
    place = 0
    for _, part in flat.parts(centre):
        if part.ndim == 1 and place < flat.weights:  # beyond are BN's statistics
            directions[:, place : place + part.numel()] = part
        place += part.numel()


def _seed(number: int, axis: int) -> int:
    """Return the seed of one direction: unrelated for neighbouring numbers, which torch's generator does not promise."""
    return int.from_bytes(hashlib.sha256(f"surface {number} {axis}".encode()).digest()[:8], "little") >> 1


def _units(flat: Flat, vector: Tensor, normalisation: str) -> Iterator[Tensor]:
    """Yield views (units, values) of the weights: each row is normalised separately."""
    if normalisation == "model":
        yield vector[: flat.weights].view(1, -1)
        return
    for _, part in flat.parts(vector):
        if part.ndim > 1:
            yield part.view(len(part), -1) if normalisation == "filter" else part.view(1, -1)


def _inner(a: Tensor, b: Tensor) -> Tensor:
    """Compute inner products of rows, float64 (units, 1)."""
    return (a.double() * b.double()).sum(1, keepdim=True)


def _scale(above: Tensor, below: Tensor) -> Tensor:
    """Divide; 0 by 0 is 0, so that a filter of zeros remains zero."""
    return torch.where(below > 0, above / below, torch.zeros_like(above))


class Places(NamedTuple):
    """Where the snapshots of a training lie in a plane."""

    coordinates: Tensor
    """float64 (snapshots, dims)."""
    residuals: Tensor
    """The distance of each snapshot from the plane, float64 (snapshots,)."""


def principal(flat: Flat, ways: Tensor, dims: int, centred: bool = False) -> tuple[Tensor, Places, list[float]]:
    """Find the principal directions of the snapshots' weights minus the centre's, `ways` (n, weights).

    Returns orthonormal directions, float32 (dims, size), the snapshots' places, and the share of the squared distances
    to the centre, or of the snapshots' variance, that lies along each direction.

    The origin is the centre, as the text of Li et al. 2018, section 7.1, has it. With `centred` the mean of the
    snapshots is subtracted first, as in that paper's code (`projection.py`): directions and shares are those of the
    snapshots' variance. In both cases coordinates and residuals are measured from the centre. BN's statistics are left
    out. Raises `ValueError` if the snapshots span fewer dimensions, or one is not finite.
    """
    inner = products(ways)
    if not inner.isfinite().all():
        raise ValueError("a snapshot of the training is not finite")
    scatter = inner
    if centred:
        across = inner - inner.mean(0)
        scatter = across - across.mean(1, keepdim=True)
    squares, vectors = torch.linalg.eigh(scatter)  # rising
    squares, vectors = squares.flip(0)[:dims], vectors.flip(1)[:, :dims]
    total = float(scatter.diagonal().sum())
    if len(squares) < dims or not float(squares[-1]) > 1e-10 * total:
        raise ValueError(f"the snapshots of the training do not span {dims} dimensions")
    strongest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    vectors = vectors * strongest.sign()  # an eigenvector's sign is arbitrary: make it repeatable
    lengths = squares.sqrt()
    directions = torch.zeros(dims, flat.size)
    width = AT_ONCE // len(ways)
    for start in range(0, flat.weights, width):
        part = ways[:, start : start + width].double()
        directions[:, start : start + part.shape[1]] = (vectors / lengths).T @ part
    coordinates = inner @ (vectors / lengths)
    residuals = (inner.diagonal() - coordinates.square().sum(1)).clamp(min=0).sqrt()
    return directions, Places(coordinates, residuals), (squares / total).tolist()


def projected(ways: Tensor, directions: Tensor) -> Places:
    """Project snapshots onto a plane.

    Least squares, since directions need not be orthogonal. `ways` are differences to the centre, (n, weights). All
    sums are float64.
    """
    rows = torch.cat([directions[:, : ways.shape[1]], ways])
    inner = products(rows)
    dims = len(directions)
    coordinates = torch.linalg.lstsq(inner[:dims, :dims], inner[:dims, dims:]).solution.T
    squares = inner.diagonal()[dims:] - (coordinates * inner[dims:, :dims]).sum(1)
    return Places(coordinates, squares.clamp(min=0).sqrt())

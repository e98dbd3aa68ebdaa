"""The directions that span a plane of weights, as vectors of a `Flat` layout."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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
    """Gaussian directions, each normalised to the weights: float32 (dims, size).

    With `filter` normalisation d_f <- d_f / ||d_f|| * ||w_f|| for each filter f of each layer, a linear layer's filters
    being its rows; with `layer` the same for whole layers; with `model` for all these weights together; with `weight` each
    draw is multiplied by its weight. Biases, BN's parameters and its statistics have zeros (Li et al. 2018, section 4). With
    `ignore` none the biases and BN's parameters have themselves as directions. `weight` and `none` are as in that paper's code
    (`net_plotter.py`).

    Each axis of each plane (`number`) has draws of its own, which hang on nothing else. With `orthogonal` each unit of the
    second direction (filter, layer or all) is at right angles to that of the first, before it is normalised.
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
    """Let each parameter of one dimension be its own direction; in place."""
    place = 0
    for _, part in flat.parts(centre):
        if part.ndim == 1 and place < flat.weights:  # beyond are BN's statistics
            directions[:, place : place + part.numel()] = part
        place += part.numel()


def _seed(number: int, axis: int) -> int:
    """Of one direction: unrelated ones for neighbouring numbers, where torch's own generator only promises others."""
    return int.from_bytes(hashlib.sha256(f"surface {number} {axis}".encode()).digest()[:8], "little") >> 1


def _units(flat: Flat, vector: Tensor, normalisation: str) -> Iterator[Tensor]:
    """Views (units, values) of the weights: what has a norm of its own stands in a row."""
    if normalisation == "model":
        yield vector[: flat.weights].view(1, -1)
        return
    for _, part in flat.parts(vector):
        if part.ndim > 1:
            yield part.view(len(part), -1) if normalisation == "filter" else part.view(1, -1)


def _inner(a: Tensor, b: Tensor) -> Tensor:
    """Inner products of rows, float64 (units, 1)."""
    return (a.double() * b.double()).sum(1, keepdim=True)


def _scale(above: Tensor, below: Tensor) -> Tensor:
    """Their ratio; 0 where both are: a filter of zeros stays one."""
    return torch.where(below > 0, above / below, torch.zeros_like(above))


def towards(centre: Tensor, others: Sequence[Tensor]) -> Tensor:
    """The differences to other networks, BN's statistics included: the others are at (1, 0) and (0, 1). (others, size)."""
    return torch.stack([other - centre for other in others])


@dataclass(frozen=True)
class Trajectory:
    """A training in the plane of its principal directions."""

    directions: Tensor
    """Orthonormal, float32 (dims, size): coordinates are distances."""
    coordinates: Tensor
    """Of each snapshot, float64 (snapshots, dims)."""
    residuals: Tensor
    """The distance of each snapshot from the plane, float64 (snapshots,)."""
    explained: list[float]
    """Share of the squared distances to the centre, or of the snapshots' variance, that lies along each direction."""


def principal(flat: Flat, ways: Tensor, dims: int, centred: bool = False) -> Trajectory:
    """Principal directions of the differences of snapshots' weights to the centre's, (n, weights).

    Not `centred`, they are those of the matrix as it is, whose origin is the centre (Li et al. 2018, section 7.1, as it is
    written). `centred`, the mean of the snapshots is subtracted first, as that paper's code does (`projection.py`, by
    scikit-learn's PCA): the directions and their shares are those of the snapshots' variance. In both cases the plane goes
    through the centre, from where coordinates and residuals are measured. BN's statistics have no part in it.

    Raises
    ------
    ValueError
        The snapshots do not span as many dimensions, or one is not finite.
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
    vectors = vectors * strongest.sign()  # an eigenvector's sign means nothing: this one repeats
    lengths = squares.sqrt()
    directions = torch.zeros(dims, flat.size)
    width = AT_ONCE // len(ways)
    for start in range(0, flat.weights, width):
        part = ways[:, start : start + width].double()
        directions[:, start : start + part.shape[1]] = (vectors / lengths).T @ part
    coordinates = inner @ (vectors / lengths)
    residuals = (inner.diagonal() - coordinates.square().sum(1)).clamp(min=0).sqrt()
    return Trajectory(directions, coordinates, residuals, (squares / total).tolist())


def projected(ways: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """Where snapshots lie in a given plane: the coordinates of the nearest points, (n, dims), and the distances, (n,).

    By least squares, which directions at an angle need. `ways` are differences to the centre, (n, weights); of the
    directions, (dims, size), the weights' part counts. All sums are float64.
    """
    rows = torch.cat([directions[:, : ways.shape[1]], ways])
    inner = products(rows)
    dims = len(directions)
    coordinates = torch.linalg.lstsq(inner[:dims, :dims], inner[:dims, dims:]).solution.T
    squares = inner.diagonal()[dims:] - (coordinates * inner[dims:, :dims]).sum(1)
    return coordinates, squares.clamp(min=0).sqrt()

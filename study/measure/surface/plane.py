"""A plane of weights around a trained network: its centre and directions, made once and kept on disk."""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from study.config.run import PROBE_IMAGES
from study.config.surface import Surface
from study.errors import StudyError
from study.measure.probes.curvature import Hessian, extremes
from study.measure.probes.subject import Subject
from study.measure.surface import directions as spanning
from study.measure.surface.flat import Flat
from study.networks.network import Network
from study.store import runs as store
from study.store.files import check_version, digest, read_checked, write_bytes, write_json
from study.store.layout import RunFiles, SurfaceFiles
from study.training import checkpoint
from study.training.feeds.feed import Feed
from study.training.session import never
from study.training.start import trained

VERSION = 1

log = logging.getLogger(__name__)

MARGIN = 0.15
"""Margin at each side, as a share of a trajectory's extent."""


class Snapshot(NamedTuple):
    """A point of a trajectory in the plane; `residual` is its distance from the plane."""

    iteration: int
    alpha: float
    beta: float
    residual: float


@dataclass(frozen=True)
class Plane:
    """All that a point needs except the data."""

    centre: Tensor
    """The network's weights and BN statistics as a `Flat` vector, float32 (size,)."""
    directions: Tensor
    """float32 (dims, size)."""
    ranges: tuple[tuple[float, float], ...]
    """Lowest and highest coordinate of each axis."""
    fingerprint: str
    """The fingerprint of the data set on which the network was trained."""
    threads: int
    """The number of CPU threads for all points: it decides the order of sums."""
    facts: dict[str, float] = field(default_factory=dict)
    """Facts about the directions, as in the surface's table (`study.store.surfaces.FACTS`)."""
    snapshots: tuple[Snapshot, ...] = ()
    """The training's trajectory, with `plane: pca` or `trajectory`."""

    def save(self, files: SurfaceFiles) -> None:
        """Write the plane atomically, after its facts."""
        ranges = [list(pair) for pair in self.ranges]
        known = {name: value for name, value in self.facts.items() if math.isfinite(value)}
        write_json(files.facts, known | {"ranges": ranges})
        buffer = io.BytesIO()
        fields = asdict(self) | {"ranges": ranges}
        fields["snapshots"] = [list(snapshot) for snapshot in self.snapshots]
        torch.save({"version": VERSION, "surface_id": files.run_id, **fields}, buffer)
        write_bytes(files.plane(digest(buffer.getvalue())), buffer.getvalue())


def load(files: SurfaceFiles) -> Plane | None:
    """Load the plane of a surface, on the CPU; None if it is not made yet or damaged. Raises `StudyError` for a later version."""
    for path in files.planes():
        try:
            content = checkpoint.load_tensors(read_checked(path, aside=True), torch.device("cpu"))
            check_version(path, content.pop("version"), VERSION)
            if content.pop("surface_id") != files.run_id:
                raise ValueError("it is of another surface")
            content["ranges"] = tuple((low, high) for low, high in content["ranges"])
            content["snapshots"] = tuple(Snapshot(*snapshot) for snapshot in content["snapshots"])
            return Plane(**content)
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("passed over %s: %s", path.name, error)
    return None


def make(
    surface: Surface, run: RunFiles, others: list[RunFiles], feed: Feed, stopped: Callable[[], bool] = never
) -> Plane:
    """Make the plane of a surface around `run`; `others` are the runs that `surface.to` names.

    Raises `StudyError` if a run is not trained or has no sound checkpoint, the networks do not match, or there are too
    few snapshots.
    """
    network = trained(run, feed)
    flat = Flat(network)
    centre = flat.pack(network.state_dict()).cpu()
    facts: dict[str, float] = {}
    snapshots: tuple[Snapshot, ...] = ()
    iterations, ways = _ways(surface, run, flat, centre) if surface.has_trajectory else ([], torch.empty(0))
    if surface.plane == "random":
        kind = surface.normalisation or "filter"
        directions = spanning.random(
            flat, centre, surface.number, surface.dims, kind, surface.orthogonal, surface.ignore
        )
    elif surface.plane == "interpolate":
        _check_alike(run, others)
        directions = torch.stack([_packed(flat, other, feed) - centre for other in others])
    elif surface.plane == "hessian":
        directions, facts = _leading(surface, run, network, flat, feed, stopped)
    else:
        try:
            directions, places, shares = spanning.principal(flat, ways, surface.dims, surface.centred)
        except ValueError as error:
            raise StudyError(f"{run.run_id}: {error}") from None
        facts = {f"explained_{axis}": share for axis, share in zip("ab", shares, strict=False)}
        snapshots = _snapshots(iterations, places)
    if surface.trajectory:
        snapshots = _snapshots(iterations, spanning.projected(ways, directions))
    if surface.dims == 2:
        a, b = directions.double()
        # Without the digits that depend on the number of threads, so that a surface's table has the same bytes.
        facts["cosine"] = round(float(a @ b / (a.norm() * b.norm())), 9)
    ranges = surface.range or _around(snapshots, surface.dims)
    return Plane(centre, directions, ranges, feed.fingerprint, torch.get_num_threads(), facts, snapshots)


def _check_alike(run: RunFiles, others: list[RunFiles]) -> None:
    """Check that the others were trained on images prepared as the centre's: all networks of a plane get the same."""

    def prepared(files: RunFiles) -> dict[str, object]:
        recipe = store.read_spec(files).recipe
        side = recipe.scales and recipe.scales[0]
        return {"recipe.mean": recipe.mean, "recipe.normalise": recipe.normalise, "recipe.scales from": side}

    for other in others:
        for (name, ours), theirs in zip(prepared(run).items(), prepared(other).values(), strict=True):
            if ours != theirs:
                raise StudyError(
                    f"{other.run_id} was trained with {name} {theirs}, the centre with {ours}: in this plane it would get "
                    "other images than it was trained on"
                )


def _packed(flat: Flat, run: RunFiles, feed: Feed) -> Tensor:
    try:
        return flat.pack(trained(run, feed).state_dict()).cpu()
    except ValueError:
        raise StudyError(f"{run.run_id} has other layers than the centre, so there is no line between them") from None


def _leading(
    surface: Surface, run: RunFiles, network: Network, flat: Flat, feed: Feed, stopped: Callable[[], bool]
) -> tuple[Tensor, dict[str, float]]:
    """Find the unit eigenvectors of the Hessian's largest eigenvalues, and these eigenvalues."""
    batches = hessian_batches(surface, run, network, feed)
    (values, vectors), _ = extremes(Hessian(network, batches, stopped), largest=surface.dims, smallest=0)
    if not all(map(math.isfinite, values)):
        raise StudyError(f"{run.run_id}: the Hessian's leading eigenvalues could not be found")
    directions = torch.zeros(surface.dims, flat.size)
    directions[:, : flat.weights] = torch.from_numpy(vectors.copy())  # its rows were turned round
    return directions, {f"eigenvalue_{axis}": float(value) for axis, value in zip("ab", values, strict=False)}


def hessian_batches(surface: Surface, run: RunFiles, network: Network, feed: Feed) -> list[tuple[Tensor, Tensor]]:
    """Return the training images for the Hessian; with `bn: batch` in batches as BN sees them in training."""
    spec = store.read_spec(run)
    batches = Subject(spec, network, feed, surface.curvature_images or PROBE_IMAGES).batches()
    groups = spec.recipe.bn_groups if surface.bn == "batch" else 1
    return [pair for whole in batches for pair in zip(*(part.chunk(groups) for part in whole), strict=True)]


def _ways(surface: Surface, run: RunFiles, flat: Flat, centre: Tensor) -> tuple[list[int], Tensor]:
    """Return the iterations of a run's snapshots, and their weights minus the centre's, (snapshots, weights)."""
    iterations = []
    ways = torch.empty(len(run.snapshots()), flat.weights)  # 1.1 GB for a ResNet-110 and 164 epochs
    for way, state in zip(ways, checkpoint.load_snapshots(run, torch.device("cpu")), strict=False):
        torch.sub(flat.pack(state["network"])[: flat.weights], centre[: flat.weights], out=way)
        iterations.append(state["iteration"])
    if len(iterations) <= surface.dims:
        raise StudyError(
            f"{run.run_id} has {len(iterations)} snapshots of its training, too few for a plane; train it with "
            "snapshot_every: epoch"
        )
    return iterations, ways[: len(iterations)]


def _snapshots(iterations: list[int], places: spanning.Places) -> tuple[Snapshot, ...]:
    rows = zip(iterations, places.coordinates.tolist(), places.residuals.tolist(), strict=True)
    return tuple(Snapshot(iteration, row[0], sum(row[1:]), residual) for iteration, row, residual in rows)


def _around(snapshots: tuple[Snapshot, ...], dims: int) -> tuple[tuple[float, float], ...]:
    """Return a range for each axis that holds the centre and all snapshots, with a margin."""
    ranges = []
    for axis in range(dims):
        places = [0.0, *(snapshot[1 + axis] for snapshot in snapshots)]
        room = MARGIN * (max(places) - min(places))
        ranges.append((min(places) - room, max(places) + room))
    return tuple(ranges)

"""Synthetic probes as the store returns them; plain-56 has large responses and gradients."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tests.frames import joined

from .conftest import Frames, study

Row = tuple[int, str, str, str, int, float]  # iteration, probe, measure, layer, place, value


def layer(place: int, depth: int) -> str:
    """The name of a weighted layer of the CIFAR family, from 1."""
    if place in (1, depth):
        return "stem.0" if place == 1 else "head"
    block, of = divmod(place - 2, (depth - 2) // 3)
    return f"stages.{block}.{of // 2}.conv{of % 2 + 1}"


def rows(network: str, depth: int, seed: int, iterations: Sequence[int]) -> Iterator[Row]:
    """Rows of four probes for one run."""
    rng = np.random.default_rng([depth, seed, network == "plain"])
    wild = network == "plain" and depth > 40
    blocks = (depth - 2) // 2
    changes = {1 + blocks // 3, 1 + 2 * blocks // 3}  # the shape: a plain network has no `change` and no deletion there
    for iteration in iterations:
        share = iteration / iterations[-1]
        for place in range(1, depth + 1):
            name = layer(place, depth)
            if place < depth:
                std = 0.5 + (3 * np.exp(-place / 9) if wild else 0.1) * share
                yield iteration, "responses", "std", name, place, std * rng.uniform(0.9, 1.1)
            norm = 10 ** (1.6 * (1 - place / depth) * wild - share) * rng.uniform(0.8, 1.25)
            yield iteration, "gradients", "norm", name, place, norm
            yield iteration, "gradients", "relative", name, place, norm / 5
        error = 90 - share * ((10 if wild else 70) + rng.uniform(0, 5))
        yield iteration, "paths", "error", "", 0, error
        for place in range(1, blocks + 1):
            name = f"stages.{3 * (place - 1) // blocks}.{(place - 1) % (blocks // 3)}"
            ratio = (1 - 0.7 * share * place / blocks) * rng.uniform(0.95, 1.05)
            yield iteration, "identity", "ratio", name, place, ratio
            if network == "residual" or place not in changes:
                yield iteration, "identity", "change", name, place, ratio * rng.uniform(0.5, 0.6)
                yield iteration, "paths", "deleted_error", name, place, min(90.0, error + rng.uniform(30, 60) / place)
        if network == "residual":
            k = np.arange(blocks + 1)
            weights = np.exp(-0.5 * ((k - 2 - 0.4 * blocks**0.5 - 0.2 * seed) / 1.8) ** 2)
            for n, path_share in enumerate(weights / weights.sum()):
                yield iteration, "paths", "path_share", "", n, float(path_share)
            yield iteration, "paths", "effective_depth", "", 0, float(2 + 2 * (k * weights).sum() / weights.sum())


def probed(
    depths: Iterable[int] = (20, 56),
    networks: Iterable[str] = ("plain", "residual"),
    seeds: int = 3,
    iterations: Sequence[int] = (0, 16_000, 32_000, 48_000, 64_000),
    **fields: Any,
) -> Frames:
    """Probes and runs of a sweep in which every run is done; `fields` override those of every run."""
    runs = study(depths, networks, seeds, iterations[-1], evaluations=1, **fields)[1]
    columns = ["iteration", "probe", "measure", "layer", "place", "value"]
    frames, fields_of = [], runs.drop(columns="iteration").to_dict("records")
    for run in fields_of:
        values = rows(run["network"], run["depth"], run["seed"], iterations)
        frames.append(pd.DataFrame(list(values), columns=columns).assign(images=1024, seconds=1.0))
    return joined(frames, fields_of), runs


def ended(frames: Frames, run_id: str, state: str, iteration: int, measured: bool = True) -> Frames:
    """The same sweep with one run in `state` after `iteration`; later measurements are removed."""
    frame, runs = frames
    here = frame["run_id"] == run_id
    frame = frame[~here | ((frame["iteration"] <= iteration) & measured)].copy()
    frame.loc[frame["run_id"] == run_id, "state"] = state
    runs = runs.copy()
    runs.loc[runs["run_id"] == run_id, ["state", "iteration"]] = [state, iteration]
    return frame, runs


def with_lacks() -> Frames:
    """Plain and residual 20 and 56, four seeds; one run diverged, one is running, one pending, one not measured."""
    frames = probed(seeds=4)
    ids = frames[1].set_index(["network", "depth", "seed"])["run_id"]
    frames = ended(frames, ids["plain", 56, 3], "diverged", 20_000)
    frames = ended(frames, ids["residual", 20, 1], "running", 40_000)
    frames = ended(frames, ids["residual", 56, 2], "pending", 0, measured=False)
    return ended(frames, ids["plain", 20, 0], "done", 64_000, measured=False)

"""Synthetic probes as the store returns them; plain-56 has large responses and gradients."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tests.frames import joined

from .conftest import FIELDS, Frames

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
        for place in range(1, depth):
            std = (0.9 if network == "plain" else 0.5) + (3 * np.exp(-place / 9) * share if wild else 0.1 * share)
            yield iteration, "responses", "std", layer(place, depth), place, std * rng.uniform(0.9, 1.1)
        for place in range(1, depth + 1):
            steep = 1.6 * (1 - place / depth) * (1 - share) - 1.2 * share if wild else 0.3 - 0.8 * share
            norm = 10**steep * rng.uniform(0.8, 1.25)
            yield iteration, "gradients", "norm", layer(place, depth), place, norm
            yield iteration, "gradients", "relative", layer(place, depth), place, norm / 5
        error = 90 - share * ((10 if wild else 70) + rng.uniform(0, 5))
        yield iteration, "paths", "error", "", 0, error
        for place in range(1, blocks + 1):
            name = f"stages.{3 * (place - 1) // blocks}.{(place - 1) % (blocks // 3)}"
            ratio = 1.2 + 0.3 * np.sin(place) if network == "plain" else 1 - 0.7 * share * place / blocks
            yield iteration, "identity", "ratio", name, place, ratio * rng.uniform(0.95, 1.05)
            yield iteration, "identity", "truncated", name, place, rng.uniform(0.4, 0.6)
            if network == "residual" or place not in changes:
                yield iteration, "identity", "change", name, place, ratio * rng.uniform(0.5, 0.6)
                loss = min(90 - error, 60 * rng.uniform(0.5, 1) * (1 if network == "plain" else 4 * place**-1.5 / 4))
                yield iteration, "paths", "deleted_error", name, place, error + loss
        if network == "residual":
            k = np.arange(blocks + 1)
            weights = np.exp(-0.5 * ((k - 2 - 0.4 * blocks**0.5 - 0.2 * seed) / 1.8) ** 2)
            shares = weights / weights.sum()
            yield from (
                (iteration, "paths", "path_share", "", int(n), float(s)) for n, s in zip(k, shares, strict=True)
            )
            yield iteration, "paths", "effective_depth", "", 0, float(2 + 2 * (k * shares).sum())


def probed(
    depths: Iterable[int] = (20, 56),
    networks: Iterable[str] = ("plain", "residual"),
    seeds: int = 3,
    iterations: Sequence[int] = (0, 16_000, 32_000, 48_000, 64_000),
    **fields: Any,
) -> Frames:
    """Probes and runs of a sweep in which every run is done; `fields` override those of every run."""
    frames, runs, fields_of = [], [], []
    for network, depth, seed in [(n, d, s) for n in networks for d in depths for s in range(seeds)]:
        own = {
            "network": network, "depth": depth, "seed": seed, "family": "cifar", "order": "original",
    "norm": "batch", "activation": "relu",
            "shortcut": None if network == "plain" else "A", "recipe_changes": "", "iterations": iterations[-1],
            "state": "done", **FIELDS, **fields,
        }  # fmt: skip
        point = f"{network}-{depth}-" + "-".join(str(own[k]) for k in ("dataset", "recipe", "shortcut", "order"))
        own |= {"point_id": point, "run_id": f"{point}-s{seed}"}
        runs.append(own | {"iteration": iterations[-1]})
        columns = ["iteration", "probe", "measure", "layer", "place", "value"]
        frame = pd.DataFrame(list(rows(network, depth, seed, iterations)), columns=columns)
        frames.append(frame.assign(images=1024, seconds=1.0))
        fields_of.append(own)
    return joined(frames, fields_of), pd.DataFrame(runs)


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

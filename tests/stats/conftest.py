"""Sweeps whose truth is known: final errors and convergence rates are given, curves are exponentials."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from tests.frames import joined

Frames = tuple[pd.DataFrame, pd.DataFrame]
Errors = Callable[[str, int, int], tuple[float, float]]
FIELDS = {
    "family": "cifar", "block": "basic", "family.width": 1, "data": "cifar10", "dataset": "cifar10",
    "train_subset": None, "recipe": "he2015_cifar", "recipe_changes": "", "recipe.learning_rate": 0.1,
    "precision": "fp32",
}  # fmt: skip
ITERATIONS = np.arange(10, 1001, 10)


def rate(network: str, depth: int) -> float:
    """Per iteration: exponentially lower with the depth of a plain network, the same for all residual ones."""
    return 0.01 * np.exp(-0.03 * (depth - 20)) if network == "plain" else 0.01


def curve(final: tuple[float, float], speed: float, last: int) -> pd.DataFrame:
    """Loss 2.3 exp(-speed t) and the final errors, which stand at the last evaluation alone; the rate drops at 600."""
    steps = ITERATIONS[: last // 10]
    shared = {"iteration": steps, "epoch": steps / 390, "lr": np.where(steps <= 600, 0.1, 0.01), "seconds": 0.1 * steps}
    loss = 2.3 * np.exp(-speed * steps)
    errors = [np.where(steps == ITERATIONS[-1], error, error / 2) for error in final]  # the best is not the last
    return pd.DataFrame({
        **{name: np.tile(values, 3) for name, values in shared.items()},
        "split": np.repeat(["train", "train_clean", "test"], len(steps)),
        "loss": np.tile(loss, 3),
        "error": np.concatenate([np.full(len(steps), 50.0), *errors]),
    })  # fmt: skip


def sweep(
    errors: Errors,
    depths: Iterable[int] = (20, 56),
    networks: Iterable[str] = ("plain", "residual"),
    seeds: int = 5,
    states: Mapping[tuple[str, int, int], str] | None = None,
    speed: Callable[[str, int], float] = rate,
    **fields: Any,
) -> Frames:
    """Curves and runs; `errors(network, depth, seed)` gives the final clean training and test error in percent.

    `states` names the runs that are not done: a diverged one ends at iteration 300 in NaN; a running one and one at chance
    are there; any other has no curve.
    """
    curves, runs, fields_of = [], [], []
    for network, depth, seed in [(n, d, s) for n in networks for d in depths for s in range(seeds)]:
        own = {**FIELDS, "network": network, "depth": depth, "seed": seed, **fields}
        own["shortcut"] = None if network == "plain" else own.get("shortcut", "A")
        point = "-".join(str(own[name]) for name in sorted(own) if name != "seed")
        state = (states or {}).get((network, depth, seed), "done")
        own |= {"point_id": point, "run_id": f"{point}-s{seed}", "state": state}
        last = {"done": 1000, "diverged": 300, "at_chance": 300, "running": 300}.get(state, 0)
        runs.append(own | {"iteration": last, "iterations": 1000})
        drawn = curve(errors(network, depth, seed), speed(network, depth), last)
        if state == "diverged":
            drawn.loc[drawn["iteration"] == last, ["loss", "error"]] = np.nan
        curves.append(drawn)
        fields_of.append(own)
    return joined(curves, fields_of), pd.DataFrame(runs)


def wobble(seed: int, size: float) -> float:
    """What a seed adds: +size, -size in turn, and a little that is its own."""
    return float(size * (-1) ** seed + 0.01 * size * seed)


def degrades(network: str, depth: int, seed: int) -> tuple[float, float]:
    """Plain networks end 5 points higher at 56 layers and 9 at 110, residual ones 0.3 lower; the gap is 7 throughout."""
    rise = {20: 0.0, 56: 5.0, 110: 9.0}[depth] if network == "plain" else {20: 0.0, 56: -0.3, 110: -0.4}[depth]
    train = 1.5 + rise + wobble(seed + (depth == 56), 0.1)
    return train, train + 7 + wobble(seed + (depth == 56), 0.2)


def nothing(network: str, depth: int, seed: int) -> tuple[float, float]:
    """Depth does nothing; each seed adds a point or takes one, to the deeper network the other way."""
    train = 5 + wobble(seed + (depth > 20), 0.5)
    return train, train + 3


def overfits(network: str, depth: int, seed: int) -> tuple[float, float]:
    """The training error stays, the test error rises by 2 points."""
    train = 0.5 + wobble(seed + (depth > 20), 0.02)
    return train, 7 + 2 * (depth > 20) + wobble(seed, 0.1) * (depth > 20)


def together(*frames: Frames) -> Frames:
    """Several sweeps as one."""
    return pd.concat([f[0] for f in frames], ignore_index=True), pd.concat([f[1] for f in frames], ignore_index=True)

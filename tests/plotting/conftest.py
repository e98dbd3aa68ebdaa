"""Synthetic studies whose plain networks degrade with depth: frames as the store returns them."""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

from study.plotting import plot
from study.plotting.base.page import Plot
from tests.frames import Frames, joined

Fed = Callable[[str], tuple[pd.DataFrame, pd.DataFrame | None]]
Drawn = Callable[[str], Plot]
OF_PROBES = {
    "responses": "responses",
    "gradients": "gradients",
    "identity_ness": "identity",
    "effective_depth": "paths",
}
"""The probe that each figure draws."""
FIELDS = {
    "block": "basic", "family.width": 1, "data": "cifar10", "dataset": "cifar10", "train_subset": pd.NA,
    "recipe": "he2015_cifar", "precision": "fp32", "order": "original",
    "norm": "batch", "activation": "relu", "initialisation": "he_fan_in", "recipe_changes": "",
}  # fmt: skip


def final_errors(network: str, depth: int) -> tuple[float, float]:
    """Training and test error in percent, similar to He et al. 2015, figure 6."""
    more = np.log2(depth / 20)
    if network == "plain":
        return 1.2 + 2.6 * max(more, 0.0) ** 1.3, 9.5 + 2.4 * max(more, 0.0) ** 1.2
    return 0.9 * 0.55**more, 8.7 - 0.95 * more


def trajectory(
    final: float, rng: np.random.Generator, iterations: np.ndarray, drops: tuple[float, float]
) -> np.ndarray:
    """An error that starts at 90 %, falls with the iterations and at each drop of the rate, and ends near `final`."""
    share = iterations / iterations[-1]
    level = np.where(share < drops[0], 2.6 * final + 5, np.where(share < drops[1], 1.15 * final + 0.4, final))
    noise = np.where(share < drops[0], 0.05, 0.008) * level * rng.standard_normal(len(share))
    return np.clip(level + (88 - level) * np.exp(-28 * share) + noise, 0, 92)


def study(
    depths: Iterable[int] = (20, 56),
    networks: Iterable[str] = ("plain", "residual"),
    seeds: int = 5,
    iterations: int = 64_000,
    evaluations: int = 60,
    **fields: Any,
) -> Frames:
    """Curves and runs of a sweep in which every run is done; `fields` override those of every run."""
    curves, runs, fields_of = [], [], []
    points = [(n, d, s) for n in networks for d in depths for s in range(seeds)]
    for network, depth, seed in points:
        imagenet = depth in (18, 34)
        own = {
            "network": network, "depth": depth, "seed": seed, "family": "imagenet" if imagenet else "cifar",
            "shortcut": None if network == "plain" else "A", **FIELDS, **fields,
        }  # fmt: skip
        point = f"{network}-{depth}-" + "-".join(str(own[k]) for k in ("dataset", "recipe", "shortcut", "precision"))
        own |= {"point_id": point, "run_id": f"{point}-s{seed}", "state": "done"}
        runs.append(own | {"iteration": iterations, "iterations": iterations})
        rng = np.random.default_rng([depth, seed, network == "plain"])
        wobble = 1 + 0.05 * rng.standard_normal() + (0.12 * abs(rng.standard_normal()) if network == "plain" else 0)
        clean, test = final_errors(network, depth)
        for split, end, every in (
            ("train", 1.3 * clean * wobble, 4 * evaluations),
            ("train_clean", clean * wobble, evaluations),
            ("test", test * wobble, evaluations),
        ):
            end *= 0.55 if imagenet else 1
            steps = np.unique(np.linspace(0, iterations, every + 1).astype(int)[1:])
            error = trajectory(end, rng, steps, (0.5, 0.75))
            rate = 0.1 * np.where(steps > iterations * 0.75, 0.01, np.where(steps > iterations * 0.5, 0.1, 1.0))
            curves.append(
                pd.DataFrame({"iteration": steps, "epoch": steps / 390, "split": split, "loss": error / 30,
                              "error": error, "lr": rate, "seconds": steps * 0.02})
            )  # fmt: skip
            fields_of.append(own)
    return joined(curves, fields_of), pd.DataFrame(runs)


def cut(frames: Frames, run_id: str, state: str, iteration: int) -> Frames:
    """The same study with one run that ended in `state` at `iteration`; 0: without a curve."""
    curves, runs = frames
    here = curves["run_id"] == run_id
    curves = curves[~here | (curves["iteration"] <= iteration)].copy()
    runs = runs.copy()
    runs.loc[runs["run_id"] == run_id, ["state", "iteration"]] = [state, iteration]
    curves.loc[curves["run_id"] == run_id, "state"] = state
    if state == "diverged":
        last = curves[(curves["run_id"] == run_id) & (curves["split"] == "train")]["iteration"].idxmax()
        curves.loc[last, ["loss", "error"]] = np.nan
    return curves, runs


def run_id(runs: pd.DataFrame, network: str, depth: int, seed: int) -> str:
    """The id of the one run of this network, depth and seed."""
    chosen = runs[(runs["network"] == network) & (runs["depth"] == depth) & (runs["seed"] == seed)]
    return str(chosen["run_id"].item())


def with_absences() -> Frames:
    """Plain and residual 20 and 56, five seeds; one run diverged, one is pending, one running."""
    frames = study(depths=(20, 56), seeds=5)
    runs = frames[1]
    frames = cut(frames, run_id(runs, "plain", 56, 3), "diverged", 9_700)
    frames = cut(frames, run_id(runs, "residual", 56, 4), "pending", 0)
    return cut(frames, run_id(runs, "residual", 20, 1), "running", 30_000)


@pytest.fixture(scope="session")
def small() -> Frames:
    """Plain and residual 20 and 56, three seeds, 400 iterations."""
    return study(seeds=3, iterations=400, evaluations=8)


@pytest.fixture(scope="session")
def absences() -> Frames:
    """See `with_absences`."""
    return with_absences()


@pytest.fixture(scope="session")
def planes() -> pd.DataFrame:
    """Four networks' surfaces of two dimensions and of one; see `tests.plotting.planes`."""
    from .planes import four, together

    return together(four(), four(shape=(21, 1)))


@pytest.fixture(scope="session")
def probes() -> Frames:
    """See `tests.plotting.probed.with_lacks`."""
    from .probed import with_lacks

    return with_lacks()


@pytest.fixture(scope="session")
def fed(absences: Frames, planes: pd.DataFrame, probes: Frames) -> Fed:
    """From a figure's name to frames that feed it."""
    from study.config.registry import FIGURES

    from . import planes as kinds
    from . import variants

    feeds = {"curves": absences, "surfaces": (planes, None), "probes": probes}
    own = {  # figures that need other networks
        "fig4": study(depths=(18, 34), seeds=2),
        "cures": variants.cures(),
        "shortcuts": variants.shortcuts(),
        "orders": variants.orders(),
        "preactivation": variants.orders(),
        "trajectory": (kinds.four(kind=kinds.way), None),
        "hessian_ratio": (kinds.four(kind=kinds.curved), None),
        "spectrum": kinds.spectra(),
        "sensitivity": variants.sensitivity(),
    }
    return lambda name: own[name] if name in own else feeds[FIGURES[name].needs]


@pytest.fixture(scope="session")
def drawn(fed: Fed) -> Drawn:
    """From a figure's name to the figure, drawn once a session."""
    return cache(lambda name: plot(name, *fed(name)))

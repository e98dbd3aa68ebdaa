"""Synthetic curvature, trajectories and spectra, as the store gives them."""

import numpy as np
import pandas as pd

from study.config.differences import RECIPE, row
from tests.frames import joined
from tests.helpers import make_spec

from .conftest import Frames, study
from .planes import surface, together


def curved(network: str = "plain", depth: int = 20, **fields: object) -> pd.DataFrame:
    """A surface with curvature: a near-bowl; for plain-56 negative, unknown in one corner and nowhere positive in another."""
    frame = surface(network, depth, **fields)
    alpha, beta = frame["alpha"].to_numpy(), frame["beta"].to_numpy()
    square = alpha**2 + beta**2
    deep = network == "plain" and depth > 40
    largest = 20 * (1 + square)
    smallest = -0.4 - (
        12 * square * (1 + np.sin(4 * alpha) * np.cos(3 * beta))
        if deep
        else (1.5 if network == "residual" else 6) * square
    )
    if deep:
        largest = np.where((alpha < -0.7) & (beta < -0.7), -0.1, largest)
        largest[frame["loss"].isna()] = np.nan
    frame["lambda_max"], frame["lambda_min"] = largest, np.where(np.isnan(largest), np.nan, smallest)
    frame.loc[frame["split"] == "test", ["lambda_max", "lambda_min"]] = np.nan  # only rows of split train have them
    frame["curvature_images"] = 1024
    return frame


def way(network: str = "plain", depth: int = 20, snapshots: int = 21, **fields: object) -> pd.DataFrame:
    """A plane of principal directions with the snapshots of 64,000 iterations; the rate drops at 32,000 and 48,000."""
    frame = surface(network, depth, plane="pca", spans=(1.0, 0.6), **fields)
    # The plane reaches from the end of training, at 0, to its start.
    frame["alpha"] += 0.7
    frame[["range_a_low", "range_a_high"]] += 0.7
    share = np.linspace(0, 1, snapshots)
    left = np.where(
        share < 0.5, 1.5 - 2.2 * share, np.where(share < 0.75, 0.4 - 1.2 * (share - 0.5), 0.1 - 0.4 * (share - 0.75))
    )
    rows = []
    for split in ("train", "test"):
        own = frame[frame["split"] == split].iloc[[0] * snapshots].reset_index(drop=True)
        own["iteration"] = pd.array((share * 64_000).astype(int), dtype="Int64")
        own["i"], own["j"] = np.arange(snapshots), 0
        own["alpha"], own["beta"] = left, 0.45 * np.sin(3 * left) * left
        own["residual"] = 0.3 * np.sin(np.pi * share)
        own["loss"], own["error"] = 0.1 + 2.2 * left, 5 + 50 * left
        own.loc[snapshots - 1, ["alpha", "beta", "residual"]] = 0.0
        rows.append(own)
    whole = together(frame, *rows)
    whole["explained_a"], whole["explained_b"] = 0.81, 0.125
    known = dict.fromkeys(RECIPE) | row(make_spec(data="cifar10", depth=20, recipe="he2015_cifar"))
    for name in RECIPE:
        whole[name] = [known[name]] * len(whole)
    whole["recipe.schedule.at"] = [[32_000, 48_000]] * len(whole)
    return whole


def four(kind: object, **fields: object) -> pd.DataFrame:
    """Plain and residual 20 and 56 of `curved` or `way`."""
    points = [(network, depth) for network in ("plain", "residual") for depth in (20, 56)]
    return together(*[kind(*point, **fields) for point in points])


def spectra(seeds: int = 3, **fields: object) -> Frames:
    """The probe `hessian` of plain and residual 20 and 56, at the start and the end; plain spectra are wider."""
    runs = study(seeds=seeds, evaluations=2, **fields)[1]
    parts, fields_of = [], []
    for run in runs.to_dict("records"):
        rng = np.random.default_rng([run["depth"], run["seed"], run["network"] == "plain"])
        reach = (20 + run["depth"]) * (2 if run["network"] == "plain" else 1)
        for iteration in (0, 64_000):
            top = -np.sort(-rng.uniform(0.2, 1, 5) * reach * (1 if iteration else 0.4))
            bottom = np.sort(-rng.uniform(0.05, 0.1, 2) * reach)
            node = np.sort(np.concatenate([top, bottom, rng.normal(0, 1, 13), rng.exponential(reach / 9, 40)]))
            weight = 10.0 ** -(1.5 + 5 * np.abs(node) / reach)
            measures = {
                "largest": top, "smallest": bottom, "ratio": [abs(bottom[0] / top[0])], "density_node": node,
                "density_weight": weight / weight.sum(),
            }  # fmt: skip
            for measure, values in measures.items():
                places = range(1, len(values) + 1) if len(values) > 1 else [0]
                parts.append(pd.DataFrame({"measure": measure, "place": places, "value": values}))
                fields_of.append(
                    {"iteration": iteration, "probe": "hessian", "layer": "", "images": 1024, "seconds": 30.0}
                    | {k: v for k, v in run.items() if k not in ("iteration", "iterations")}
                )
    return joined(parts, fields_of), runs

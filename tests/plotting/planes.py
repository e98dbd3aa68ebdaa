"""Synthetic surfaces: bowls for residual networks, ridges with non-finite corners for plain-56; curvature, ways, spectra."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd

from study.config.differences import RECIPE, row
from study.plotting.base.page import Plot
from tests.frames import joined
from tests.helpers import make_spec

from .conftest import FIELDS, Frames, study


def loss(network: str, depth: int, alpha: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """The training loss in nats at coordinates of any shape."""
    square = alpha**2 + 1.3 * beta**2
    if network == "residual":
        return 0.004 + (2.2 + depth / 40) * square**0.8 + 0.3 * alpha * beta**2
    if depth < 40:
        return 0.03 + 4 * square + 0.5 * np.sin(5 * alpha) * beta
    rough = np.sin(9 * alpha + 2) * np.cos(11 * beta - 1) + 0.6 * np.sin(17 * alpha * beta + 3 * beta)
    return 0.2 + 10 ** (1.9 * square**0.35 + 0.7 * rough * (1 - np.exp(-6 * square))) - 0.99


def errors(losses: np.ndarray) -> np.ndarray:
    """An error in percent that rises with the loss, up to that of guessing."""
    return 90 * (1 - np.exp(-np.nan_to_num(losses, nan=1e9, posinf=1e9) / 1.6))


def surface(
    network: str = "plain",
    depth: int = 20,
    *,
    shape: tuple[int, int] = (11, 11),
    spans: tuple[float, float] = (1.0, 1.0),
    seed: int = 0,
    bn: str = "frozen",
    plane: str = "random",
    number: int = 0,
    **fields: Any,
) -> pd.DataFrame:
    """One surface, both splits; plain-56 has no finite loss in two corners."""
    line = shape[1] == 1
    i, j = (grid.ravel() for grid in np.meshgrid(*map(np.arange, shape), indexing="ij"))
    alpha, beta = ((2 * k / max(1, count - 1) - 1) * span for k, count, span in zip((i, j), shape, spans, strict=True))
    if line:
        beta = np.zeros_like(alpha)
    run = {
        "network": network, "depth": depth, "seed": seed, "family": "cifar", **FIELDS,
        "shortcut": None if network == "plain" else "A", "state": "done", "iterations": 64_000,
    }  # fmt: skip
    point = f"{network}-{depth}-{fields.get('dataset', 'cifar10')}-{fields.get('shortcut', run['shortcut'])}"
    own = run | {
        "point_id": point, "run_id": f"{point}-s{seed}", "plane": plane, "number": number,
        "dims": 1 if line else 2, "bn": bn, "precision": "fp32", "normalisation": "filter" if plane == "random" else None,
        "orthogonal": False, "ignore": "biasbn", "centred": False, "run_precision": "fp32", "curvature_images": pd.NA,
        "subset": pd.NA, "points_a": shape[0], "points_b": shape[1],
        "range_a_low": -spans[0], "range_a_high": spans[0], "range_b_low": 0.0 if line else -spans[1],
        "range_b_high": 0.0 if line else spans[1], "lambda_max": np.nan, "lambda_min": np.nan,
        "residual": np.nan, **fields,
    }  # fmt: skip
    own["surface_id"] = "-".join(
        str(own[k]) for k in ("run_id", "plane", "number", "bn", "dims", "normalisation", "precision")
    )
    frames = []
    for split, more, images in (("train", 0.0, 50_000), ("test", 0.25, 10_000)):
        losses = loss(network, depth, alpha, beta) * {"frozen": 1.0, "recalibrated": 0.8}.get(bn, 0.6) + more
        if network == "plain" and depth > 40:
            losses[(alpha > 0.65 * spans[0]) & (beta > 0.5 * spans[1])] = np.nan
            losses[(alpha < -0.9 * spans[0]) & (beta >= 0.95 * spans[1] if not line else True)] = np.inf
        values = {"i": i, "j": j, "alpha": alpha, "beta": beta, "split": split, "loss": losses}
        frames.append(pd.DataFrame(values | {"error": errors(losses), "images": images}))
    frame = joined(frames, [own, own])
    frame["iteration"] = pd.array([pd.NA] * len(frame), dtype="Int64")
    return frame


def notes(plot: Plot) -> str:
    """The words around the panels of a figure."""
    return "\n".join(text.get_text() for text in plot.figure.texts).replace("\n", " ")


def together(*frames: pd.DataFrame) -> pd.DataFrame:
    """Several surfaces in one frame."""
    return pd.concat(frames, ignore_index=True)


def four(
    modes: Iterable[str] = ("frozen",), kind: Callable[..., pd.DataFrame] = surface, **fields: Any
) -> pd.DataFrame:
    """Plain and residual 20 and 56, each with the statistics of BN of each mode; `kind` may also be `curved` or `way`."""
    points = [(network, depth) for network in ("plain", "residual") for depth in (20, 56)]
    return together(*[kind(*point, bn=bn, **fields) for point in points for bn in modes])


# -- curvature, trajectories and spectra -------------------------------------------------------------------------------


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

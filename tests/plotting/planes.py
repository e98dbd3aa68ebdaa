"""Synthetic surfaces as the store returns them: bowls for residual networks, ridges with non-finite corners for plain-56."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from study.plotting.base.page import Plot
from tests.frames import joined

from .conftest import FIELDS


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
        "shortcut": None if network == "plain" else "A", "recipe_changes": "", "state": "done", "order": "original",
    "norm": "batch", "activation": "relu",
        "iterations": 64_000,
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


def four(modes: Iterable[str] = ("frozen",), **fields: Any) -> pd.DataFrame:
    """Plain and residual 20 and 56."""
    points = [(network, depth) for network in ("plain", "residual") for depth in (20, 56)]
    return together(*[surface(*point, bn=bn, **fields) for point in points for bn in modes])

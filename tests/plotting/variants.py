"""Synthetic sweeps of residual variants, as in the tables of He et al. 2016."""

from typing import Any

import numpy as np

from tests.frames import Frames, together

from .conftest import cut, study


def variant(depth: int = 110, seeds: int = 2, scale: float = 1.0, **fields: Any) -> Frames:
    """Residual networks of one kind; their errors are the usual ones times `scale`."""
    own = {"recipe": "he2016_cifar"} | {name.replace("__", "."): value for name, value in fields.items()}
    curves, runs = study(depths=(depth,), networks=("residual",), seeds=seeds, evaluations=40, **own)
    curves[["error", "loss"]] = np.minimum(curves[["error", "loss"]].to_numpy() * scale, [90.0, 2.3])
    name = "-".join(
        str(own.get(key, "")) for key in ("block", "shortcut", "shortcut.scale", "shortcut.bias", "order", "data")
    )
    for frame in (curves, runs):
        frame["point_id"] = frame["point_id"] + "-" + name
        frame["run_id"] = frame["run_id"] + "-" + name
    return curves, runs


def shortcuts() -> Frames:
    """ResNet-110 with identity, two gates (one fails), a scaled shortcut (one seed diverges) and 1x1 convolutions."""
    frames = together(
        variant(),
        variant(scale=1.8, shortcut="C"),
        variant(scale=1.3, shortcut="exclusive_gate", shortcut__bias=-6.0),
        variant(scale=9.0, shortcut="exclusive_gate", shortcut__bias=0.0),
        variant(scale=1.9, shortcut="scaled", shortcut__scale=0.5, shortcut__branch=0.5),
    )  # fmt: skip
    lost = frames[1][frames[1]["shortcut"] == "scaled"]["run_id"].iloc[1]
    return cut(frames, lost, "diverged", 9_700)


def cures() -> Frames:
    """Plain and residual networks of 20 and 56 layers, a cure, one that ends at chance, and one that diverges."""
    usual: dict[str, Any] = {"seeds": 4, "iterations": 400, "evaluations": 8, "recipe.batch_size": 128}
    frames = [study(**usual)]
    for network, fields in (
        ("residual", {"shortcut": "rezero"}),
        ("plain", {"norm": "none"}),
        ("residual", {"norm": "none"}),
    ):
        curves, runs = study(networks=(network,), **usual | fields)
        for frame in (curves, runs):
            for name in ("point_id", "run_id"):
                frame[name] += "-".join(["", network, *fields.values()])
        if network == "plain":
            curves["error"] = 90.0
        frames.append((curves, runs))
    made = together(*frames)
    for lost in made[1].loc[(made[1]["norm"] == "none") & (made[1]["network"] == "residual"), "run_id"]:
        made = cut(made, lost, "diverged", 100)
    return made


def orders() -> Frames:
    """Two orders of 110 layers, and of 164 with bottlenecks."""
    deep = {"depth": 164, "block": "bottleneck", "block.stride_in": "1x1", "shortcut": "projection"}
    return together(
        variant(), variant(scale=1.25, order="bn_after_add"), variant(scale=0.96, order="pre"),
        variant(**deep), variant(scale=0.9, order="pre", **deep),
    )  # fmt: skip

"""Synthetic sweeps of residual variants, as in the tables of He et al. 2016; of cures; of plain-110 in 27 settings."""

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


# -- settings ----------------------------------------------------------------------------------------------------------

RATES = {0.1: 70.0, 0.03: 30.0, 0.01: 14.0}
STARTS = {"he_fan_in": 1.0, "he_fan_out": 1.1, "glorot": 0.8}
WARMUPS = {"none": 1.0, "iterations": 0.75, "error": 0.7}


def cell(rate: float, start: str, warmup: str, seeds: int = 3, **fields: object) -> Frames:
    """Runs of one setting, with errors determined by it and the seed."""
    own = {
        "recipe.learning_rate": rate,
        "initialisation": start,
        "recipe.warmup": warmup,
        "recipe_changes": "learning_rate",
    }
    curves, runs = study(depths=(110,), networks=("plain",), seeds=seeds, iterations=400, evaluations=4, **own | fields)
    final = curves.loc[(curves["iteration"] == 400) & (curves["split"] == "train_clean"), "error"].mean()
    curves["error"] = (curves["error"] * RATES[rate] * STARTS[start] * WARMUPS[warmup] / final).clip(upper=90)
    for frame in (curves, runs):
        for name in ("run_id", "point_id"):
            frame[name] = f"{rate}-{start}-{warmup}-" + frame[name]
    return curves, runs


def sensitivity() -> Frames:
    """As `sweeps/plain110_sensitivity.yaml`: no warm-up at the lowest rate; two runs diverged, one is missing."""
    full = [cell(rate, start, warmup) for rate in (0.1, 0.03) for start in STARTS for warmup in WARMUPS]
    frames = together(*full, *(cell(0.01, start, "none") for start in STARTS))
    lost = frames[1][frames[1]["run_id"].str.startswith("0.1-he_fan_out-none")]["run_id"].tolist()
    frames = cut(cut(frames, lost[0], "diverged", 100), lost[1], "diverged", 200)
    return cut(frames, str(frames[1]["run_id"].iloc[-1]), "pending", 0)

"""The table of cures: what each takes away of the plain rise in training error, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pandas as pd

from study.config.stored import nested, recorded
from study.errors import StudyError
from study.networks import shape
from study.networks.count import measured
from study.networks.describe import images
from study.plotting.base.drops import or_none
from study.stats.cures import MARGIN, untrained
from study.stats.planned import planned
from study.stats.verdict import verdict

NOTE = (
    "Errors are training errors, means of the n runs that have one. Taken away: error of the plain network minus that of the "
    "cure, paired by seed, relative to the rise of the plain networks from the shallowest to this depth, with BCa bootstrap 95 % "
    "intervals, which take that rise as known. p: paired t-test, one-sided if something is taken away; a diverged run counts as "
    "the largest difference. It is corrected by Holm's method for the number of cures, but not for the ResNet itself. As good: "
    f"shown likewise to end less than {100 * MARGIN:.0f} % of the rise above the ResNet. Images/s: median of the speeds that the "
    "runs of the deepest network recorded in training; other work on the machine lowers them."
)


def cures(curves: pd.DataFrame, runs: pd.DataFrame | None = None) -> pd.DataFrame:
    """A row per kind of network, best first: the numbers of `compared`, shares in whole percent.

    `n`, the answer and the costs are those of the deepest network; the answer names runs that did not train.
    """
    rows = []
    for (condition, cure), mine in compared(curves, runs).groupby(["condition", "cure"], sort=False):
        deep, row = mine.iloc[-1], {"condition": condition, "cure": cure, "n": mine["n"].iloc[-1]}
        for one in mine.to_dict("records"):
            row |= {f"error at {one['depth']} (%)_{part}": one[f"error_{part}"] for part in ("mean", "std")}
        for one in mine[mine["depth"] > mine["shallow"]].to_dict("records"):
            parts = {"mean": one["share"], "low": one["share_low"], "high": one["share_high"]}
            row |= {f"taken away at {one['depth']} (%)_{part}": share for part, share in parts.items()}
            row[f"p at {one['depth']}"] = math.nan if one["untrained"] else one["p_holm"]
        row["answer"] = ": ".join(filter(None, [deep["answer"], untrained(mine.to_dict("records"))]))
        costs = {"parameters (M)": deep["parameters"] / 1e6, "multiply-adds (M)": deep["macs"] / 1e6}
        rows.append(row | costs | {"images/s": deep["speed"]})
    table = pd.DataFrame(rows)
    whole = [*table.filter(like="taken away"), "images/s"]
    table[whole] = table[whole].astype(float).round().astype("Int64")
    table.attrs["notes"] = [NOTE]
    return table if table["condition"].nunique() > 1 else table.drop(columns="condition")


def compared(curves: pd.DataFrame, runs: pd.DataFrame | None, training: str = "train_clean") -> pd.DataFrame:
    """The table of `study.stats.cures.compare` with what each network costs.

    `parameters`; `macs`: multiply-adds of a forward pass for an image; `speed`: images per second in training, the median of its
    runs. Raises StudyError where there is nothing to compare.
    """
    found = verdict(curves, runs, training=training).cures
    if found.empty:
        raise StudyError(
            "no cures to compare: it takes the usual plain and residual networks at two depths, and others beside them, such as "
            "`norm: none` or `shortcut: layer_scale`"
        )
    fields = planned(curves, runs).set_index("run_id")
    last = curves.sort_values("iteration").drop_duplicates("run_id", keep="last").set_index("run_id")
    last = last.reindex(index=fields.index, columns=["iteration", "seconds"])
    batch = pd.to_numeric(fields.get("recipe.batch_size", pd.Series(math.nan, fields.index)))
    speeds = (last["iteration"] * batch / last["seconds"]).where(fields["state"] == "done")
    costs = [{"speed": speeds[ids].median(), **_size(fields.loc[ids[0]].to_dict())} for ids in found["run_ids"]]
    return found.join(pd.DataFrame(costs))


def _size(run: Mapping[Any, Any]) -> dict[str, float]:
    """Nothing of a network with parts of the user's own, which it takes torch to count, or with parts that are unknown here."""
    spec = recorded(nested({name: or_none(value) for name, value in run.items()} | {"recipe": "unknown"}))
    with suppress(KeyError):
        if not measured(spec):
            size, channels, classes = images(spec)
            layers = list(shape.layers(spec, channels, classes, size))
            return {
                "parameters": sum(layer.parameters for layer in layers),
                "macs": sum(layer.macs for layer in layers),
            }
    return {"parameters": math.nan, "macs": math.nan}

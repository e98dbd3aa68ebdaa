"""Tables of the final errors of any sweep."""

from __future__ import annotations

import pandas as pd

from study.config import differences
from study.config.differences import VARIANT, text
from study.plotting.base.frames import final_values, tidy
from study.stats.bca_interval import FEWEST
from study.stats.naming import texts, varying
from study.stats.outcomes import groups
from study.stats.pairs import Term, contrast
from study.store.runs import LOST

MEASURES = {"train_clean": "train", "test": "test"}
"""Splits, and what `study.stats.outcomes.Outcome` calls their errors."""
AVERAGED = ("train_clean_ema", "test_ema")
"""Splits that a recipe with `ema` adds: errors of the averaged weights."""
COUNTS = (*LOST, "failed", "missing")
PAIRED = (
    "Errors at the last iteration. Differences are residual minus plain, paired by seed: the mean over the pairs and, from "
    f"{FEWEST} pairs on, its BCa bootstrap 95 % interval, which is too narrow with few pairs."
)


def final_errors(curves: pd.DataFrame, runs: pd.DataFrame | None = None) -> pd.DataFrame:
    """The errors at the last iteration, one row per point, in percent.

    Columns: the fields that vary (network and depth always); `n`, the runs that are done; mean, std (ddof 1, NaN for
    one run) and median of each split's final error over them, of averaged weights without median; and how many runs
    diverged, were stopped at chance, failed, or are missing, which is every other run that is not done. The index is `point_id`.
    """
    evidence = tidy(curves, runs)
    fields = _varying(evidence.runs)
    table = evidence.runs.drop_duplicates("point_id").set_index("point_id")[[*fields, "network", "depth"]]
    for field in fields:
        if table[field].map(pd.api.types.is_list_like).any():
            table[field] = table[field].map(text)
    kinds = evidence.runs["state"].map(lambda state: state if state in ("done", *COUNTS) else "missing")
    table["n"] = (kinds == "done").groupby(evidence.runs["point_id"]).sum()
    finals = final_values(evidence)
    averaged = [split for split in AVERAGED if (finals["split"] == split).any()]
    for split in (*MEASURES, *averaged):
        errors = finals[finals["split"] == split].groupby("point_id")["error"]
        for statistic in ("mean", "std", *(["median"] if split in MEASURES else [])):
            table[f"{split}_{statistic}"] = errors.agg(statistic).reindex(table.index)
    for kind in COUNTS:
        table[f"n_{kind}"] = (kinds == kind).groupby(evidence.runs["point_id"]).sum()
    table.attrs["families"] = list(evidence.runs["family"].dropna().unique())
    return table.sort_values([*fields, "network", "depth"])


def errors(curves: pd.DataFrame, runs: pd.DataFrame | None = None) -> pd.DataFrame:
    """`final_errors`, and how far each residual network is from its plain twin, in points.

    Further columns, before the counts: `pairs`, the seeds that both have a result of; for each split the mean difference over
    them, `<split>_difference`, and its BCa interval, `<split>_low` and `<split>_high`. NaN where there is no twin or no pair,
    and no interval of fewer than four pairs; a pair with a lost run is in no mean, and the verdict says what it
    decides.
    """
    table = final_errors(curves, runs)
    found: dict[str, dict[str, float]] = {}
    for group in groups(curves, runs):
        points, plain = group.runs.set_index("run_id")["point_id"], group.plain
        if plain is None:
            continue
        for line in group.residuals:
            for depth in line.outcomes.keys() & plain.outcomes.keys():
                run_id = next(iter(line.outcomes[depth].values())).run_id
                found[points[run_id]] = _difference([Term(1, line, depth), Term(-1, plain, depth)])
    if not found:
        return table
    added = pd.DataFrame.from_dict(found, orient="index").astype({"pairs": "Int64"})
    counts = [f"n_{kind}" for kind in COUNTS]
    joined = table.drop(columns=counts).join(added).join(table[counts])
    joined.attrs = {**table.attrs, "notes": [PAIRED]}
    return joined


def _difference(terms: list[Term]) -> dict[str, float]:
    row: dict[str, float] = {}
    for split, measure in MEASURES.items():
        one = contrast(terms, measure, -1)
        row |= {"pairs": len(one.numbers), f"{split}_difference": one.mean}
        row |= {f"{split}_low": one.interval.low, f"{split}_high": one.interval.high}
    return row


def _varying(runs: pd.DataFrame) -> list[str]:
    """The fields that tell points apart; one that only sets plain from residual networks goes without saying."""
    apart = {field for _, group in runs.groupby("network") for field in differences.varying(texts(group, VARIANT))}
    return varying(runs) + [field for field in VARIANT if field in apart]

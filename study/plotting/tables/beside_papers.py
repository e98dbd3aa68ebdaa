"""Our final errors beside the papers', for runs that follow their protocols."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd

from study.errors import StudyError
from study.papers.values import ORDERS, SHORTCUTS, VALUES, Protocol, Value, deviations, is_network, match, remarks
from study.plotting.base.frames import final_values, tidy
from study.stats.naming import network_name, texts, varying
from study.stats.planned import RUN_COLUMNS, fields_of, planned, require
from study.store.runs import LOST
from study.text import listed

TITLES = {
    "table6": "He et al. 2015, table 6",
    "imagenet": "He et al. 2015, tables 2 to 4",
    "i16_table1": "He et al. 2016, table 1",
    "i16_table2": "He et al. 2016, table 2",
    "i16_table3": "He et al. 2016, table 3",
    "l18_fig5": "Li et al. 2018, figure 5",
}
TESTS = {"ten_crop": "10 crops", "multi_scale": "5 scales"}
NO_ENSEMBLE = (
    "The paper's table 5, an ensemble (top-5 error 3.57 %), has no counterpart here. The spread is over training seeds of one "
    "network."
)
PROJECTIONS = (
    "The paper's networks of 164 and 1001 layers have `shortcut: projection` (appendix); with other shortcuts they are "
    "different networks, which the paper has no values for"
)
REMARKS = {"imagenet": NO_ENSEMBLE, "i16_table2": PROJECTIONS + ".", "i16_table3": PROJECTIONS + "."}


def _of_curves(name: str, statistic: str, curves: pd.DataFrame, runs: pd.DataFrame | None = None) -> pd.DataFrame:
    """A paper's test errors on data with curves, in percent, beside ours.

    Columns: `dataset` where there are several; `network`; `n`, the runs of it that are done and follow the paper's protocol;
    `ours_mean`, `ours_std` (ddof 1), `ours_median`; `paper_mean` and `paper_std`, the paper's; `paper_fails`, if it has
    networks that fail, which means an error above 20 %; `difference` (ours − paper, in points, of `statistic`); `exceeds`,
    whether that is more than the standard deviation over our seeds, of which there have to be two; `n_diverged`; `n_at_chance`. A
    network without such a run keeps its row.
    """
    finals = final_values(tidy(curves, runs))
    finals = finals.loc[finals["split"] == "test", ["run_id", "error"]].assign(test="")
    return _beside(name, planned(curves, runs), finals, statistic)


table6 = partial(_of_curves, "table6", "mean")
i16_table1 = partial(_of_curves, "i16_table1", "median")
i16_table2 = partial(_of_curves, "i16_table2", "median")
i16_table3 = partial(_of_curves, "i16_table3", "median")
l18_fig5 = partial(_of_curves, "l18_fig5", "mean")


def imagenet(probes: pd.DataFrame, runs: pd.DataFrame | None = None) -> pd.DataFrame:
    """R15 tables 2 to 4: top-1 and top-5 errors on ImageNet, over ten crops or at five scales. Columns as of `_of_curves`.

    `probes`: as `study.read_probes` gives them: `error` and `top5_error` of the probes `ten_crop` and `multi_scale`,
    as last measured.
    """
    found = probes[probes["probe"].isin(TESTS)] if "probe" in probes else probes
    if found.empty:
        raise StudyError(
            "nothing to set beside He et al. 2015, tables 2 to 4: no run was tested with ten crops; "
            "`study probe SWEEP --probes ten_crop,multi_scale` measures it"
        )
    require(found, (*RUN_COLUMNS, "measure", "value", "iteration"), "probes")
    # The last measurement of each run stands for its error.
    last = found.sort_values("iteration", kind="stable").drop_duplicates(["run_id", "probe", "measure"], keep="last")
    wide = last.pivot(index=["run_id", "probe"], columns="measure", values="value").reset_index()
    wide = wide.reindex(columns=["run_id", "probe", "error", "top5_error"])
    known = found.drop(columns="iteration") if runs is None else runs
    require(known, RUN_COLUMNS, "runs")
    table = fields_of(known.drop_duplicates("run_id", ignore_index=True))
    finals = wide.rename(columns={"probe": "test", "top5_error": "top5"})
    return _beside("imagenet", table, finals[finals["run_id"].isin(table["run_id"])], "mean")


def _beside(name: str, runs: pd.DataFrame, finals: pd.DataFrame, statistic: str) -> pd.DataFrame:
    """A row a value of the paper, with what `finals` (run_id, test, error, maybe top5) have for the runs that match it.

    Of runs that match one value, but were trained in several ways, each way has a row.
    """
    values = VALUES[name]
    matched = [runs[match(runs, value)] for value in values]
    if not any(len(mine) for mine in matched):
        raise StudyError(f"nothing to set beside {TITLES[name]}: {_why(name, runs)}")
    ways = list(dict.fromkeys(field for mine in matched for field in varying(mine)))
    rows = []
    for value, mine, way in _each_way(values, matched, ways):
        ours = finals[finals["run_id"].isin(mine["run_id"]) & (finals["test"] == value.test)]
        told = {"dataset": value.protocol.dataset, "network": title(value), "test": TESTS.get(value.test, "")}
        ends = {f"n_{state}": int((mine["state"] == state).sum()) for state in LOST}
        rows.append(told | way | _numbers(value, ours, statistic) | ends)
    table = pd.DataFrame(rows)
    shown = {
        "dataset": table["dataset"].nunique() > 1, "test": table["test"].any(), "paper_fails": table["paper_fails"].any(),
        "ours_top5": table["paper_top5"].notna().any(), "paper_top5": table["paper_top5"].notna().any(),
    }  # fmt: skip
    table = table.drop(columns=[column for column, kept in shown.items() if not kept])
    table.attrs["notes"] = _notes(name, runs, matched, statistic)
    return table


def _each_way(
    values: Sequence[Value], matched: Sequence[pd.DataFrame], ways: Sequence[str]
) -> Iterator[tuple[Value, pd.DataFrame, dict[str, str]]]:
    """Each value with the runs that match it and are alike in these fields, and what they are in them."""
    for value, mine in zip(values, matched, strict=True):
        told = pd.DataFrame(texts(mine, ways), index=mine.index)
        alike = told.groupby(list(ways), sort=False).groups if ways and len(mine) else {(): mine.index}
        for which in alike.values():
            yield value, mine.loc[which], dict(told.loc[which].iloc[0]) if len(which) else {}


def _numbers(value: Value, ours: pd.DataFrame, statistic: str) -> dict[str, Any]:
    errors = ours["error"].astype(float)
    paper, paper_std, paper_top5 = (math.nan if x is None else x for x in (value.error, value.std, value.top5))
    spread, difference = errors.std(), errors.agg(statistic) - paper
    return {
        "n": len(errors), "ours_mean": errors.mean(), "ours_std": spread, "ours_median": errors.median(),
        "ours_top5": ours["top5"].astype(float).mean() if "top5" in ours else math.nan,
        "paper_mean": paper, "paper_std": paper_std, "paper_top5": paper_top5, "paper_fails": value.error is None,
        "difference": difference, "exceeds": bool(abs(difference) > spread),  # never where either is NaN
    }  # fmt: skip


def title(value: Value) -> str:
    """`ResNet-110`, `plain-20`, and what else the value's network is."""
    name = network_name(value.network, value.depth)
    words = [word for key, field in value.fields.items() if key in WORDS and (word := WORDS[key](field))]
    return f"{name}, {' '.join(words)}" if words else name


WORDS: Mapping[str, Callable[[Any], str]] = {
    "shortcut": lambda name: {"B": "B", "projection": ""}.get(name, SHORTCUTS[name]),
    "shortcut.scale": "shortcut ×{:g}".format,
    "shortcut.branch": "branch ×{:g}".format,
    "shortcut.bias": lambda bias: f"bias {bias:g}".replace("-", "−"),
    "shortcut.rate": "{:g}".format,
    "order": lambda order: ORDERS[order],
    "block": lambda block: {"single": "one-layer blocks"}.get(block, ""),
}


def _why(name: str, runs: pd.DataFrame) -> str:
    """Why no run is the paper's: other networks, or another protocol, in words."""
    values = VALUES[name]
    protocols: dict[Protocol, pd.Series] = {}
    for value in values:
        here = is_network(runs, value)
        protocols[value.protocol] = protocols.get(value.protocol, here) | here
    reasons = [listed(deviations(runs[here], protocol)) for protocol, here in protocols.items() if here.any()]
    reasons = [reason for reason in dict.fromkeys(reasons) if reason]
    if reasons:
        return f"the runs have {' or '.join(reasons)}; `study table errors` shows them without the paper"
    words = "none of its networks is among the runs; `study table errors` shows all runs"
    deep = (runs["block"] == "bottleneck") & (runs["network"] == "residual")
    return f"{words}. {PROJECTIONS}" if REMARKS.get(name, "").startswith(PROJECTIONS) and deep.any() else words


def _notes(name: str, runs: pd.DataFrame, matched: Sequence[pd.DataFrame], statistic: str) -> list[str]:
    lines = [
        f"{TITLES[name]}; ours: mean ± standard deviation over n seeds at the last iteration; difference: of the {statistic}"
        f"{', as in the paper' if statistic == 'median' else ''}."
    ]
    shown = pd.concat(matched)
    first = VALUES[name][0].protocol
    lines += [f"{first.paper}: {remark}." for remark in remarks(shown, first)]
    others = runs[~runs["run_id"].isin(shown["run_id"])]
    if len(others):
        kinds = pd.Series([*map(network_name, others["network"], others["depth"])]).value_counts(sort=False)
        names = [f"{network} ({count})" for network, count in kinds.items()]
        lines.append(f"Not set beside the paper, with the number of runs: {', '.join(names)}.")
    return lines + ([REMARKS[name]] if name in REMARKS else [])

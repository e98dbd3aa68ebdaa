"""Tables of errors, and their rendering as text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from study.errors import StudyError, nearest
from study.plotting.frames import final_values, tidy
from study.stats.naming import CONDITION, VARIANT

HEADS = {"train_subset": "training images"}  # for people; a CSV keeps the columns' own names
MEASURES = {"train_clean": "training error", "test": "test error"}
COUNTS = ("diverged", "failed", "missing")
LATEX = {c: rf"\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "–": "--",
    "±": r"$\pm$",
}


def final_errors(curves: pd.DataFrame, runs: pd.DataFrame | None = None) -> pd.DataFrame:
    """The errors at the last iteration, one row per point, in percent.

    Columns: the fields that vary (network and depth always); `n`, the runs that are done; mean, std (ddof 1, NaN for
    one run) and median of each split's final error over them; and how many runs diverged, failed, or are missing,
    which is every other run that is not done. The index is `point_id`.

    Raises
    ------
    StudyError
        A frame that lacks columns, or no curve at all.
    """
    evidence = tidy(curves, runs)
    points = evidence.runs.groupby("point_id", sort=False)
    table = points[[*_varying(evidence.runs), "network", "depth"]].first(skipna=False)
    kinds = evidence.runs["state"].map(lambda state: state if state in ("done", *COUNTS) else "missing")
    table["n"] = (kinds == "done").groupby(evidence.runs["point_id"]).sum()
    finals = final_values(evidence)
    for split in MEASURES:
        errors = finals[finals["split"] == split].groupby("point_id")["error"]
        for statistic in ("mean", "std", "median"):
            table[f"{split}_{statistic}"] = errors.agg(statistic).reindex(table.index)
    for kind in COUNTS:
        table[f"n_{kind}"] = (kinds == kind).groupby(evidence.runs["point_id"]).sum()
    return table.sort_values(list(table.columns[: table.columns.get_loc("n")]))


def _varying(runs: pd.DataFrame) -> list[str]:
    """The fields that tell points apart; one that only sets plain from residual networks goes without saying."""
    fields = [f for f in CONDITION if runs[f].nunique(dropna=False) > 1]
    by_network = runs.groupby("network")
    return fields + [f for f in VARIANT if (by_network[f].nunique(dropna=False) > 1).any()]


def render(table: pd.DataFrame, fmt: str = "md") -> str:
    """The table as text, its index left out: `md`, `latex` (booktabs), `text` (aligned), or `csv`.

    A CSV is the table as it is. The others, which people read, round to 0.01, write mean and std as one column, and
    leave out counts of what did not happen.

    Raises
    ------
    StudyError
        An unknown format.
    """
    if fmt not in RENDERERS and fmt != "csv":
        raise StudyError(f"unknown table format '{fmt}'{nearest(fmt, [*RENDERERS, 'csv'])}")
    if fmt == "csv":
        return str(table.to_csv(index=False, lineterminator="\n"))
    return RENDERERS[fmt](*laid_out(table))


def laid_out(table: pd.DataFrame) -> tuple[list[str], list[list[str]], list[bool]]:
    """The table for people: its heads, its rows as text, and which columns are numbers."""
    table = _for_people(table)
    heads = [HEADS.get(column, column.replace("_", " ")) for column in table.columns]
    rows = [[_text(value) for value in row] for row in table.itertuples(index=False)]
    numeric = [all(_is_number(cell) for cell in column) for column in zip(*rows, strict=True)]
    return heads, rows, numeric or [False] * len(heads)


def _for_people(table: pd.DataFrame) -> pd.DataFrame:
    table = table.astype(object)
    for split, name in MEASURES.items():
        mean, std, median = (f"{split}_{statistic}" for statistic in ("mean", "std", "median"))
        if mean in table and std in table:
            pairs = zip(table[mean], table[std], strict=True)
            table[mean] = [_text(m) if _is_none(s) else f"{_text(m)} ± {_text(s)}" for m, s in pairs]
            table = table.drop(columns=std).rename(columns={mean: f"{name} (%)", median: f"{name}, median (%)"})
    quiet = [f"n_{kind}" for kind in COUNTS if f"n_{kind}" in table and not table[f"n_{kind}"].any()]
    return table.drop(columns=quiet).rename(columns={f"n_{kind}": kind for kind in COUNTS})


def _is_none(value: object) -> bool:
    return value is None or value is pd.NA or value != value  # NaN is not itself


def _is_number(cell: str) -> bool:
    return cell == "–" or cell[:1].isdigit() or cell[:1] == "-"


def _text(value: object) -> str:
    if _is_none(value):
        return "–"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool]) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |\n"

    rule = line(["---:" if right else "---" for right in numeric])
    return line(heads) + rule + "".join(line(row) for row in rows)


def _latex(heads: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool]) -> str:
    def line(cells: Sequence[str]) -> str:
        return " & ".join("".join(LATEX.get(c, c) for c in cell) for cell in cells) + r" \\" + "\n"

    columns = "".join("r" if right else "l" for right in numeric)
    top, middle, bottom = r"\toprule", r"\midrule", r"\bottomrule"
    body = "".join(line(row) for row in rows)
    return f"\\begin{{tabular}}{{{columns}}}\n{top}\n{line(heads)}{middle}\n{body}{bottom}\n\\end{{tabular}}\n"


def _aligned(heads: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool]) -> str:
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(cells, widths, numeric, strict=True)
        )
        return "  ".join(padded).rstrip() + "\n"

    return line(heads) + "".join(line(row) for row in rows)


RENDERERS: dict[str, Callable[[Sequence[str], Sequence[Sequence[str]], Sequence[bool]], str]] = {
    "md": _markdown,
    "latex": _latex,
    "text": _aligned,
}

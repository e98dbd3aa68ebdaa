"""A table as text: Markdown, LaTeX, HTML, aligned for a terminal, or CSV."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from study.config.differences import TRAINED, VARIANT, short, text
from study.errors import StudyError, nearest
from study.plotting.base.frames import network_title

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

FORMATS = ("md", "latex", "html", "text", "csv")
HEADS = {  # for people, as (group, column); a CSV keeps the columns' own names
    "train_subset": ("", "training images"),
    "train_clean": ("training error (%)", "mean"),
    "train_clean_median": ("training error (%)", "median"),
    "train_clean_difference": ("training error (%)", "− plain"),
    "train_clean_low": ("training error (%)", "95 % interval"),
    "test": ("test error (%)", "mean"),
    "test_median": ("test error (%)", "median"),
    "test_difference": ("test error (%)", "− plain"),
    "test_low": ("test error (%)", "95 % interval"),
    "ours": ("ours (%)", "mean"),
    "ours_median": ("ours (%)", "median"),
    "ours_top5": ("ours (%)", "top-5"),
    "paper": ("paper (%)", "mean"),
    "paper_top5": ("paper (%)", "top-5"),
    "difference": ("", "ours − paper"),
}
COUNTS = ("n_diverged", "n_failed", "n_missing")
BOLD = {"difference": "exceeds"}
"""Columns whose cells are bold where another column, which is not shown, says so."""
FAILS = "paper_fails"
"""Where the paper has no number, because the network fails."""
SIGNS = {"–": "--", "±": r"$\pm$", "−": "$-$", "×": r"$\times$", "→": r"$\to$", "≥": r"$\geq$", "<": r"\textless{}",
         ">": r"\textgreater{}", "[": "{[}"}  # fmt: skip
WIDE = 8
"""Columns of a LaTeX table beyond which it is set smaller and scaled to the text's width."""


class Cell(NamedTuple):
    """What stands in a place of a table for people."""

    text: str
    bold: bool = False


class Layout(NamedTuple):
    """A table for people: its heads, its cells row by row, whether each column is of numbers, and what stands below it."""

    heads: list[str]
    rows: list[list[Cell]]
    numeric: list[bool]
    notes: list[str]
    groups: list[tuple[str, str]]
    """Each head as that of a group of columns, and its own below."""


def render(table: pd.DataFrame, fmt: str = "md") -> str:
    """The table as text, its index left out: `md`, `latex` (booktabs), `html`, `text` (aligned), or `csv`.

    A CSV is the table as it is. The others are laid out for people (`laid_out`). Raises StudyError for an unknown format.
    """
    if fmt not in FORMATS:
        raise StudyError(f"unknown table format '{fmt}'{nearest(fmt, FORMATS)}")
    if fmt == "csv":
        return str(table.to_csv(index=False, lineterminator="\n"))
    made = laid_out(table)
    if fmt == "latex":
        return _latex(made)
    if fmt == "html":
        return _html(made)
    return _text_table(made, markdown=fmt == "md")


def laid_out(table: pd.DataFrame) -> Layout:
    """The table for people: rounded to 0.01, mean and std as one column, an interval as one, without counts of nothing.

    `X_mean` with `X_std` is one column, and so is `X_low` with `X_high`; `table.attrs["notes"]` are its notes.
    """
    heads, columns = [], []
    for name in map(str, table.columns):
        stem, _, part = name.rpartition("_")
        if name in (*BOLD.values(), FAILS) or part in ("std", "high") or (name in COUNTS and not table[name].any()):
            continue
        key = stem if part == "mean" else name
        heads.append(HEADS.get(key, ("", short(key).removeprefix("n_").replace("_", " "))))
        bold = table[BOLD[name]] if name in BOLD else [False] * len(table)
        columns.append([Cell(said, bool(b)) for said, b in zip(_cells(table, name, stem, part), bold, strict=True)])
    numeric = [bool(column) and all(_is_number(cell.text) for cell in column) for column in columns]
    rows = [list(row) for row in zip(*columns, strict=True)]
    return Layout([_flat(*head) for head in heads], rows, numeric, list(table.attrs.get("notes", ())), heads)


def _flat(group: str, name: str) -> str:
    """A head on one line: `test error, median (%)`."""
    if not group or name.endswith("interval"):
        return name
    stem = group.removesuffix(" (%)")
    return group if name == "mean" else f"{stem} {name} (points)" if name.startswith("−") else f"{stem}, {name} (%)"


def _cells(table: pd.DataFrame, name: str, stem: str, part: str) -> list[str]:
    """The texts of a column, with what belongs to it from another."""
    values = list(table[name].map(network_title) if name == "network" else table[name])
    if part == "mean":
        stds = table.get(f"{stem}_std", pd.Series([None] * len(table)))
        texts = [_text(m) if _is_none(s) else f"{_text(m)} ± {_text(s)}" for m, s in zip(values, stds, strict=True)]
        fails = table[FAILS] if name == "paper_mean" and FAILS in table else [False] * len(table)
        return ["fails" if failed else said for said, failed in zip(texts, fails, strict=True)]
    if part == "low":
        ends = zip(values, table[f"{stem}_high"], strict=True)
        return ["–" if _is_none(low) or _is_none(high) else f"[{_text(low)}, {_text(high)}]" for low, high in ends]
    return [(_setting if name in (*TRAINED, *VARIANT) else _text)(value) for value in values]


def _is_none(value: object) -> bool:
    return value is None or value is pd.NA or value != value  # NaN is not itself


def _is_number(text: str) -> bool:
    return text in ("–", "fails") or text.lstrip("−[")[:1].isdigit()


def _setting(value: object) -> str:
    """A field of a spec, not rounded: two that differ never read alike."""
    if isinstance(value, str) or _is_none(value):
        return _text(value)
    return text(value).replace("-", "−", 1) if text(value).startswith("-") else text(value)


def _text(value: object) -> str:
    if _is_none(value):
        return "–"
    return f"{value:.2f}".replace("-", "−") if isinstance(value, float) else str(value)


def _styler(table: Layout) -> Styler:
    """The table with its groups of columns beside each other."""
    named = [group for group, _ in table.groups]
    order = sorted(range(len(named)), key=lambda place: named.index(named[place]) if named[place] else place)
    heads = [table.groups[place] for place in order]
    grouped = any(group for group, _ in heads)
    columns = pd.MultiIndex.from_tuples(heads) if grouped else pd.Index([name for _, name in heads])
    frame = pd.DataFrame([[row[place].text for place in order] for row in table.rows], columns=columns, dtype=object)
    bold = [["font-weight: bold" if row[place].bold else "" for place in order] for row in table.rows]
    return frame.style.hide(axis="index").apply(lambda _: np.array(bold, dtype=object).reshape(frame.shape), axis=None)


def _latex(table: Layout) -> str:
    """A `tabular` with booktabs rules and groups of columns; the notes are comments above it, for the caption."""
    styled = _styler(table)
    numeric = dict(zip(table.groups, table.numeric, strict=True))
    heads = [head if isinstance(head, tuple) else ("", head) for head in styled.columns]
    columns = "".join("r" if numeric[head] else "l" for head in heads)
    styled = styled.format(escape="latex").format_index(escape="latex", axis=1)
    body = str(styled.to_latex(column_format=columns, hrules=True, multicol_align="c", convert_css=True))
    body = "".join(SIGNS.get(c, c) for c in body)
    if len(columns) > WIDE:
        body = f"\\resizebox{{\\textwidth}}{{!}}{{%\n{body.rstrip()}%\n}}\n"
    return "".join(f"% {' '.join(note.split())}\n" for note in table.notes) + body


def _html(table: Layout) -> str:
    styled = _styler(table).format(escape="html").format_index(escape="html", axis=1)
    return str(styled.set_uuid("study").to_html()) + "".join(f"<p>{escape(note)}</p>\n" for note in table.notes)


def _text_table(table: Layout, markdown: bool) -> str:
    """Columns of equal width, between bars or apart, each head with its group."""
    heads = table.heads
    bold = any(cell.bold for row in table.rows for cell in row)
    if markdown:
        cells = [[f"**{c.text}**" if c.bold else c.text for c in row] for row in table.rows]
        cells = [[said.replace("|", r"\|") for said in row] for row in cells]
        rule = ["---:" if right else "---" for right in table.numeric]
        lines = ["| " + " | ".join(row) + " |" for row in (heads, rule, *cells)]
        return "\n".join(lines) + "\n" + "".join(f"\n{note}\n" for note in table.notes)
    cells = [[f"{c.text}*" if c.bold else c.text for c in row] for row in table.rows]
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    notes = ["* the difference exceeds the seeds' spread", *table.notes] if bold else table.notes
    lines = [*(_aligned(row, widths, table.numeric) for row in (heads, *cells)), *notes]
    return "".join(f"{line}\n" for line in lines)


def _aligned(row: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    cells = zip(row, widths, numeric, strict=True)
    return "  ".join(cell.rjust(width) if right else cell.ljust(width) for cell, width, right in cells).rstrip()

"""A table as text: Markdown, LaTeX, HTML, aligned for a terminal, or CSV."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from study.config.differences import TRAINED, VARIANT, short, text
from study.errors import StudyError, nearest
from study.stats.naming import naming, network_title

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
    "train_clean_ema": ("training error, EMA (%)", "mean"),
    "test_ema": ("test error, EMA (%)", "mean"),
    "ours": ("ours (%)", "mean"),
    "ours_median": ("ours (%)", "median"),
    "ours_top5": ("ours (%)", "top-5"),
    "paper": ("paper (%)", "mean"),
    "paper_top5": ("paper (%)", "top-5"),
    "difference": ("", "ours − paper"),
}
COUNTS = ("n_diverged", "n_at_chance", "n_failed", "n_missing")
FAILS, EXCEEDS = "paper_fails", "exceeds"
"""Columns that are not shown: the paper has no number, because its network fails; the difference is bold."""
SIGNS = {"–": "--", "±": r"$\pm$", "−": "$-$", "×": r"$\times$", "→": r"$\to$", "≥": r"$\geq$", "<": r"\textless{}",
         ">": r"\textgreater{}", "[": "{[}"}  # fmt: skip
WIDE = 72
"""Letters of a LaTeX table beyond which it is scaled to the text's width; the space between two columns counts as 2.5."""


class Cell(NamedTuple):
    """A cell of a table for people."""

    text: str
    bold: bool = False


class Layout(NamedTuple):
    """A table for people: its columns as (group, head), its cells row by row, and the notes below it."""

    columns: list[tuple[str, str]]
    rows: list[list[Cell]]
    notes: list[str]

    @property
    def heads(self) -> list[str]:
        """Each head on one line: `test error, median (%)`."""
        return [_flat(*column) for column in self.columns]

    @property
    def numeric(self) -> list[bool]:
        """Whether each column is of numbers."""
        return [bool(column) and all(map(_is_number, column)) for column in zip(*self.rows, strict=True)]


def render(table: pd.DataFrame, fmt: str = "md") -> str:
    """The table as text, its index left out: `md`, `latex` (booktabs), `html`, `text` (aligned), or `csv`.

    A CSV is the table as it is. The others are laid out for people (`laid_out`). Raises StudyError for an unknown format.
    """
    if fmt not in FORMATS:
        raise StudyError(f"unknown table format '{fmt}'{nearest(fmt, FORMATS)}")
    if fmt == "csv":
        return str(table.to_csv(index=False, lineterminator="\n"))
    return {"md": _markdown, "text": _text, "latex": _latex, "html": _html}[fmt](laid_out(table))


def laid_out(table: pd.DataFrame) -> Layout:
    """The table for people: rounded to 0.01, mean and std as one column, an interval as one, without counts of nothing.

    `X_mean` with `X_std` is one column, and so is `X_low` with `X_high`; `table.attrs["notes"]` are its notes, and
    `table.attrs["families"]` those of its networks.
    """
    heads, columns = [], []
    for name in map(str, table.columns):
        stem, _, part = name.rpartition("_")
        if name in (EXCEEDS, FAILS) or part in ("std", "high") or (name in COUNTS and not table[name].any()):
            continue
        key = stem if part == "mean" else name
        heads.append(HEADS.get(key, ("", short(key).removeprefix("n_").replace("_", " "))))
        with naming(table.attrs.get("families", ())):
            cells = [Cell(_said(row, name, stem, part)) for row in table.to_dict("records")]
        if name == "difference" and EXCEEDS in table:
            cells = [cell._replace(bold=bool(bold)) for cell, bold in zip(cells, table[EXCEEDS], strict=True)]
        columns.append(cells)
    return Layout(heads, [list(row) for row in zip(*columns, strict=True)], list(table.attrs.get("notes", ())))


def _flat(group: str, name: str) -> str:
    if not group or name.endswith("interval"):
        return name
    stem = group.removesuffix(" (%)")
    return group if name == "mean" else f"{stem} {name} (points)" if name.startswith("−") else f"{stem}, {name} (%)"


def _said(row: Mapping[Any, Any], name: str, stem: str, part: str) -> str:
    """The text of a cell, with what belongs to it from another column."""
    if name == "network":
        return network_title(row[name])
    if name == "paper_mean" and row.get(FAILS):
        return "fails"
    if part == "low":
        ends = [_number(row[name]), _number(row[f"{stem}_high"])]
        return "–" if "–" in ends else f"[{', '.join(ends)}]"
    value = _number(row[name], exact=name in (*TRAINED, *VARIANT))
    spread = _number(row.get(f"{stem}_std")) if part == "mean" else "–"
    return value if spread == "–" else f"{value} ± {spread}"


def _number(value: Any, exact: bool = False) -> str:
    """A value, rounded unless it is a field of a spec, of which two that differ never read alike."""
    if pd.isna(value):
        return "–"
    said = f"{value:.2f}" if isinstance(value, float) and not exact else text(value)
    return said if isinstance(value, str) or not said.startswith("-") else f"−{said[1:]}"


def _is_number(cell: Cell) -> bool:
    return cell.text in ("–", "fails") or cell.text.lstrip("−[")[:1].isdigit()


def _styler(table: Layout) -> Styler:
    """The table with its groups of columns beside each other."""
    named = [group for group, _ in table.columns]
    order = sorted(range(len(named)), key=lambda place: named.index(named[place]) if named[place] else place)
    heads = [table.columns[place] for place in order]
    columns = pd.MultiIndex.from_tuples(heads) if any(named) else pd.Index([name for _, name in heads])
    frame = pd.DataFrame([[row[place].text for place in order] for row in table.rows], columns=columns, dtype=object)
    bold = [["font-weight: bold" if row[place].bold else "" for place in order] for row in table.rows]
    return frame.style.hide(axis="index").apply(lambda _: np.array(bold, dtype=object).reshape(frame.shape), axis=None)


def _latex(table: Layout) -> str:
    """A `tabular` with booktabs rules and groups of columns; the notes are comments above it, for the caption."""
    styled = _styler(table)
    numeric = dict(zip(table.columns, table.numeric, strict=True))
    heads = [head if isinstance(head, tuple) else ("", head) for head in styled.columns]
    columns = "".join("r" if numeric[head] else "l" for head in heads)
    styled = styled.format(escape="latex").format_index(escape="latex", axis=1)
    body = str(styled.to_latex(column_format=columns, hrules=True, multicol_align="c", convert_css=True))
    body = "".join(SIGNS.get(c, c) for c in body)
    longest = [
        max([len(head), *(len(row[place].text) for row in table.rows)]) for place, (_, head) in enumerate(table.columns)
    ]
    if sum(longest) + 2.5 * len(longest) > WIDE:
        body = f"\\resizebox{{\\textwidth}}{{!}}{{%\n{body.rstrip()}%\n}}\n"
    return "".join(f"% {' '.join(note.split())}\n" for note in table.notes) + body


def _html(table: Layout) -> str:
    styled = _styler(table).format(escape="html").format_index(escape="html", axis=1)
    return str(styled.set_uuid("study").to_html()) + "".join(f"<p>{escape(note)}</p>\n" for note in table.notes)


def _markdown(table: Layout) -> str:
    cells = [[f"**{cell.text}**" if cell.bold else cell.text for cell in row] for row in table.rows]
    rule = ["---:" if right else "---" for right in table.numeric]
    escaped = [[said.replace("|", r"\|") for said in row] for row in cells]
    lines = [f"| {' | '.join(row)} |\n" for row in (table.heads, rule, *escaped)]
    return "".join([*lines, *(f"\n{note}\n" for note in table.notes)])


def _text(table: Layout) -> str:
    """Columns of equal width; a star stands for bold."""
    rows = [table.heads, *([f"{cell.text}*" if cell.bold else cell.text for cell in row] for row in table.rows)]
    columns = [
        (max(map(len, column)), right) for column, right in zip(zip(*rows, strict=True), table.numeric, strict=True)
    ]
    lines = [
        "  ".join(
            said.rjust(width) if right else said.ljust(width) for said, (width, right) in zip(row, columns, strict=True)
        )
        for row in rows
    ]
    starred = any(cell.bold for row in table.rows for cell in row)
    notes = ["* the difference exceeds the seeds' spread"] if starred else []
    return "".join(f"{line.rstrip()}\n" for line in (*lines, *notes, *table.notes))

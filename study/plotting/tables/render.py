"""A table as text: Markdown, LaTeX, aligned for a terminal, or CSV."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import pandas as pd

from study.config.differences import TRAINED, VARIANT, short, text
from study.errors import StudyError, nearest

HEADS = {  # for people; a CSV keeps the columns' own names
    "train_subset": "training images",
    "train_clean": "training error (%)",
    "train_clean_median": "training error, median (%)",
    "test": "test error (%)",
    "test_median": "test error, median (%)",
    "train_clean_difference": "training error − plain (points)",
    "test_difference": "test error − plain (points)",
    "ours": "ours (%)",
    "ours_median": "ours, median (%)",
    "ours_top5": "ours, top-5 (%)",
    "paper": "paper (%)",
    "paper_top5": "paper, top-5 (%)",
    "difference": "ours − paper",
}
COUNTS = ("n_diverged", "n_failed", "n_missing")
BOLD = {"difference": "exceeds"}
"""Columns whose cells are bold where another column, which is not shown, says so."""
FAILS = "paper_fails"
"""Where the paper has no number, because the network fails."""
LATEX = {c: rf"\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "[": "{[}",  # at the start of a row it would be an argument of the line break before
    "–": "--",
    "±": r"$\pm$",
    "−": "$-$",
    "×": r"$\times$",
    "→": r"$\to$",
    "≥": r"$\geq$",
}


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


def render(table: pd.DataFrame, fmt: str = "md") -> str:
    """The table as text, its index left out: `md`, `latex` (booktabs), `text` (aligned), or `csv`.

    A CSV is the table as it is. The others are laid out for people (`laid_out`).

    Raises
    ------
    StudyError
        An unknown format.
    """
    if fmt not in RENDERERS and fmt != "csv":
        raise StudyError(f"unknown table format '{fmt}'{nearest(fmt, [*RENDERERS, 'csv'])}")
    if fmt == "csv":
        return str(table.to_csv(index=False, lineterminator="\n"))
    return RENDERERS[fmt](laid_out(table))


def laid_out(table: pd.DataFrame) -> Layout:
    """The table for people: rounded to 0.01, mean and std as one column, an interval as one, without counts of nothing.

    `X_mean` with `X_std` is one column, and so is `X_low` with `X_high`; `table.attrs["notes"]` are its notes.
    """
    heads, columns = [], []
    for name in map(str, table.columns):
        stem, _, part = name.rpartition("_")
        if (
            name in BOLD.values()
            or name == FAILS
            or part in ("std", "high")
            or (name in COUNTS and not table[name].any())
        ):
            continue
        if part == "mean":
            heads.append(HEADS.get(stem, stem.replace("_", " ")))
            stds = table.get(f"{stem}_std")
            texts = _spread(table[name], stds)
            if name == "paper_mean" and FAILS in table:
                texts = ["fails" if fails else text for text, fails in zip(texts, table[FAILS], strict=True)]
            columns.append([Cell(text) for text in texts])
        elif part == "low":
            heads.append("95 % interval")
            columns.append([Cell(text) for text in _intervals(table[name], table[f"{stem}_high"])])
        else:
            heads.append(HEADS.get(name, short(name).removeprefix("n_").replace("_", " ")))
            bold = table[BOLD[name]] if name in BOLD else [False] * len(table)
            written = _setting if name in (*TRAINED, *VARIANT) else _text
            columns.append([Cell(written(value), bool(b)) for value, b in zip(table[name], bold, strict=True)])
    numeric = [bool(column) and all(_is_number(cell.text) for cell in column) for column in columns]
    rows = [list(row) for row in zip(*columns, strict=True)]
    return Layout(heads, rows, numeric, list(table.attrs.get("notes", ())))


def _spread(means: pd.Series, stds: pd.Series | None) -> list[str]:
    if stds is None:
        return [_text(mean) for mean in means]
    pairs = zip(means, stds, strict=True)
    return [_text(mean) if _is_none(std) else f"{_text(mean)} ± {_text(std)}" for mean, std in pairs]


def _intervals(lows: pd.Series, highs: pd.Series) -> list[str]:
    pairs = zip(lows, highs, strict=True)
    return ["–" if _is_none(low) or _is_none(high) else f"[{_text(low)}, {_text(high)}]" for low, high in pairs]


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


def _markdown(table: Layout) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |\n"

    rule = line(["---:" if right else "---" for right in table.numeric])
    body = "".join(line([f"**{cell.text}**" if cell.bold else cell.text for cell in row]) for row in table.rows)
    return line(table.heads) + rule + body + "".join(f"\n{note}\n" for note in table.notes)


def _latex(table: Layout) -> str:
    """A `tabular`; the notes are comments above it, for the caption."""

    def line(cells: Sequence[str]) -> str:
        return " & ".join(cells) + r" \\" + "\n"

    def written(cell: Cell) -> str:
        text = _escaped(cell.text)
        return rf"\textbf{{{text}}}" if cell.bold else text

    columns = "".join("r" if right else "l" for right in table.numeric)
    top, middle, bottom = r"\toprule", r"\midrule", r"\bottomrule"
    body = "".join(line([written(cell) for cell in row]) for row in table.rows)
    notes = "".join(f"% {' '.join(note.split())}\n" for note in table.notes)
    heads = line([_escaped(head) for head in table.heads])
    return f"{notes}\\begin{{tabular}}{{{columns}}}\n{top}\n{heads}{middle}\n{body}{bottom}\n\\end{{tabular}}\n"


def _escaped(text: str) -> str:
    return "".join(LATEX.get(c, c) for c in text)


def _aligned(table: Layout) -> str:
    rows = [[f"{cell.text}*" if cell.bold else cell.text for cell in row] for row in table.rows]
    widths = [max(map(len, column)) for column in zip(table.heads, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(cells, widths, table.numeric, strict=True)
        )
        return "  ".join(padded).rstrip() + "\n"

    starred = (
        ["* the difference exceeds the spread over seeds"] if any(c.bold for row in table.rows for c in row) else []
    )
    return line(table.heads) + "".join(map(line, rows)) + "".join(f"{note}\n" for note in [*starred, *table.notes])


RENDERERS: dict[str, Callable[[Layout], str]] = {"md": _markdown, "latex": _latex, "text": _aligned}

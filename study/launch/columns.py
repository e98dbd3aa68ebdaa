"""Text that fits a terminal: aligned columns, and lines that continue below themselves."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Callable, Collection, Mapping, Sequence

from rich.cells import cell_len
from rich.text import Text

NO_LIMIT = 1_000_000


def room() -> int:
    """Columns of the terminal; no limit where the output goes elsewhere."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else NO_LIMIT


def hanging(head: str, text: str, width: int) -> str:
    """A head with a text that continues below itself, broken between words."""
    return textwrap.fill(
        text,
        width,
        initial_indent=head,
        subsequent_indent=" " * min(len(head), width // 2),
        break_long_words=False,
        break_on_hyphens=False,
    )


def table(
    rows: Sequence[Mapping[str, str]],
    width: int,
    least: Sequence[str],
    right: Collection[str] = (),
    style: Callable[[str, str], str] = lambda name, value: "",
    heads: bool = True,
) -> Text:
    """Aligned columns, under their names if `heads`. The last one has messages; one that does not fit goes below its row."""
    if not rows:
        return Text()
    *names, last = rows[0]
    names = [name for name in names if any(row[name] for row in rows)]
    widths = {name: max(cell_len(name), *(cell_len(row[name]) for row in rows)) for name in names}
    for name in least:
        if name in names and sum(widths[name] + 2 for name in names) - 2 > width:
            names.remove(name)
    head = {name: name for name in names} | {last: last if any(row[last] for row in rows) else ""}
    lines = []
    for row in (head, *rows) if heads else rows:
        text = Text()
        for name in names:
            blank = " " * (widths[name] - cell_len(row[name]))
            cell = blank + row[name] if name in right else row[name] + blank
            text.append(f"{cell}  ", "bold" if row is head else style(name, row[name]))
        if row[last] and len(text) + cell_len(row[last]) <= width:
            text.append(row[last], "bold" if row is head else "")
        elif row[last] and row is not head:
            text.append("\n" + hanging("    ", row[last], width))
        text.rstrip()
        lines.append(text)
    return Text("\n").join(lines).append("\n")

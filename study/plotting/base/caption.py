"""The text that goes under a figure: what it shows, of which runs, by which protocol, and where that is not the paper's."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import pandas as pd

from study.papers.values import Protocol, deviations, remarks
from study.stats.naming import network_title
from study.text import counted, listed, ranges


def caption(
    shows: str,
    runs: pd.DataFrame,
    *,
    protocol: Sequence[str] = (),
    notes: Sequence[str] = (),
    paper: Protocol | None = None,
) -> str:
    """A caption, a paragraph to each of its parts.

    `shows`: what the picture shows of these data, in a sentence; then what is drawn, with units, marks and intervals.
    `protocol`: data set and recipe, as the header has them. `notes`: the notes on the figure: runs that diverged,
    failed or are missing, and all else that it leaves out. `paper`: the protocol of the paper's figure, if it is one:
    where the runs were trained otherwise, the caption says how.
    """
    parts = [shows, _runs(runs)]
    if said := [text for text in protocol if text]:
        parts.append(f"Protocol: {' · '.join(said)}.")
    if paper is not None:
        differs = [*deviations(runs, paper), *remarks(runs, paper)]
        parts.append(f"Not as in {paper.paper}: {'; '.join(differs)}." if differs else f"Trained as in {paper.paper}.")
    parts += [note[:1].upper() + note[1:] + ("" if note.endswith(".") else ".") for note in notes]
    return called("\n\n".join(parts)) + "\n"


def called(text: str) -> str:
    """A text in which every network has the papers' name."""
    return re.sub(r"\bresidual(?=-\d|\))", network_title("residual"), text)


def number(value: float, form: str = ".2g") -> str:
    """A number in a sentence: `530`, `−0.8`, `5.2e+09`."""
    said = format(value, form)
    return (
        (f"{float(said):g}" if form.endswith("g") else said).replace("-", "−", 1)
        if math.isfinite(value)
        else str(value)
    )


def _runs(runs: pd.DataFrame) -> str:
    names = listed(dict.fromkeys(runs["name"]))
    done = int((runs["state"] == "done").sum())
    seeds = sorted(set(runs["seed"].astype(int)))
    noun = "seed" if len(seeds) == 1 else "seeds"
    conditions = list(dict.fromkeys(runs["condition"])) if "condition" in runs else []
    apart = f"; trained in {len(conditions)} ways: {'; '.join(conditions)}" if len(conditions) > 1 else ""
    return f"Runs: {names}; {noun} {ranges(seeds)}; {done:,} of {counted(len(runs), 'run')} done{apart}."

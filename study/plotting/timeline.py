"""When each run of a sweep was trained, where, and what cut it short: a row a run, a bar an attempt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from study.errors import StudyError, nearest
from study.plotting import gantt
from study.plotting.canvas import Plot
from study.plotting.caption import caption
from study.plotting.frames import in_order, labelled, named
from study.plotting.phrases import counted
from study.stats import planned
from study.stats.naming import ABSENT, absences, joined
from study.stats.planned import RUN_COLUMNS, fields_of, require

ATTEMPT = ("run_id", "attempt", "start", "end", "last_sign", "outcome", "why", "host", "node", "device")
OUTCOMES = ("done", "interrupted", "diverged", "failed", "running", "unknown")
UNKNOWN = OUTCOMES[-1]
"""What an attempt came to that left no word, or none that is known."""
CUT_SHORT = ("interrupted", "failed")
BY = ("network", "place")
COLUMNS = [
    "kind", "condition", "group", "network", "depth", "label", "run_id", "seed", "row", "attempt", "place", "begin",
    "finish", "until", "outcome", "cause", "why", "at_once",
]  # fmt: skip
LONG = 500  # letters: a note that would name more runs counts them
CAUSES = 9  # that have a number of their own
CAUSE_LETTERS = 70


class Tries(NamedTuple):
    """What is drawn (see `prepare`), the planned runs with `condition` and `label`, the header, and the notes."""

    data: pd.DataFrame
    runs: pd.DataFrame
    title: str
    subtitle: str
    notes: list[str]


def plot(frame: pd.DataFrame, runs: pd.DataFrame | None = None, *, by: str = "network") -> Plot:
    """Draw the figure.

    Parameters
    ----------
    frame
        Attempts, as `study.read_attempts` gives them. A run that has none there is drawn as one bar from `started` to
        `finished` of `runs`.
    runs
        As `study.plotting.figure` takes it; without it, runs that were never tried have no row.
    by
        What rows are grouped by: `network`, or `place`, where a run has a row in each place that it was tried in.

    Raises
    ------
    StudyError
        A frame that lacks columns, nothing that was started, or an unknown grouping.
    """
    if by not in BY:
        raise StudyError(f"unknown grouping '{by}'{nearest(str(by), BY)}")
    tries = prepare(frame, runs, by)
    shows = (
        "When each run was trained, in time since the first start of any: a row a run, a bar an attempt, coloured by how it "
        "ended; above, how many were in training at once. The dotted tail of an attempt that left no word goes from its last "
        "sign of life, where one is known, to the next attempt: it ended somewhere there. Long stretches in which nothing was "
        "trained are cut out of the axis."
    )
    text = caption(shows, named(tries.runs), protocol=(tries.title, tries.subtitle), notes=tries.notes)
    return Plot(gantt.draw(tries, by), tries.data, text)


def prepare(frame: pd.DataFrame, runs: pd.DataFrame | None, by: str = "network") -> Tries:
    """Every bar of the figure, with times in seconds since the first start.

    `kind` is attempt; run, for one known by its start and end alone; missing, for a row without a bar; or at_once, for the
    number in training from `begin` on. A bar ends at `finish`; where that is only the last sign of life, `until` is the
    next attempt's start, if there is one. `cause` numbers what cut attempts short, most frequent first.
    """
    require(frame, ATTEMPT if runs is not None else (*ATTEMPT, *RUN_COLUMNS), "attempts")
    known, title, subtitle = labelled(_known(frame if runs is None else runs))
    tries = _tries(frame, known)
    if tries.empty:
        raise StudyError(
            f"nothing to draw: of none of the {len(known)} runs is known when it was started; `study sweep` starts them, "
            "`study collect` collects their attempts"
        )
    first = tries["start"].min()
    missing = known[~known["run_id"].isin(tries["run_id"])].assign(kind="missing")
    fields = ["run_id", "condition", "network", "depth", "label", "seed"]
    bars = _timed(tries, first).merge(known[fields], on="run_id")
    table = _placed(pd.concat([bars, missing], ignore_index=True), by)
    data = pd.concat([table, _at_once(table)], ignore_index=True).reindex(columns=COLUMNS)
    tried = int((table["kind"] == "attempt").sum())
    n = counted(len(known), "run") + (f", {counted(tried, 'attempt')}" if tried else "")
    header = " · ".join(text for text in (subtitle, f"from {first:%Y-%m-%d %H:%M} UTC", n) if text)
    return Tries(data, known, title, header, list(_notes(table, known)))


def _known(runs: pd.DataFrame) -> pd.DataFrame:
    require(runs, RUN_COLUMNS, "runs")
    table = fields_of(runs.drop_duplicates("run_id"), ("iteration", "started", "finished"))
    table["iteration"] = pd.to_numeric(table["iteration"]).fillna(0)
    table[["depth", "seed"]] = table[["depth", "seed"]].astype(int)
    return planned.in_order(table)


def _tries(frame: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """The attempts of known runs, oldest first; of a run that has none recorded, the one that its row tells of."""
    recorded = (
        frame[[*ATTEMPT]].sort_values(["start", "end"]).drop_duplicates(["run_id", "attempt"]).assign(kind="attempt")
    )
    others = known[~known["run_id"].isin(recorded["run_id"])]
    told = others.rename(columns={"started": "start", "finished": "end", "state": "outcome"}).assign(kind="run")
    tries = pd.concat([part.reindex(columns=[*ATTEMPT, "kind"]).astype(object) for part in (recorded, told)])
    for name in ("start", "end", "last_sign"):
        tries[name] = pd.to_datetime(tries[name], utc=True)
    tries = tries[tries["start"].notna() & tries["run_id"].isin(known["run_id"])]
    return tries.sort_values(["run_id", "attempt", "start"], ignore_index=True)


def _timed(tries: pd.DataFrame, first: pd.Timestamp) -> pd.DataFrame:
    def seconds(times: pd.Series) -> pd.Series:
        return (times - first).dt.total_seconds()

    outcome = tries["outcome"].where(tries["outcome"].isin(OUTCOMES), UNKNOWN)
    lost = tries["end"].isna() & (outcome != "running")
    begin = seconds(tries["start"])
    finish = seconds(tries["end"].fillna(tries["last_sign"])).fillna(begin)
    after = seconds(tries.groupby("run_id")["start"].shift(-1))
    finish = finish.where(finish > begin, begin)  # clocks of two hosts may differ
    timed = tries.assign(outcome=outcome, begin=begin, finish=finish, until=after.where(lost))
    return timed.assign(cause=_causes(timed), place=_places(timed))


def _causes(tries: pd.DataFrame) -> pd.Series:
    """A number for what cut each attempt short, from 1 for the most frequent interruption; 0 for rare ones, NaN for none."""
    why = tries["why"].where(tries["outcome"].isin(CUT_SHORT))
    counts = Counter(zip(tries["outcome"][why.notna()], why.dropna(), strict=True))
    ordered = sorted(counts, key=lambda cause: (CUT_SHORT.index(cause[0]), -counts[cause], cause[1]))
    numbers = {cause: number if number <= CAUSES else 0 for number, cause in enumerate(ordered, 1)}
    found = [numbers.get(cause, np.nan) for cause in zip(tries["outcome"], why, strict=True)]
    return pd.Series(found, tries.index, dtype=float)


def _places(tries: pd.DataFrame) -> pd.Series:
    """The host of each attempt, and its device where there are several kinds; empty where it is not known."""
    hosts = tries["node"].fillna(tries["host"]).fillna("").map(str)
    devices = tries["device"].fillna("").map(str)
    return hosts if devices.nunique() < 2 else joined([hosts, devices], tries.index, ", ")


def _placed(table: pd.DataFrame, by: str) -> pd.DataFrame:
    """With the group of each row, and the row of each bar, from 0 at the top of each panel."""
    networks = in_order(table["network"])
    table = table.assign(order=table["network"].map(networks.index), label=table["label"].map(str))
    called = table["network"].map(str) + "-" + table["label"]
    if by == "place":
        table["group"] = table["place"].fillna("not started").replace("", "unknown place")
        table["came"] = table.groupby(["condition", "group", "run_id"])["begin"].transform("min")
        keys = ["condition", "group", "came", "seed", "run_id"]
    else:
        table["group"] = called
        keys = ["condition", "order", "depth", "label", "seed", "run_id"]
    table = table.sort_values([*keys, "attempt"], ignore_index=True)
    number = table.groupby(keys, sort=False, dropna=False).ngroup()
    table["seed"] = table["seed"].astype(int)
    table["row"] = number - number.groupby(table["condition"]).transform("min")
    return table


def _at_once(table: pd.DataFrame) -> pd.DataFrame:
    """How many are in training from each time on at which that changes, in each panel."""
    steps = []
    for condition, bars in table[table["kind"] != "missing"].groupby("condition", sort=False):
        change = pd.concat([pd.Series(1, bars["begin"]), pd.Series(-1, bars["finish"])]).groupby(level=0).sum().cumsum()
        change = change[change.ne(change.shift())]
        steps.append(pd.DataFrame({"begin": change.index, "at_once": change.to_numpy(), "condition": condition}))
    return pd.concat(steps, ignore_index=True).assign(kind="at_once")


def _notes(table: pd.DataFrame, runs: pd.DataFrame) -> Iterator[str]:
    yield from _cut_short(table)
    lost = table[table["outcome"] == UNKNOWN]
    if not lost.empty:
        yield f"no recorded end (?): {counted(len(lost), 'attempt')}, killed without a word; drawn to the last sign of life"
    yield from _where(table)
    if (table["kind"] == "run").any():
        count = counted(int((table["kind"] == "run").sum()), "run")
        yield f"attempts were not collected of {count}: one bar from its first start to its end"
    states = runs["state"].where(runs["state"].isin(["done", *ABSENT]), "missing")
    for word in ABSENT:
        here = runs[states == word]
        for line in absences(here):
            yield (
                line
                if len(line) < LONG
                else f"{line.partition(':')[0]}: {counted(len(here), 'run')}, too many to name here"
            )


def _where(table: pd.DataFrame) -> Iterator[str]:
    letters, there = gantt.places(table), sorted(set(table["place"].dropna()) - {""})
    devices = sorted(set(table["device"].dropna().map(str)))
    on = f", {devices[0]}" if len(devices) == 1 else ""
    if letters:
        yield f"places{on}: " + "; ".join(f"{letter} = {name}" for name, letter in letters.items())
    elif len(there) > 1:
        some = ", ".join(there[:8]) + (", …" if len(there) > 8 else "")
        yield f"on {counted(len(there), 'place')}{on}: {some}; by=place sorts by them"
    elif there:
        yield f"all on {there[0]}{on}"


def _cut_short(table: pd.DataFrame) -> Iterator[str]:
    """What the numbers at the ends of bars stand for."""
    for outcome in CUT_SHORT:
        here = table[table["outcome"] == outcome]
        lettered = table["row"].max() < gantt.LETTERED
        told = here.dropna(subset="cause").groupby("cause")
        texts = [f"{_cause(cause, group, lettered)} ({counted(len(group), 'attempt')})" for cause, group in told]
        silent = int(here["cause"].isna().sum())
        texts += [f"not recorded why ({counted(silent, 'attempt')})"] if silent else []
        if texts:
            yield f"{outcome}: {'; '.join(texts)}"


def _cause(number: Any, group: pd.DataFrame, lettered: bool) -> str:
    if not number:
        return "other causes"
    text = " ".join(str(group["why"].iloc[0]).split())
    text = f"{text[: CAUSE_LETTERS - 1]}…" if len(text) > CAUSE_LETTERS else text
    return f"{int(number)} = {text}" if lettered else text

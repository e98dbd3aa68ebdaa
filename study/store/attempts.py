"""When and where a run was tried, and how each try ended, as Parquet: the schema, and how a run's record is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from study.store import lease
from study.store.files import DamagedError, read_json
from study.store.layout import RunFiles
from study.store.runs import RunStatus, last_heard, status

ATTEMPTS = pa.schema(
    [
        ("run_id", pa.string()),
        ("attempt", pa.int64()),  # 1 for the first
        ("start", pa.timestamp("ms", tz="UTC")),
        ("end", pa.timestamp("ms", tz="UTC")),  # null where it left no word: killed, or still running
        (
            "last_sign",
            pa.timestamp("ms", tz="UTC"),
        ),  # of one without an end: when it was last heard of, if that is known
        ("outcome", pa.string()),  # done, diverged, failed, interrupted or running; null where it left no word
        ("why", pa.string()),  # what interrupted it, or it failed of; null where nobody said so
        ("from_iteration", pa.int64()),
        ("iteration", pa.int64()),  # that it came to; null without an end
        ("executor", pa.string()),
        ("host", pa.string()),
        ("job", pa.string()),  # SLURM's
        ("node", pa.string()),
        ("device", pa.string()),
        ("threads", pa.int64()),
        ("pid", pa.int64()),
        ("code", pa.string()),  # digest of the package's files
    ]
)
"""Key: (run_id, attempt), in which order the rows are sorted."""

KEY = ["run_id", "attempt"]
FACTS = ("executor", "host", "job", "node", "device", "threads", "pid", "code")
"""What is copied from the record of the start."""

Row = dict[str, Any]


def ordered(table: pa.Table) -> pa.Table:
    """The rows in the order of their key."""
    return table.sort_by([(name, "ascending") for name in KEY])


def rows(files: RunFiles, now: RunStatus | None = None) -> list[Row]:
    """The attempts at a run, oldest first; damaged lines of its record are left out. `now` is its state, where that is known."""
    now = now or status(files)
    found: list[Row] = []
    for line in now.record:
        when, event = _time(line.get("time")), line.get("event")
        if when is None or event not in ("start", "end"):
            continue
        if event == "start":
            if found and found[-1]["end"] is None:
                found[-1]["last_sign"] = _not_before(found[-1]["start"], _time(line.get("last_sign")))
            found.append(_begun(files, len(found) + 1, when, line))
            continue
        if not found or found[-1]["end"] is not None:  # refused before it started, such as for a spec that was changed
            found.append(_begun(files, len(found) + 1, when, {"from": line.get("iteration")}))
        ended = {"end": when, "outcome": _text(line.get("outcome")), "why": _text(line.get("why"))}
        found[-1] |= ended | {"iteration": _whole(line.get("iteration"))}
    if found and found[-1]["end"] is None:
        found[-1] |= _sealed(now.seal) if now.seal else _open(files, found[-1]["start"])
    return found


def table(found: list[Row]) -> pa.Table:
    """Rows as Parquet has them."""
    return ordered(pa.Table.from_pylist(found, schema=ATTEMPTS))


def _begun(files: RunFiles, number: int, when: int, line: Row) -> Row:
    facts = {name: (_whole if name in ("threads", "pid", "code") else _text)(line.get(name)) for name in FACTS}
    own = {"run_id": files.run_id, "attempt": number, "start": when, "from_iteration": _whole(line.get("from"))}
    return dict.fromkeys(ATTEMPTS.names) | own | facts


def _not_before(start: int, sign: int | None) -> int | None:
    """The last sign of an attempt: its start is one too, and the first heartbeat is a little older than that."""
    return None if sign is None else max(start, sign)


def _sealed(seal: Mapping[str, Any]) -> Row:
    """The end of an attempt that was killed when it had sealed the run, and before it could say so."""
    outcome = "diverged" if seal["outcome"] == "diverged" else "done"
    return {"end": _time(seal.get("time")), "outcome": outcome, "iteration": _whole(seal["iteration"])}


def _open(files: RunFiles, start: int) -> Row:
    """What is known of the newest attempt while it has no end: whether it is running, and its last sign of life."""
    try:
        beat = read_json(files.heartbeat) or {}
    except DamagedError:
        beat = {}
    running, sign = lease.holder(files) is not None, _seconds(beat.get("time"))
    return {
        "outcome": "running" if running else None,
        "last_sign": _not_before(start, _time(sign and last_heard(files, sign))),
    }


def _seconds(value: Any) -> float | None:
    """Seconds since 1970; None for what is no time."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and 0 < value < 1e11 else None


def _time(value: Any) -> int | None:
    """The same as whole milliseconds."""
    seconds = _seconds(value)
    return None if seconds is None else int(seconds * 1000)


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)

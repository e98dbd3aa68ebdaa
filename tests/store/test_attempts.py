"""From the record of a run's attempts to rows."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

import study
from study.config.identity import run_id
from study.config.sweep import Sweep
from study.store import attempts, lease
from study.store import runs as store
from study.store.collect import collect
from study.store.files import append_line, read_json, write_json
from study.store.layout import RunFiles, SweepFiles
from tests.helpers import make_spec, open_run


def opened(results: Path) -> tuple[SweepFiles, RunFiles]:
    """A sweep of one run that was not started."""
    spec = make_spec()
    files = SweepFiles(results, "test")
    store.write_sweep(files, Sweep("test", "", {run_id(spec): spec}, ()))
    return files, open_run(results, spec)


def test_every_start_is_a_row_and_has_the_end_that_follows(tmp_path: Path) -> None:
    _, run = opened(tmp_path)
    for line in (
        {"event": "start", "time": 100.0, "from": 0, "host": "a", "threads": 2, "pid": 7, "device": "cpu"},
        {"event": "end", "time": 160.5, "outcome": "interrupted", "iteration": 40, "why": "Ctrl-C"},
        {"event": "start", "time": 200.0, "from": 40, "host": "b"},
        {"event": "start", "time": 300.0, "from": 60, "last_sign": 250.0},
        {"event": "end", "time": 310.0, "outcome": "failed", "iteration": 60},
        {"event": "end", "time": 320.0, "outcome": "failed", "iteration": 60, "why": "changed by hand"},
    ):
        append_line(run.attempts, line)
    first, killed, failed, refused = attempts.rows(run)
    assert (first["start"], first["end"], first["outcome"], first["why"]) == (100_000, 160_500, "interrupted", "Ctrl-C")
    assert (first["host"], first["threads"], first["pid"], first["iteration"]) == ("a", 2, 7, 40)
    assert (killed["end"], killed["outcome"], killed["last_sign"], killed["iteration"]) == (None, None, 250_000, None)
    assert (failed["from_iteration"], failed["outcome"], failed["why"], failed["last_sign"]) == (
        60,
        "failed",
        None,
        None,
    )
    assert (refused["start"], refused["end"], refused["why"]) == (320_000, 320_000, "changed by hand")
    assert [row["attempt"] for row in (first, killed, failed, refused)] == [1, 2, 3, 4]


def test_damaged_lines_are_left_out(tmp_path: Path) -> None:
    _, run = opened(tmp_path)
    run.attempts.write_bytes(
        b'{"event": "start", "time": 100.0, "from": "x", "threads": true}\n\xff\xfe\n5\nnull\n[1]\n{"event": "start"}\n'
        b'{"event": "start", "time": "soon"}\n{"event": "start", "time": NaN}\n{"event": "moved", "time": 150.0}\n'
        b'{"event": "end", "time": 160.0, "outcome": 3}\n{"event": "sta'
    )
    (row,) = attempts.rows(run)
    assert (row["start"], row["end"], row["outcome"]) == (100_000, 160_000, "3")
    assert row["from_iteration"] is row["iteration"] is row["threads"] is None
    assert attempts.table([row]).num_rows == 1 and store.status(run).attempts == 4


def test_who_was_killed_is_known_by_the_last_sign_of_life(tmp_path: Path) -> None:
    _, run = opened(tmp_path)
    held = lease.claim(run)
    assert held is not None and held.before is None
    store.start_attempt(run, {}, held.before)
    assert attempts.rows(run)[0]["outcome"] == "running" and attempts.rows(run)[0]["last_sign"] is None
    run.attempts.write_text('{"event": "start", "time": 990}\n')  # long ago
    held.beat(iteration=3)
    write_json(
        run.lease, (read_json(run.lease) or {}) | {"started": "1"}
    )  # dead: the process of that number is another
    os.utime(run.heartbeat, (1000, 1000))
    (killed,) = attempts.rows(run)
    assert killed["outcome"] is killed["end"] is None and killed["last_sign"] is not None
    run.checkpoint(3, "0" * 16).touch()
    os.utime(run.checkpoint(3, "0" * 16), (1002, 1002))
    later = lease.claim(run)
    assert later is not None and later.before == 1000
    store.start_attempt(run, {}, later.before)
    assert attempts.rows(run)[0]["last_sign"] == 1_002_000
    first, second = run.attempts.read_text().splitlines()
    run.attempts.write_text(first.replace("990", "1005") + "\n" + second + "\n")  # killed before its next heartbeat
    assert attempts.rows(run)[0]["last_sign"] == 1_005_000
    later.release()
    again = lease.claim(run)
    assert again is not None and again.before is None  # given back in good order


def test_a_failed_attempt_keeps_the_last_words(tmp_path: Path) -> None:
    _, run = opened(tmp_path)
    store.start_attempt(run, {})
    store.write_failed(run, "out of memory")
    store.end_attempt(run, "failed", 0)
    store.start_attempt(run, {})  # and forgets failed.json
    assert [row["why"] for row in attempts.rows(run)] == ["out of memory", None]


def test_collected_attempts_read_as_those_of_the_folder(tmp_path: Path) -> None:
    files, run = opened(tmp_path)
    assert files.attempts not in collect(files) and study.read_attempts(files.folder).empty
    store.start_attempt(run, {"host": "here", "job": None})
    store.end_attempt(run, "interrupted", 5, "Ctrl-C")
    store.start_attempt(run, {"host": "there"})
    assert files.attempts in collect(files)
    fresh = study.read_attempts(files.folder)
    assert fresh["host"].tolist() == ["here", "there"] and fresh["network"].tolist() == ["residual"] * 2
    assert str(fresh["start"].dtype) == "datetime64[ms, UTC]" and fresh["end"].isna().tolist() == [False, True]
    files.sweep.unlink()  # as collected, elsewhere
    pd.testing.assert_frame_equal(study.read_attempts([files.folder, files.folder]), fresh)
    files.attempts.unlink()  # collected before there were attempts
    assert study.read_attempts(files.folder).empty

"""Two hundred processes at once: none loses what it wrote, and of those that want one run, one has it."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from study.store import lease, process
from study.store.files import append_line, examine_lines, write_json
from study.store.layout import RunFiles
from tests.helpers import make_spec, open_run

WRITERS = 200
FORK = multiprocessing.get_context("fork")


def together(work: Callable[[int], Any], writers: int = WRITERS) -> list[Any]:
    """Have so many processes do this at the same moment, each with its number; returns what each of them had to say.

    None ends before all have answered: a lease is held while its process lives.
    """
    gate, answers = FORK.Barrier(writers), FORK.SimpleQueue()

    def body(number: int) -> None:
        gate.wait(120)
        try:
            answers.put((number, work(number)))
        except BaseException as error:
            answers.put((number, error))
        gate.wait(300)

    processes = [FORK.Process(target=body, args=(number,)) for number in range(writers)]
    for one in processes:
        one.start()
    found = dict(answers.get() for _ in processes)
    for one in processes:
        one.join()
    for answer in found.values():
        if isinstance(answer, BaseException):
            raise answer
    return [found[number] for number in range(writers)]


def test_no_line_is_lost_of_many_that_append_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "a-run" / "attempts.jsonl"
    path.parent.mkdir()

    def append(number: int) -> None:
        for turn in range(5):
            append_line(path, {"writer": number, "turn": turn, "long": "x" * 3000})  # lines lie across pages

    together(append)
    lines, lost = examine_lines(path)
    assert lost == 0
    assert sorted((line["writer"], line["turn"]) for line in lines) == [
        (w, t) for w in range(WRITERS) for t in range(5)
    ]


def test_an_end_of_line_too_many_is_no_damage_and_mends_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "attempts.jsonl"
    append_line(path, {"event": "start"})
    with path.open("ab") as file:
        file.write(b"\n")  # who saw the line half written put one before its own
    append_line(path, {"event": "end"})
    assert [line["event"] for line in examine_lines(path)[0]] == ["start", "end"]
    assert examine_lines(path)[1] == 0
    with path.open("ab") as file:
        file.write(b'{"event": "sta')
    append_line(path, {"event": "start"})
    assert [line["event"] for line in examine_lines(path)[0]] == ["start", "end", "start"]
    assert examine_lines(path)[1] == 1


def test_one_of_many_gets_a_lease(tmp_path: Path) -> None:
    files = open_run(tmp_path / "results", make_spec())
    assert sum(together(lambda number: _held(files))) == 1
    assert sorted(path.name for path in files.folder.iterdir()) == ["lease", "spec.json"]


def test_one_of_many_at_most_takes_over_the_lease_of_a_dead_process_and_the_next_call_has_it(tmp_path: Path) -> None:
    files = open_run(tmp_path / "results", make_spec())
    dead = subprocess.Popen([sys.executable, "-c", ""])
    lives = process.identity() | {"pid": dead.pid, "started": process.started(dead.pid)}
    dead.wait()
    write_json(files.lease, {"token": "of the dead", "time": 0.0, **lives})
    assert sum(together(lambda number: _held(files))) == 1
    assert sorted(path.name for path in files.folder.iterdir()) == ["lease", "spec.json"]


def _held(files: RunFiles) -> bool:
    """Whether this process got the lease, which it does not give back."""
    return lease.claim(files) is not None

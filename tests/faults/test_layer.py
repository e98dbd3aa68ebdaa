"""The layer itself: it sees every kind of operation, and acts at the n-th one as told, and nowhere else."""

from __future__ import annotations

import errno
import sys
import time
from pathlib import Path

import pytest

from tests.faults.layer import Action, Command, Ended, Kind, Layer
from tests.launch.command import wait_for

EVERY_KIND = """
import os
os.mkdir("folder")
file = os.open("folder/a", os.O_WRONLY | os.O_CREAT)
os.write(file, b"0123456789")
os.fsync(file)
os.replace("folder/a", "folder/b")
os.link("folder/b", "c")
os.unlink("c")
"""


def python(layer: Layer, code: str, clock: float = 0.0) -> Command:
    return Command(layer, layer.root, [sys.executable, "-S", "-c", code], layer.environment(clock=clock))


def run(layer: Layer, code: str, clock: float = 0.0) -> Ended:
    return python(layer, code, clock).ended(60)


@pytest.mark.parametrize("at", [1, 7])
def test_the_nth_operation_fails_and_no_other(layer: Layer, at: int) -> None:
    error = (errno.EIO, errno.EROFS, errno.ENOSPC)[at % 3]
    layer.arm(Action.FAIL, at, error)
    ended = run(layer, EVERY_KIND)
    assert ended.code == 1 and f"[Errno {error}]" in ended.err
    assert [operation.number for operation in layer.operations() if operation.fate == "failed"] == [at]
    assert len(layer.operations()) == at  # the program ends with it


def test_a_short_write_is_half_of_it_and_a_disk_that_fills_takes_no_more(layer: Layer) -> None:
    code = """
import os
file = os.open("file", os.O_WRONLY | os.O_CREAT)
for _ in range(2):
    try:
        print(os.write(file, b"0123456789"))
    except OSError as error:
        print(error.strerror)
"""
    layer.arm(Action.SHORT, 1, kinds=Kind.WRITE)
    assert run(layer, code).out.split("\n")[:2] == ["5", "10"]
    layer.arm(Action.FILL, 1, errno.ENOSPC, kinds=Kind.WRITE)
    assert run(layer, code).out.split("\n")[:2] == ["5", "No space left on device"]


@pytest.mark.parametrize(("action", "there"), [(Action.STOP, 0), (Action.TEAR, 5)])
def test_a_process_is_stopped_at_an_operation_and_killed_there(layer: Layer, action: Action, there: int) -> None:
    layer.arm(action, 3)
    command = python(layer, EVERY_KIND)
    wait_for(lambda: layer.struck)
    wait_for(lambda: Path(f"/proc/{layer.state.process}/stat").read_text().rpartition(")")[2].split()[0] == "T")
    assert (layer.root / "folder" / "a").stat().st_size == there
    command.kill()
    assert not command.tree() and layer.where() == "write folder/a (stopped)"


CLOCK = """
import datetime, os, threading, time
open("file", "w").close()
print(time.time(), datetime.datetime.now(datetime.timezone.utc).timestamp(), os.stat("file").st_mtime)
before = time.monotonic()
threading.Event().wait(0.3)
print(threading.Lock().acquire() and time.monotonic() - before)
lock = threading.Lock()
lock.acquire()
lock.acquire(timeout=0.3)
time.sleep(0.1)
print(time.monotonic() - before)
"""


def test_a_wrong_clock_leaves_file_times_and_waiting_as_they_are(layer: Layer) -> None:
    layer.arm()
    ended = run(layer, CLOCK, clock=-3600.0)
    assert ended.code == 0, ended.err
    first, waited, again = ended.out.splitlines()
    now, other, file = map(float, first.split())
    assert abs(now - time.time() + 3600) < 120 and abs(other - now) < 60
    assert abs(file - time.time()) < 120
    # Waits end: they use the kernel's clock, not the one that this process sees.
    assert 0.3 <= float(waited) < 60 and 0.7 <= float(again) < 120

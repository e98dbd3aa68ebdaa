"""A sweep that is killed at random times, and rerun after each, ends with what an undisturbed one has."""

import sys
from pathlib import Path

import pytest

from tests.faults.kills import Driver
from tests.faults.layer import Action, Command, Layer
from tests.launch.command import wait_for

WRITING = """
import os
os.mkdir("folder")
file = os.open("folder/a", os.O_WRONLY | os.O_CREAT)
os.write(file, b"0123456789")
os.fsync(file)
"""


@pytest.mark.parametrize(("action", "there"), [(Action.STOP, 0), (Action.TEAR, 5)])
def test_a_process_is_stopped_before_or_within_an_operation_and_killed_there(library, tmp_path, action, there):
    layer = Layer(library, tmp_path / "watched")
    layer.arm(action, 3)
    command = Command(layer, layer.root, [sys.executable, "-S", "-c", WRITING], layer.environment())
    wait_for(lambda: layer.struck)
    wait_for(lambda: Path(f"/proc/{layer.state.process}/stat").read_text().rpartition(")")[2].split()[0] == "T")
    assert (layer.root / "folder" / "a").stat().st_size == there
    command.kill()
    assert not command.tree() and layer.where() == "write folder/a (stopped)"


@pytest.mark.slow
def test_twenty_kills_lose_nothing_and_leave_nothing(warm):
    driver = Driver(warm, seed=8, real=0.15)
    driver.go(20)
    assert driver.kills == 20 and driver.finished >= 1 and driver.at_operations >= 8


@pytest.mark.long
def test_two_hundred_kills_lose_nothing_and_leave_nothing(warm):
    driver = Driver(warm, seed=200, real=0.6)
    driver.go(200)
    assert driver.kills == 200

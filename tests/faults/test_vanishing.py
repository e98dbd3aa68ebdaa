"""A file is removed while its run is in training: no curve is wrong, and the same command repairs the run."""

import os
import re
import signal
from pathlib import Path

import pytest

from study.store.runs import status
from tests.faults import whole
from tests.faults.layer import Action, Kind
from tests.faults.warm import Warm
from tests.faults.whole import SMALL, WORDS, Undisturbed
from tests.helpers import long
from tests.launch.command import wait_for


@pytest.fixture
def folder(folder: Path) -> Path:
    return whole.sweep_file(folder, SMALL).parent


LOST = {
    "log": r"/log is missing",
    "snapshot-*": r"/snapshot-\d+-\w+\.pt is missing",
    "probes.parquet": r"/probes\.parquet (has other rows|is missing)",
    "attempts.jsonl": r"/runs\.parquet has other rows",  # where it was trained
}
"""What is lost with a file that was removed by hand: the file itself, and what is collected from it."""

NAMES = ("spec.json", "lease", "heartbeat", "log", "attempts.jsonl", "curves.parquet", "probes.parquet")


def _lost(name: str) -> str:
    """A pattern of the differences that may remain; by default none."""
    return "|".join(LOST.values()) if name == "*" else LOST.get(name, "(?!)")


@pytest.mark.slow
@pytest.mark.parametrize("at", ["/.checkpoint-00000009", long("/.done.json")])
@pytest.mark.parametrize("name", [*NAMES, "checkpoint-*", "snapshot-*", "*"])
def test_a_file_removed_in_mid_run_spoils_no_curve(
    warm: Warm, folder: Path, undisturbed: Undisturbed, name: str, at: str
) -> None:
    warm.layer.arm(Action.STOP, 1, kinds=Kind.OPEN, only=at)
    with warm.started(folder, *WORDS) as fork:
        wait_for(lambda: warm.layer.struck)
        (run,) = whole.runs_of(folder)
        for path in run.folder.glob(name):
            path.unlink()
        os.kill(fork.pid, signal.SIGCONT)
        ended = fork.ended()
    assert ended.code in (0, 1, 2) and "Traceback" not in ended.out + ended.err
    assert all(line.startswith("study: ") for line in ended.err.splitlines())
    assert ended.code == 0 or "study: " in ended.err or "rerun to continue" in ended.out
    if status(run).state == "done":
        assert whole.curves_of(folder) == undisturbed.curves
    again, lost = warm.run(folder, *WORDS), _lost(name)
    if "has no sound checkpoint" in again.err:  # reported, with what to do
        assert name == "checkpoint-*" and again.code == 2 and "--mode force" in again.err
        again, lost = warm.run(folder, *WORDS, "--mode", "force"), r"/attempts\.parquet has other rows"  # trained twice
    assert again.code == 0, again
    assert whole.curves_of(folder) == undisturbed.curves
    found = list(whole.differences(whole.read(folder), undisturbed.whole))
    assert not [line for line in found if not re.search(lost, line)]

"""Wrong clocks: of another host, of this one, and in mid-run."""

from pathlib import Path

import pytest

import study
from study.store.runs import status
from tests.faults import whole
from tests.faults.layer import OTHER_HOST, Layer
from tests.faults.test_two_at_once import ONE, in_training, left_alone, trained_once
from tests.faults.warm import Warm
from tests.helpers import attempts, long
from tests.launch.command import wait_for

HOUR = 3600.0
WORDS = ("sweep", "tiny.yaml", "--executor", "debug", "--checkpoint-seconds", "0.05")


@pytest.fixture
def folder(folder: Path) -> Path:
    return whole.sweep_file(folder, ONE).parent


@pytest.mark.slow
@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize(("theirs", "ours"), [(-1, 0), (0, 1), long(1, 0), long(0, -1)])
def test_two_hosts_whose_clocks_differ_by_an_hour_leave_each_other_alone(
    warm: Warm, layer: Layer, folder: Path, theirs: int, ours: int
) -> None:
    with layer.started(folder, *WORDS, prefix=OTHER_HOST, clock=theirs * HOUR) as first:
        wait_for(lambda: in_training(folder))
        with first.standing_still():
            left_alone(layer.run(folder, *WORDS, clock=ours * HOUR) if ours else warm.run(folder, *WORDS))
        assert first.ended().code == 0
    trained_once(folder, 1)


@pytest.mark.slow
@pytest.mark.parametrize("hours", [-1, long(1)])
def test_a_clock_that_jumps_in_mid_run_changes_no_measured_time(layer: Layer, folder: Path, hours: int) -> None:
    with layer.started(folder, *WORDS) as first:
        wait_for(lambda: in_training(folder))
        layer.state.clock = hours * HOUR
        ended = first.ended()
    layer.state.clock = 0.0
    assert ended.code == 0, ended.err
    trained_once(folder, 1)
    (files,) = whole.runs_of(folder)
    (row,) = attempts(files)
    assert 0.0 < status(files).seal["seconds"] < 600.0  # from a clock that is never set
    assert (row["end"] < row["start"]) == (hours < 0)
    sweep = folder / "results" / "tiny"
    assert study.figure("degradation", study.read_curves(sweep), study.read_runs(sweep)).axes

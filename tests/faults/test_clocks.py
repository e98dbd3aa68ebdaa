"""Clocks that are wrong: of another host, of this one, and in mid-run."""

from __future__ import annotations

from pathlib import Path

import pytest

import study
from study.store.runs import status
from tests.faults import whole
from tests.faults.layer import Layer, until
from tests.faults.test_two_at_once import ONE, OTHER_HOST, in_training, left_alone, namespaces, trained_once
from tests.helpers import attempts, long

__all__ = ["namespaces"]  # a fixture

HOUR = 3600.0
WORDS = ("sweep", "tiny.yaml", "--executor", "debug", "--checkpoint-seconds", "0.05")


@pytest.fixture
def folder(layer: Layer) -> Path:
    whole.sweep_file(layer.root, ONE)
    layer.arm()
    return layer.root


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("hours", [-1, long(1)])
def test_a_host_whose_clock_is_an_hour_off_neither_robs_nor_is_robbed(layer: Layer, folder: Path, hours: int) -> None:
    with layer.started(folder, *WORDS, prefix=OTHER_HOST, clock=hours * HOUR) as first:
        until(lambda: in_training(folder))
        with first.standing_still():
            left_alone(layer.run(folder, *WORDS))  # from a host whose clock is right
        assert first.ended().code == 0
    trained_once(folder, 1)


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("hours", [long(-1), 1])
def test_who_comes_with_a_clock_that_is_an_hour_off_robs_nobody(layer: Layer, folder: Path, hours: int) -> None:
    with layer.started(folder, *WORDS, prefix=OTHER_HOST) as first:
        until(lambda: in_training(folder))
        with first.standing_still():
            left_alone(layer.run(folder, *WORDS, clock=hours * HOUR))
        assert first.ended().code == 0
    trained_once(folder, 1)


@pytest.mark.parametrize("hours", [-1, long(1)])
def test_a_clock_that_jumps_in_mid_run_changes_nothing_that_was_measured(
    layer: Layer, folder: Path, hours: int
) -> None:
    with layer.started(folder, *WORDS) as first:
        until(lambda: in_training(folder))
        layer.state.clock = hours * HOUR
        ended = first.ended()
    layer.state.clock = 0.0
    assert ended.code == 0, ended.err
    trained_once(folder, 1)
    (files,) = whole.runs_of(folder)
    (row,) = attempts(files)
    assert 0.0 < status(files).seal["seconds"] < 600.0  # by a clock that is never set
    assert (row["end"] < row["start"]) == (hours < 0)
    sweep = folder / "results" / "tiny"
    assert study.figure("degradation", study.read_curves(sweep), study.read_runs(sweep)).axes

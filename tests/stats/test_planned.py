"""One row per run, and only one run per experiment: runs that differ in what is kept or measured count once."""

import itertools
import math

import pytest

from study.errors import StudyError
from study.plotting.base.frames import tidy
from study.plotting.tables.errors import final_errors
from study.stats.outcomes import groups
from study.stats.planned import planned
from study.stats.verdict import verdict
from tests.frames import together

from .conftest import degrades, sweep


def kept(frames, every="epoch"):
    """The same runs with snapshots: in older results other ids and points."""
    tail = f"-{every}"
    curves, runs = (frame.assign(snapshot_every=every, run_id=frame["run_id"] + tail) for frame in frames)
    return curves.assign(point_id=curves["point_id"] + tail), runs.assign(point_id=runs["point_id"] + tail)


def bare(frames):
    """The same runs without snapshots."""
    return frames[0].assign(snapshot_every=None), frames[1].assign(snapshot_every=None)


def test_duplicates_count_once_everywhere():
    alone = bare(sweep(degrades))
    both = together(alone, kept(sweep(degrades)), kept(sweep(degrades), "500"))
    assert verdict(*both).table().equals(verdict(*alone).table())
    assert verdict(both[0]).table().equals(verdict(*alone).table())
    assert final_errors(*both).equals(final_errors(*alone))
    ours, theirs = tidy(*both), tidy(*alone)
    assert ours.runs.equals(theirs.runs) and len(ours.curves) == len(theirs.curves)


def test_seeds_with_and_without_snapshots_are_one_point():
    frames = sweep(degrades, seeds=5)
    first, rest = ([f[f["seed"].isin(seeds)] for f in frames] for seeds in ([0], [1, 2, 3, 4]))
    mixed = together(kept((first[0], first[1])), bare((rest[0], rest[1])))
    (group,) = groups(*mixed)
    assert group.plain is not None and list(group.plain.outcomes[56]) == [0, 1, 2, 3, 4]
    assert final_errors(*mixed)["n"].tolist() == [5, 5, 5, 5]


@pytest.mark.parametrize("other", ["running", "pending"])
def test_the_run_that_ended_stays(other):
    unfinished = sweep(degrades, seeds=1, states={("plain", 56, 0): other})
    for both in (together(bare(sweep(degrades, seeds=1)), kept(unfinished)),
                 together(bare(unfinished), kept(sweep(degrades, seeds=1)))):  # fmt: skip
        (group,) = groups(*both)
        assert group.plain is not None and group.plain.outcomes[56][0].state == "done"
        assert group.plain.outcomes[56][0].train == degrades("plain", 56, 0)[0]


def test_of_unfinished_runs_the_one_that_got_furthest_stays():
    slow, fast = (sweep(degrades, seeds=1, states={("plain", 56, 0): state}) for state in ("failed", "running"))
    for both in (together(bare(slow), kept(fast)), together(kept(slow), bare(fast))):
        (group,) = groups(*both)
        assert group.plain is not None and group.plain.outcomes[56][0].state == "running"


def test_how_a_run_ended_does_not_matter():
    wild = sweep(degrades, seeds=1, states={("plain", 56, 0): "diverged"})
    for one, other in itertools.permutations([wild, sweep(degrades, seeds=1)]):
        (group,) = groups(*together(bare(one), kept(other)))  # on another device, say
        assert group.plain is not None and math.isinf(group.plain.outcomes[56][0].train) == (one is wild)


def test_runs_that_differ_in_training_are_no_duplicates():
    frames = together(bare(sweep(degrades, seeds=1)), kept(sweep(degrades, seeds=1, precision="bf16")))
    assert len(planned(*frames)) == 8 and len(groups(*frames)) == 2


def test_frames_that_lack_columns_or_runs_are_refused():
    curves, runs = sweep(degrades, seeds=1)
    with pytest.raises(StudyError, match="the runs frame lacks state; it is what `study collect` writes"):
        planned(curves, runs.drop(columns="state"))
    with pytest.raises(StudyError, match="curves of 1 runs that the runs frame does not list"):
        planned(curves, runs[1:])

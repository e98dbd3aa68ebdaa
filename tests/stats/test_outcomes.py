"""What is compared with what: conditions, lines, what each run came to; one row per run and one run per experiment."""

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


def test_the_last_iteration_counts_and_not_the_best():
    (group,) = groups(*sweep(degrades, seeds=2))
    found = group.plain.outcomes[56][1]
    assert (found.train, found.test) == degrades("plain", 56, 1)
    assert found.gap == found.test - found.train


def test_the_running_error_can_stand_for_the_training_error():
    (group,) = groups(*sweep(degrades, seeds=1), training="train")
    assert group.residuals[0].outcomes[20][0].train == 50.0
    with pytest.raises(StudyError, match="unknown training split 'tran'; did you mean 'train'"):
        groups(*sweep(degrades, seeds=1), training="tran")


def test_divergence_is_a_result_and_absence_is_none():
    states = {("plain", 56, 0): "diverged", ("plain", 56, 1): "failed", ("plain", 56, 2): "running"}
    (group,) = groups(*sweep(degrades, seeds=3, states=states))
    errors = [group.plain.outcomes[56][seed].train for seed in range(3)]
    assert errors[0] == math.inf and all(map(math.isnan, errors[1:]))
    assert group.plain.depths == [20, 56]
    (group,) = groups(*sweep(degrades, seeds=1, states={("plain", 56, 0): "failed"}))
    assert group.plain.depths == [20]


@pytest.mark.parametrize(
    "fields",
    [
        {"dataset": "svhn"},
        {"train_subset": 5000},
        {"recipe.learning_rate": 0.05},
    ],
)
def test_only_what_is_else_equal_is_compared(fields):
    found = groups(*together(sweep(degrades, seeds=1), sweep(degrades, seeds=1, **fields)))
    assert len(found) == 2 and len({group.condition for group in found}) == 2


def test_networks_match_that_differ_in_the_addition_alone():
    frames = together(
        sweep(degrades, seeds=1),
        sweep(degrades, seeds=1, networks=["residual"], shortcut="B"),
        sweep(degrades, seeds=1, **{"family.width": 4}),
        sweep(degrades, seeds=1, networks=["residual"], **{"family.width": 8}),
    )
    assert [names(group) for group in groups(*frames)] == [
        ["plain-20 (×1)", "ResNet-20 (×1 A)", "ResNet-20 (×1 B)"],
        ["plain-20 (×4)", "ResNet-20 (×4 A)"],
        ["ResNet-20 (×8 A)"],
    ]


def test_a_plain_network_matches_residual_ones_of_every_order():
    frames = together(
        sweep(degrades, seeds=1, order="original"),
        sweep(degrades, seeds=1, networks=["residual"], order="pre"),
    )
    (group,) = groups(*frames)
    assert names(group) == ["plain-20", "ResNet-20 (original)", "ResNet-20 (pre)"]


def names(group):
    return [line.name(20) for line in group.lines]


def test_without_the_runs_frame_the_curves_tell():
    curves, runs = sweep(degrades, seeds=2)
    assert [g.plain for g in groups(curves, None)] == [g.plain for g in groups(curves, runs)]


def test_two_runs_that_nothing_tells_apart_are_refused():
    curves, runs = sweep(degrades, seeds=1)
    twins = [frame.assign(run_id=frame["run_id"] + "-again") for frame in (curves, runs)]
    with pytest.raises(StudyError, match="no field of the frame tells the runs"):
        groups(*together((curves, runs), (twins[0], twins[1])))


def test_without_a_curve_there_is_nothing_to_judge():
    curves, runs = sweep(degrades, seeds=2)
    with pytest.raises(StudyError, match="nothing to judge: none of the 8 runs has been evaluated yet"):
        groups(curves[:0], runs)


# -- runs that differ in what is kept or measured count once -----------------------------------------------------------


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
    assert list(group.plain.outcomes[56]) == [0, 1, 2, 3, 4]
    assert final_errors(*mixed)["n"].tolist() == [5, 5, 5, 5]


@pytest.mark.parametrize("other", ["running", "pending"])
def test_the_run_that_ended_stays(other):
    unfinished = sweep(degrades, seeds=1, states={("plain", 56, 0): other})
    for both in (together(bare(sweep(degrades, seeds=1)), kept(unfinished)),
                 together(bare(unfinished), kept(sweep(degrades, seeds=1)))):  # fmt: skip
        (group,) = groups(*both)
        assert group.plain.outcomes[56][0].state == "done"
        assert group.plain.outcomes[56][0].train == degrades("plain", 56, 0)[0]


def test_of_unfinished_runs_the_one_that_got_furthest_stays():
    slow, fast = (sweep(degrades, seeds=1, states={("plain", 56, 0): state}) for state in ("failed", "running"))
    for both in (together(bare(slow), kept(fast)), together(kept(slow), bare(fast))):
        (group,) = groups(*both)
        assert group.plain.outcomes[56][0].state == "running"


def test_how_a_run_ended_does_not_matter():
    wild = sweep(degrades, seeds=1, states={("plain", 56, 0): "diverged"})
    for one, other in itertools.permutations([wild, sweep(degrades, seeds=1)]):
        (group,) = groups(*together(bare(one), kept(other)))  # on another device, say
        assert math.isinf(group.plain.outcomes[56][0].train) == (one is wild)


def test_runs_that_differ_in_training_are_no_duplicates():
    frames = together(bare(sweep(degrades, seeds=1)), kept(sweep(degrades, seeds=1, precision="bf16")))
    assert len(planned(*frames)) == 8 and len(groups(*frames)) == 2


def test_frames_that_lack_columns_or_runs_are_refused():
    curves, runs = sweep(degrades, seeds=1)
    with pytest.raises(StudyError, match="the runs frame lacks state; it is what `study collect` writes"):
        planned(curves, runs.drop(columns="state"))
    with pytest.raises(StudyError, match="curves of 1 runs that the runs frame does not list"):
        planned(curves, runs[1:])

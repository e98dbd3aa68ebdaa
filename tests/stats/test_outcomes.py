"""What is compared with what: conditions, lines, and what each run came to."""

import math

import pytest

from study.errors import StudyError
from study.stats.outcomes import groups
from tests.frames import together

from .conftest import degrades, sweep


def test_the_last_iteration_counts_and_not_the_best():
    (group,) = groups(*sweep(degrades, seeds=2))
    assert group.plain is not None
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
    assert group.plain is not None
    errors = [group.plain.outcomes[56][seed].train for seed in range(3)]
    assert errors[0] == math.inf and all(map(math.isnan, errors[1:]))
    assert group.plain.depths == [20, 56]
    (group,) = groups(*sweep(degrades, seeds=1, states={("plain", 56, 0): "failed"}))
    assert group.plain is not None and group.plain.depths == [20]


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

"""Runs that differ in what is kept of them alone are one experiment, and count once."""

from __future__ import annotations

import itertools
import math

import pandas as pd
import pytest

from study.config.differences import TRAINED
from study.plotting.base.frames import tidy
from study.plotting.tables.errors import final_errors
from study.stats.outcomes import groups
from study.stats.verdict import verdict

from .conftest import Frames, degrades, nothing, sweep
from .test_outcomes import together


def kept(frames: Frames, every: str | None = "epoch") -> Frames:
    """The same runs with snapshots: other ids, other points."""
    tail = f"-{every}"
    curves, runs = (frame.assign(snapshot_every=every, run_id=frame["run_id"] + tail) for frame in frames)
    return curves.assign(point_id=curves["point_id"] + tail), runs.assign(point_id=runs["point_id"] + tail)


def bare(frames: Frames) -> Frames:
    """The same runs, which say that they have none."""
    return frames[0].assign(snapshot_every=None), frames[1].assign(snapshot_every=None)


def test_what_is_kept_separates_no_conditions() -> None:
    assert "snapshot_every" not in TRAINED and "probes" in TRAINED
    plain, residual = sweep(degrades, networks=["plain"]), sweep(degrades, networks=["residual"])
    (group,) = groups(*together(bare(plain), kept(residual)))
    assert group.plain is not None and len(group.residuals) == 1


def test_twins_count_once_in_verdicts_tables_and_figures() -> None:
    alone = bare(sweep(degrades))
    both = together(alone, kept(sweep(degrades)), kept(sweep(degrades), "500"))
    assert verdict(*both).table().equals(verdict(*alone).table())
    assert verdict(both[0]).table().equals(verdict(*alone).table())
    assert final_errors(*both).equals(final_errors(*alone))
    ours, theirs = tidy(*both), tidy(*alone)
    assert ours.runs.equals(theirs.runs) and len(ours.curves) == len(theirs.curves)


def test_seeds_of_which_some_were_kept_are_seeds_of_one_point() -> None:
    frames = sweep(degrades, seeds=5)
    first, rest = ([f[f["seed"].isin(seeds)] for f in frames] for seeds in ([0], [1, 2, 3, 4]))
    mixed = together(kept((first[0], first[1])), bare((rest[0], rest[1])))
    (group,) = groups(*mixed)
    assert group.plain is not None and list(group.plain.outcomes[56]) == [0, 1, 2, 3, 4]
    assert set(tidy(*mixed).runs["label"]) == {"20", "56"}
    assert final_errors(*mixed)["n"].tolist() == [5, 5, 5, 5]


@pytest.mark.parametrize("other", ["running", "failed", "pending"])
@pytest.mark.parametrize("turned", [False, True])
def test_the_one_that_has_ended_stays(other: str, turned: bool) -> None:
    states = {("plain", 56, 0): other}
    pair = [sweep(degrades, seeds=1), sweep(degrades, seeds=1, states=states)]
    done, not_done = (1, 0) if turned else (0, 1)
    both = together(bare(pair[done]), kept(pair[not_done]))
    (group,) = groups(*both)
    assert group.plain is not None
    found = group.plain.outcomes[56][0]
    assert found.state == "done" and found.run_id.endswith("-epoch") == turned
    assert found.train == degrades("plain", 56, 0)[0]
    assert not tidy(*both).notes


def test_of_several_under_way_the_one_that_got_furthest_stays() -> None:
    slow, fast = (sweep(degrades, seeds=1, states={("plain", 56, 0): state}) for state in ("failed", "running"))
    for both in (together(bare(slow), kept(fast)), together(kept(slow), bare(fast))):
        (group,) = groups(*both)
        assert group.plain is not None and group.plain.outcomes[56][0].state == "running"


def test_how_a_twin_ended_has_no_say() -> None:
    wild = sweep(degrades, seeds=1, states={("plain", 56, 0): "diverged"})
    for one, other in itertools.permutations([wild, sweep(degrades, seeds=1)]):
        (group,) = groups(*together(bare(one), kept(other)))  # on another device, say
        assert group.plain is not None
        found = group.plain.outcomes[56][0]
        assert (found.state == "diverged") == (one is wild) and math.isinf(found.train) == (one is wild)


def test_runs_that_differ_in_more_are_no_twins() -> None:
    frames = together(bare(sweep(degrades, seeds=1)), kept(sweep(nothing, seeds=1, precision="bf16")))
    assert len(groups(*frames)) == 2
    frames = together(bare(sweep(degrades, seeds=1)), kept(sweep(nothing, seeds=1, **{"recipe.learning_rate": 0.05})))
    assert len(groups(*frames)) == 2
    frames = together(bare(sweep(degrades, seeds=1)), kept(sweep(degrades, seeds=1, width=4)))
    (names,) = {tuple(pd.unique(tidy(*frames).runs["label"]))}
    assert names == ("20 ×1", "20 ×4", "56 ×1", "56 ×4")

"""Two components against each other, by numbers known beforehand."""

import json

import numpy as np
import pandas as pd
import pytest

import study
from study.errors import StudyError
from study.stats.pairing import compare, render
from tests.helpers import RESULTS

SHIFTS = {
    ("plain", 56): np.array([4.0, 5.0, 6.0, 4.5, 5.5, 5.0]),
    ("residual", 56): np.array([1.0, 2.0, 1.5, 1.0, 2.5, 1.2]),
}


@pytest.fixture(scope="module")
def frames():
    """The quickstart with a sixth seed, and once more with another block whose deep networks are worse by known amounts."""
    curves, runs = (read(RESULTS / "quickstart") for read in (study.read_curves, study.read_runs))

    def as_seed(frame, seed):
        copy = frame[frame["seed"] == 0].assign(seed=seed)
        return copy.assign(run_id=copy["run_id"] + "-more")

    curves, runs = (pd.concat([f, as_seed(f, 5)], ignore_index=True) for f in (curves, runs))
    other, more = curves.assign(block="ghost", run_id=curves["run_id"] + "g"), runs.assign(block="ghost")
    for (network, depth), shifts in SHIFTS.items():
        for seed, shift in enumerate(shifts):
            here = (other["network"] == network) & (other["depth"] == depth) & (other["seed"] == seed)
            other.loc[here, "error"] += shift
    more = more.assign(run_id=more["run_id"] + "g", point_id=more["point_id"] + "g")
    other["point_id"] += "g"
    return pd.concat([curves, other], ignore_index=True), pd.concat([runs, more], ignore_index=True)


def test_differences_are_paired_by_seed(frames):
    found = {
        (one.question.split()[0], one.found.name.split("-")[0]): one for one in compare(*frames, "block=ghost,basic")
    }
    plain, residual = SHIFTS["plain", 56], SHIFTS["residual", 56]
    ends = found["Do", "plain"].found
    np.testing.assert_allclose(ends.differences, plain)
    assert ends.sides == 2 and ends.p == pytest.approx(2 / 64) and found["Do", "plain"].answer == "Yes, ghost is worse"
    relief = next(one for one in found.values() if "relieve" in one.question)
    np.testing.assert_allclose(relief.found.differences, plain - residual)
    assert relief.answer == "Yes, ghost"
    rise = next(one for one in found.values() if "Does depth" in one.question and "residual" in one.question)
    np.testing.assert_allclose(rise.found.differences, residual)


def test_networks_that_differ_in_how_they_were_trained_have_different_names(frames):
    trained = [
        f.assign(precision=f["block"].replace({"basic": "fp32", "ghost": "bf16"}), block="basic") for f in frames
    ]
    names = {one.found.name for one in compare(*trained, "precision=fp32,bf16")}
    assert "plain-56 (fp32) − plain-56 (bf16)" in names


def test_the_other_way_round_the_signs_change(frames):
    one, other = compare(*frames, "block=ghost,basic"), compare(*frames, "block=basic,ghost")
    assert [a.found.mean for a in one] == pytest.approx([-b.found.mean for b in other])
    assert {a.answer for a in one} == {b.answer for b in other}


def test_texts_fit_80_columns_and_json_has_all_numbers(frames):
    found = compare(*frames, "block=ghost,basic")
    text = render(found)
    assert max(map(len, text.splitlines())) <= 80 and "p = 0.031" in text and "**" in render(found, "md")
    assert len(json.loads(render(found, "json"))) == len(found) == 5


@pytest.mark.parametrize("pair, message", [
    ("block", "write it as field=one,other"), ("block=basic,gost", "no network has block gost; did you mean 'ghost'"),
    ("blok=a,b", "unknown field 'blok'; did you mean 'block'"), ("network=plain,residual", "without it"),
])  # fmt: skip
def test_what_cannot_be_compared_is_said(frames, pair, message):
    with pytest.raises(StudyError, match=message):
        compare(*frames, pair)

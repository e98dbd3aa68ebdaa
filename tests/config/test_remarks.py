"""Settings without effect are reported, field by field; the ready sweeps and recipes have none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from study.config.recipes import names
from study.config.remarks import remarks
from study.config.sweep import load
from tests.config.test_recipes import spec_of
from tests.helpers import make_spec

SWEEPS = sorted((Path(__file__).parents[2] / "sweeps").glob("*.yaml"))
NEVER = "learning_rate 0.02: never reached"


def warm(iterations, **options):
    return {"recipe__warmup": {"name": "iterations", "iterations": iterations, **options}}


@pytest.mark.parametrize("fields, said", [
    ({"recipe__schedule__at": [100, 200]}, ["milestones 200: no effect, since the run ends at 200"]),
    ({"recipe__schedule__at": [100, 199]}, []),
    (warm(50), []),
    (warm(400), [f"{NEVER}, since the warm-up lasts at least 400 iterations"]),
    (warm(150), [NEVER]),  # the first milestone
    (warm(149), []),
    (warm(400, from_depth=20), []),
    ({"recipe__warmup": "error", "recipe__log_every": 10}, []),
    ({"recipe__warmup": "error", "recipe__log_every": 200}, [NEVER]),
    ({"recipe__evaluate_every": 201}, ["evaluate_every 201: longer than the run, which has 200 iterations"]),
    ({"recipe__log_every": 201}, ["log_every 201"]),
    ({"recipe__optimizer": {"nesterov": True, "momentum": 0.0}}, ["optimizer sgd: nesterov has no effect"]),
    ({"train_subset_seed": 3}, ["train_subset_seed 3: no effect without train_subset"]),
    ({"shortcut": {"name": "scaled", "scale": 1.0}}, ["shortcut scaled: the same as A"]),
], ids=str)  # fmt: skip
def test_a_setting_without_effect_is_reported(fields, said):
    found = remarks(make_spec(**fields))
    assert len(found) == len(said), found
    assert all(map(re.match, said, found)), found


def test_ready_sweeps_and_recipes_have_no_remarks():
    specs = [*map(spec_of, names()), *(spec for file in SWEEPS for spec in load(file).runs.values())]
    assert {line for spec in specs for line in remarks(spec)} == set()

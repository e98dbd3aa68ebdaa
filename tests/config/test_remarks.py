"""What a spec sets to no effect is said, field by field; and nothing is said of the ready sweeps."""

import re
from pathlib import Path

import pytest

from study.config.remarks import remarks
from study.config.sweep import load
from study.training.schedule import Schedule
from tests.helpers import make_spec

SWEEPS = sorted((Path(__file__).parents[2] / "sweeps").glob("*.yaml"))
PLATEAU = {"schedule": "plateau", "evaluate_every": 10, "log_every": 5}
WARM = {"warmup": {"name": "iterations", "iterations": 50}}
NEVER = "learning_rate 0.02: never reached"

OF_RECIPES = [
    ({"schedule": {"at": [100, 200]}, "iterations": 20}, ["milestones 100, 200: no effect", "evaluate_every 25"]),
    ({"schedule": {"at": [100, 200]}}, ["milestones 200: no effect, since the run ends at 200"]),
    ({"schedule": {"at": [100, 199]}}, []),
    ({"schedule": {"at": []}}, []),
    (PLATEAU, []),
    (PLATEAU | {"iterations": 60}, ["schedule plateau: no drop"]),  # the first evaluation, and five more
    (PLATEAU | {"iterations": 61}, []),
    (PLATEAU | WARM | {"iterations": 110}, ["schedule plateau: no drop"]),
    (PLATEAU | WARM | {"iterations": 111}, []),
    (WARM, []),
    ({"warmup": "iterations"}, [f"{NEVER}, since the warm-up lasts 400 iterations"]),
    ({"warmup": {"name": "iterations", "from_depth": 20}}, []),
    ({"warmup": "error", "log_every": 10}, []),
    ({"evaluate_every": 201}, ["evaluate_every 201: only at the end, since the run has 200 iterations"]),
    ({"log_every": 201}, ["log_every 201: only at the end"]),
    ({"evaluate_every": 200, "log_every": 200}, []),
    ({"optimizer": {"nesterov": True, "momentum": 0.0}}, ["optimizer sgd: nesterov has no effect, since momentum is 0"]),
]  # fmt: skip
OF_RUNS = [
    ({"snapshot_every": 201}, ["snapshot_every 201: only at the end"]),
    ({"train_subset_seed": 3}, ["train_subset_seed 3: no effect, since there is no train_subset"]),
    ({"shortcut": {"name": "scaled", "scale": 1.0}}, ["shortcut scaled: the same as A"]),
    ({"shortcut": {"name": "scaled", "scale": 1.0, "branch": 0.5}}, []),
]  # fmt: skip
CASES = [*(({f"recipe__{k}": v for k, v in fields.items()}, said) for fields, said in OF_RECIPES), *OF_RUNS]


@pytest.mark.parametrize("fields, said", CASES, ids=str)
def test_fields_without_effect_are_remarked(fields, said):
    found = remarks(make_spec(**fields))
    assert len(found) == len(said), found
    for line, expected in zip(found, said, strict=True):
        assert re.match(expected, line), (line, expected)


@pytest.mark.parametrize("fields", [fields for fields, _ in OF_RECIPES if fields.get("schedule") == "plateau"], ids=str)
def test_remarks_on_plateaus_match_the_schedule(fields):
    """With an error that never falls, drops come as early as they can."""
    spec = make_spec(**{f"recipe__{k}": v for k, v in fields.items()})
    schedule, rates = Schedule(spec), []
    for iteration in range(spec.recipe.iterations):
        rates.append(schedule.rate(iteration))
        if (iteration + 1) % spec.recipe.evaluate_every == 0:
            schedule.observe_evaluation(iteration + 1, 90.0)
    drops = len({rate for rate in rates if rate < 0.01})
    assert (drops == 0) == any(line.startswith("schedule plateau") for line in remarks(spec))


@pytest.mark.parametrize("file", SWEEPS, ids=lambda file: file.stem)
def test_ready_sweeps_have_no_remarks(file):
    assert {line for spec in load(file).runs.values() for line in remarks(spec)} == set()

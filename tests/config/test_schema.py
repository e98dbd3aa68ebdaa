"""The JSON schema says the same as the reader of sweep files; what a spec sets to no effect is said; ready sweeps pass."""

import json
import re
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from study.config import sweep
from study.config.remarks import remarks
from study.config.schema import sweep_schema
from study.config.stored import settable
from study.config.sweep import load
from study.errors import StudyError
from study.training.schedule import Schedule
from tests.helpers import make_spec

SWEEPS = sorted((Path(__file__).parents[2] / "sweeps").glob("*.yaml"))
FIXED = {"network": "residual", "depth": 8, "data": "digits", "recipe": "quick"}
GOOD = {"name": "good", "fixed": FIXED, "grid": {"seed": [0, 1]}}
SURFACE = {"points": 5, "of": {"seed": 0}}


@pytest.fixture(scope="module")
def schema():
    return sweep_schema()


@pytest.fixture(scope="module")
def validator(schema):
    return Draft202012Validator(schema)


def test_schema_is_valid_and_complete(schema):
    Draft202012Validator.check_schema(schema)
    assert json.loads(json.dumps(schema)) == schema
    for part in ("fixed", "grid", "zip"):
        assert set(schema["properties"][part]["properties"]) == set(settable())


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_schema_accepts_every_ready_sweep(validator, path):
    validator.validate(yaml.safe_load(path.read_text()))
    assert sweep.load(path).runs


@pytest.mark.parametrize("change", [
    {"blocks": [{"grid": {"depth": [20, 56]}}, {"zip": {"depth": [18], "family": ["imagenet"]}}], "grid": None},
    {"fixed": FIXED | {"recipe": {"name": "quick", "iterations": 5, "schedule": {"at": [3]}}}},
    {"fixed": FIXED | {"recipe.schedule.at": [10, 20], "recipe.learning_rate": 1, "shortcut": {"name": "scaled", "scale": 0}}},
    {"fixed": FIXED | {"data": {"name": "image_folder", "folder": "cifar10-jpeg", "image_size": 32}}},
    {"fixed": FIXED | {"probes": ["weights", "paths"], "snapshot_every": "epoch"}, "figures": ["degradation"]},
    {"grid": {"shortcut": ["A", {"name": "scaled"}], "snapshot_every": [5], "seed": [0], "recipe": [{"name": "quick"}]}},
    {"surfaces": [SURFACE, {"points": [5, 3], "range": [[0, 1], [-1, 1]], "planes": 2}, {"plane": "pca", "range": 1}]},
    {"surfaces": [{"plane": "interpolate", "to": [{"seed": 1}], "of": {"seed": 0}, "range": [0, 1]}]},
], ids=str)  # fmt: skip
def test_schema_accepts_valid_files(validator, change, tmp_path):
    text = {key: value for key, value in (GOOD | change).items() if value is not None}
    validator.validate(text)
    path = tmp_path / "good.yaml"
    path.write_text(yaml.safe_dump(text))
    if "seed" in str(text):
        assert sweep.load(path, ["seed=0,1"]).runs


@pytest.mark.parametrize("change", [
    {"grids": {"seed": [0]}}, {"blocks": []}, {"blocks": [{"fixd": {}}]}, {"figures": ["degredation"]}, {"name": 3},
    {"grid": {"seed": []}}, {"grid": {}}, {"grid": {"seed": 0}},
    *({"fixed": FIXED | fields} for fields in (
        {"layers": 3}, {"depth": "8"}, {"family.width": True}, {"network": "resnet"}, {"data": "mnist"}, {"recipe": "quik"},
        {"recipe": {"name": "quick", "iteration": 5}}, {"recipe.learning_rate": 0}, {"data.folder": "a/b"}, {"shortcut": "D"},
        {"shortcut": {"name": "scaled", "scal": 1}}, {"snapshot_every": 0}, {"snapshot_every": "epochs"},
        {"snapshot_every": True}, {"probes": "wieghts"}, {"probes": ["weights"] * 2}, {"probes": 3},
    )),
    *({"surfaces": [SURFACE | fields]} for fields in (
        {"pints": 5}, {"bn": "frozn"}, {"points": "many"}, {"planes": 0}, {"of": {}}, {"number": 1}, {"run": "x"},
    )),
], ids=str)  # fmt: skip
def test_schema_refuses_invalid_files(validator, change, tmp_path):
    assert not validator.is_valid(GOOD | change)
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(GOOD | change))
    with pytest.raises(StudyError):
        sweep.load(path)


# -- remarks -----------------------------------------------------------------------------------------------------------

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

"""The JSON schema of a sweep file says the same as the reader of sweep files."""

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from study.config import sweep
from study.config.schema import sweep_schema
from study.config.stored import settable
from study.errors import StudyError

SWEEPS = sorted((Path(__file__).parents[2] / "sweeps").glob("*.yaml"))
FIXED = {"network": "residual", "depth": 8, "data": "digits", "recipe": "quick"}
GOOD = {"name": "good", "fixed": FIXED, "grid": {"seed": [0, 1]}}
SURFACE = {"points": 5, "of": {"seed": 0}}


@pytest.fixture(scope="module")
def validator():
    return Draft202012Validator(sweep_schema())


def test_schema_is_valid_and_complete():
    schema = sweep_schema()
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

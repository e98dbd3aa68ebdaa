"""The JSON schema of a sweep file says the same as the reader of sweep files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from study.config import sweep
from study.config.recipe import Recipe
from study.config.run import RunSpec
from study.config.schema import sweep_schema
from study.errors import StudyError

SWEEPS = sorted((Path(__file__).parents[2] / "sweeps").glob("*.yaml"))
FIXED = {"network": "plain", "depth": 8, "data": "digits", "recipe": "quick"}
GOOD = {"name": "good", "fixed": FIXED, "grid": {"seed": [0, 1]}}


@pytest.fixture(scope="module")
def validator():
    return Draft202012Validator(sweep_schema())


def test_it_is_a_valid_schema_and_plain_json():
    Draft202012Validator.check_schema(sweep_schema())
    assert json.loads(json.dumps(sweep_schema())) == sweep_schema()


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_it_accepts_every_ready_sweep(validator, path):
    validator.validate(yaml.safe_load(path.read_text()))
    assert sweep.load(path).runs


def test_it_knows_every_field():
    block = sweep_schema()["properties"]
    fields = set(RunSpec.model_fields) | {f"recipe.{field}" for field in Recipe.model_fields if field != "name"}
    assert set(block["fixed"]["properties"]) == set(block["grid"]["properties"]) == set(block["zip"]["properties"])
    assert set(block["fixed"]["properties"]) == fields == set(sweep.FIELDS)
    mapping = block["fixed"]["properties"]["recipe"]["anyOf"][1]
    assert set(mapping["properties"]) == set(Recipe.model_fields)


@pytest.mark.parametrize(
    "change",
    [
        {"blocks": [{"grid": {"depth": [20, 56]}}, {"zip": {"depth": [18], "family": ["imagenet"]}}]},
        {"fixed": FIXED | {"recipe": {"name": "quick", "iterations": 5}}},
        {"fixed": FIXED | {"recipe.milestones": [10, 20], "recipe.learning_rate": 1}},
        {"fixed": FIXED | {"data": "image_folder", "folder": "cifar10-jpeg", "image_size": 32}},
        {"figures": ["degradation"]},
    ],
)
def test_it_accepts_what_may_be_said(validator, change):
    validator.validate(GOOD | change)


@pytest.mark.parametrize(
    "change",
    [
        {"grids": {"seed": [0]}},
        {"fixed": FIXED | {"layers": 3}},
        {"fixed": FIXED | {"depth": "8"}},
        {"fixed": FIXED | {"width": True}},
        {"fixed": FIXED | {"network": "resnet"}},
        {"fixed": FIXED | {"data": "mnist"}},
        {"fixed": FIXED | {"recipe": "quik"}},
        {"fixed": FIXED | {"recipe": {"name": "quick", "iteration": 5}}},
        {"fixed": FIXED | {"recipe.learning_rate": 0}},
        {"fixed": FIXED | {"folder": "a/b"}},
        {"grid": {"seed": []}},
        {"grid": {}},
        {"grid": {"seed": 0}},
        {"grid": {"recipe": [{"name": "quick"}]}},
        {"blocks": []},
        {"blocks": [{"fixd": {}}]},
        {"figures": ["degredation"]},
        {"name": 3},
    ],
    ids=str,
)
def test_it_refuses_what_the_reader_refuses(validator, change, tmp_path):
    assert not validator.is_valid(GOOD | change)
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(GOOD | change))
    with pytest.raises(StudyError):
        sweep.load(path)

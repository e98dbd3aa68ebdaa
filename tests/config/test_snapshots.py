"""`snapshot_every` in a spec: a number of iterations, `epoch`, or nothing."""

from __future__ import annotations

import pytest
import yaml
from jsonschema import Draft202012Validator

from study.config.schema import sweep_schema
from study.errors import StudyError

FIXED = "fixed: {data: digits, recipe: quick, network: plain, depth: 8, seed: 0}\n"


def every(sweep):
    return [spec.snapshot_every for spec in sweep.runs.values()]


def test_in_a_file_as_an_axis_and_on_the_command_line(load):
    assert every(load(FIXED)) == [None]
    assert every(load(FIXED.replace("seed: 0", "seed: 0, snapshot_every: epoch"))) == ["epoch"]
    assert every(load(FIXED + "grid: {snapshot_every: [null, epoch, 500]}\n")) == [None, "epoch", 500]
    assert every(load(FIXED, "snapshot_every=epoch")) == ["epoch"]
    assert every(load(FIXED, "snapshot_every=500")) == [500]
    assert every(load(FIXED.replace("seed: 0", "seed: 0, snapshot_every: epoch"), "snapshot_every=null")) == [None]


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "1.0", "true", "epochs", "Epoch", "'5'", "[5]", "''"])
def test_a_mistake_is_one_line_with_its_place(load, text):
    with pytest.raises(StudyError) as caught:
        load(f"{FIXED}blocks: [{{fixed: {{snapshot_every: {text}}}}}]\n")
    shown = repr(yaml.safe_load(text))
    message = f"snapshot_every: must be 'epoch' or a number of iterations from 1 on, not {shown}"
    assert str(caught.value).endswith(f"mine.yaml:2: {message}") and len(str(caught.value).splitlines()) == 1
    with pytest.raises(StudyError, match="override 'snapshot_every=0': snapshot_every: must be 'epoch' or a number"):
        load(FIXED, "snapshot_every=0")


@pytest.mark.parametrize(
    "value, sound",
    [("epoch", True), (1, True), (500, True), (None, True), (0, False), (-1, False), ("epochs", False), (True, False)],
)
def test_the_json_schema_says_the_same(value, sound):
    validator = Draft202012Validator(sweep_schema())
    fixed = yaml.safe_load(FIXED)["fixed"]
    assert validator.is_valid({"fixed": fixed | {"snapshot_every": value}}) == sound
    assert validator.is_valid({"fixed": fixed, "grid": {"snapshot_every": [value, "epoch"]}}) == sound

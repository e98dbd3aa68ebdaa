"""Probes in a spec: one form for each set of them, part of what a run is, and nothing where there are none."""

from __future__ import annotations

import pytest
import yaml
from jsonschema import Draft202012Validator

from study.config.identity import canonical_json, run_id
from study.config.run import RunSpec
from study.config.schema import sweep_schema
from study.errors import StudyError
from tests.helpers import make_spec

FIXED = "fixed: {data: digits, recipe: quick, network: plain, depth: 8, seed: 0}\n"


def probes(sweep):
    return [spec.probes for spec in sweep.runs.values()]


def test_a_run_without_probes_says_so_and_keeps_its_id():
    spec = make_spec()
    assert (spec.probes, spec.probe_every, spec.probe_images) == ((), None, None)
    assert "probe" not in canonical_json(spec)
    assert run_id(make_spec(probes=[])) == run_id(spec) == "residual-8-digits-s0-26e7d70ee050"


def test_the_defaults_of_a_run_with_probes_are_in_its_spec():
    spec = make_spec(probes="responses", recipe__evaluate_every=7)
    assert (spec.probes, spec.probe_every, spec.probe_images) == (("responses",), 7, 1024)
    assert RunSpec.model_validate(spec.model_dump(mode="json")) == spec
    aloud = make_spec(probes=["responses"], probe_every=7, probe_images=1024, recipe__evaluate_every=7)
    assert run_id(aloud) == run_id(spec)


def test_what_is_measured_is_part_of_what_a_run_is():
    ids = [
        run_id(make_spec(**fields))
        for fields in (
            {}, {"probes": "responses"}, {"probes": "weights"}, {"probes": ["responses", "weights"]},
            {"probes": "responses", "probe_every": 3}, {"probes": "responses", "probe_images": 3},
        )
    ]  # fmt: skip
    assert len(set(ids)) == 6
    # Pinned: the order in which a set of probes is written must never change.
    both = [make_spec(probes=names) for names in (["weights", "gradients"], ["gradients", "weights"])]
    assert {run_id(spec) for spec in both} == {"residual-8-digits-s0-50df963386e0"}


def test_a_list_is_one_value_and_an_axis_is_a_list_of_them(load):
    assert probes(load(FIXED, "probes=weights,responses")) == [("responses", "weights")]
    assert probes(load(FIXED, "probes=[weights]")) == probes(load(FIXED, "probes=weights")) == [("weights",)]
    assert probes(load(FIXED.replace("seed: 0", "seed: 0, probes: [weights, responses]"))) == [("responses", "weights")]
    text = FIXED + "grid: {probes: [[], weights, [gradients, weights]]}\n"
    assert probes(load(text)) == [(), ("weights",), ("gradients", "weights")]
    assert probes(load(FIXED.replace("seed: 0", "seed: 0, probes: weights"), "probes=[]")) == [()]


BAD = {
    "probes: [respones]": "mine.yaml:2: probes: no probe 'respones'; did you mean 'responses'?",
    "probes: [weights, weights]": "mine.yaml:2: probes: 'weights' is named twice",
    "probes: 3": "mine.yaml:2: probes: must be names of responses, gradients,",
    "probes: [3]": "mine.yaml:2: probes: must be names of responses, gradients,",
    "probe_every: 5": "mine.yaml:2: probe_every: goes with probes, and there are none",
    "probe_images: 5": "mine.yaml:2: probe_images: goes with probes, and there are none",
    "probes: weights, probe_every: 0": "mine.yaml:2: probe_every: must be greater than or equal to 1, not 0",
}


@pytest.mark.parametrize("text", BAD)
def test_a_mistake_is_one_line_with_its_place(load, text):
    with pytest.raises(StudyError) as caught:
        load(f"{FIXED}blocks: [{{fixed: {{{text}}}}}]\n")
    assert BAD[text] in str(caught.value) and len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "value, sound",
    [
        ("weights", True),
        (["weights", "responses"], True),
        ([], True),
        ("wieghts", False),
        (["weights"] * 2, False),
        (3, False),
    ],
)
def test_the_json_schema_knows_a_name_and_a_list(value, sound):
    validator = Draft202012Validator(sweep_schema())
    fixed = yaml.safe_load(FIXED)["fixed"]
    assert validator.is_valid({"fixed": fixed | {"probes": value, "probe_every": 5}}) == sound
    assert validator.is_valid({"fixed": fixed, "grid": {"probes": [value, "gradients"]}}) == sound

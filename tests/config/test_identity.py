"""Identity: literal ids that no change of the code may change, and what an id depends on."""

import pytest

from study.config.identity import canonical_json, point_id, run_id, trained
from study.config.run import RunSpec
from tests.helpers import make_spec

PAPER = {"network": "plain", "depth": 56, "data": "cifar10", "recipe": "he2015_cifar", "seed": 0}
STREAM = {"data": {"name": "image_stream", "folder": "imagenet"}, "recipe": "he2015_imagenet"}

GOLDEN = [
    ({},
     "plain-56-cifar10-s0-eacbbb5b4c7a", "plain-56-cifar10-2b3aae767b0c"),
    ({"network": "residual", "depth": 110, "recipe": "he2016_cifar", "seed": 4},
     "residual-110-cifar10-s4-d0a0a14e3abd", "residual-110-cifar10-ddf188e2034b"),
    ({"depth": 20, "recipe": "li2018_cifar", "recipe__learning_rate": 0.01},
     "plain-20-cifar10-s0-2672248dfc2b", "plain-20-cifar10-10c30ad2356f"),
    ({"network": "residual", "depth": 8, "data": "digits", "recipe": "quick"},
     "residual-8-digits-s0-295ce76ae9f0", "residual-8-digits-9a0ef6c578d7"),
    ({"data": {"name": "image_folder", "folder": "cifar10-jpeg"}, "depth": 20},
     "plain-20-cifar10-jpeg-s0-c80422b47f09", "plain-20-cifar10-jpeg-4d99861a3b5c"),
    ({"network": "residual", "family": {"name": "imagenet", "stem": "cifar"}, "depth": 18},
     "residual-18-cifar10-s0-6bc685eddda1", "residual-18-cifar10-454b6948de62"),
    ({"family": "imagenet", "depth": 34, **STREAM},
     "plain-34-imagenet-s0-be6155ec65d6", "plain-34-imagenet-49159d0f6cec"),
    ({"precision": "bf16", "train_subset": 5000, "family__width": 4},
     "plain-56-cifar10-s0-959990a3cc17", "plain-56-cifar10-406492a1f1c6"),
    ({"network": "residual", "shortcut": {"name": "exclusive_gate", "bias": -5.0}},
     "residual-56-cifar10-s0-4f2c11cb440d", "residual-56-cifar10-f29666e8ad03"),
]  # fmt: skip

CANONICAL = (
    '{"run":{"activation":{"name":"relu"},"block":{"name":"basic"},"data":{"name":"cifar10"},"depth":56,"family":{"'
    'name":"cifar","width":1},"initialisation":{"name":"he_fan_in"},"network":"plain","norm":{"name":"batch"},"orde'
    'r":{"name":"original"},"precision":"fp32","recipe":{"batch_size":128,"bn_groups":2,"colour":"none","decay":"al'
    'l","evaluate_every":1000,"flip":true,"iterations":64000,"learning_rate":0.1,"log_every":100,"mean":"pixel","na'
    'me":"he2015_cifar","optimizer":{"momentum":0.9,"name":"sgd"},"pad":4,"schedule":{"at":[32000,48000],"gamma":0.'
    '1,"name":"milestones"},"warmup":{"below":80.0,"from_depth":110,"name":"error","rate":0.01},"weight_decay":0.00'
    '01},"seed":0,"train_subset_seed":0},"schema":2}'
)


@pytest.mark.parametrize("fields, run, point", GOLDEN)
def test_golden_ids(fields, run, point):
    spec = make_spec(**PAPER | fields)
    assert (run_id(spec), point_id(spec)) == (run, point)
    assert run_id(spec.model_dump(mode="json")) == run
    assert run_id(RunSpec.model_validate_json(spec.model_dump_json())) == run


def test_golden_canonical_json():
    assert canonical_json("run", trained(make_spec(**PAPER))) == CANONICAL


@pytest.mark.parametrize("fields", [
    {"network": "residual"}, {"depth": 20}, {"family__width": 2}, {"data": "cifar100"}, {"train_subset": 5000},
    {"train_subset_seed": 1}, {"precision": "tf32"}, {"seed": 1}, {"recipe": "he2016_cifar"}, {"recipe__learning_rate": 0.2},
    {"recipe__schedule__at": [32000]}, {"recipe__log_every": 50}, {"recipe__optimizer__nesterov": True},
    {"recipe__mean": "channel"}, {"initialisation": "glorot"}, {"recipe__warmup": "none"},
], ids=str)  # fmt: skip
def test_any_trained_field_changes_the_id(fields):
    assert run_id(make_spec(**PAPER | fields)) != run_id(make_spec(**PAPER))


@pytest.mark.parametrize("fields", [
    {"probes": "weights"}, {"probes": "weights", "probe_every": 3, "probe_images": 8}, {"snapshot_every": "epoch"},
    {"family": "cifar", "family__width": 1, "precision": "fp32", "train_subset_seed": 0, "norm": {"name": "batch"}},
    {"recipe__optimizer": {"momentum": 0.9}, "recipe__schedule": "milestones"}, {"recipe__weight_decay": 1.0e-4},
    {"shortcut": "B", "order": "pre"},
], ids=str)  # fmt: skip
def test_fields_without_effect_on_training_change_no_id(fields):
    assert run_id(make_spec(**PAPER | fields)) == run_id(make_spec(**PAPER))


def test_ids_ignore_number_formats_and_key_order():
    assert run_id(make_spec(recipe__learning_rate=1)) == run_id(make_spec(recipe__learning_rate=1.0))
    assert run_id(make_spec(recipe__weight_decay=-0.0)) == run_id(make_spec(recipe__weight_decay=0))
    fields = make_spec(**PAPER).model_dump(mode="json")
    assert run_id(dict(reversed(fields.items()))) == run_id(make_spec(**PAPER))

"""Identity: literal ids that no change of the code may change, what an id depends on; specs as they are stored."""

import pytest

import study
from study.config.fields import flat
from study.config.identity import canonical_json, point_id, run_id, trained
from study.config.run import RunSpec
from study.config.stored import columns, nested, recorded, upgraded
from tests.helpers import RESULTS, make_spec

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


# -- stored specs: as columns, of schema version 1, with unknown components --------------------------------------------

SCALED = {"shortcut": {"name": "scaled", "scale": 0.25}, "probes": ["weights"], "recipe__schedule__at": [3, 5]}
ONE = {
    "network": "residual", "family": "cifar", "block": "bottleneck", "depth": 164, "stride_in": "3x3",
    "shortcut": "shortcut_gate", "shortcut_scale": None, "branch_scale": None, "gate_bias": -2.0, "dropout": None, "order": "pre",
    "stem": "cifar", "width": 2, "initialisation": "he_fan_in", "data": "image_folder", "folder": "pets", "image_size": 32,
    "train_subset": None, "train_subset_seed": 0, "precision": "fp32", "probes": ["weights"], "probe_every": 5, "probe_images": 8,
    "snapshot_every": None, "seed": 3, "start_from": None,
    "recipe": {
        "name": "quick", "iterations": 20, "batch_size": 64, "learning_rate": 0.02, "momentum": 0.8, "nesterov": True,
        "weight_decay": 1e-4, "milestones": [15], "schedule": "milestones", "plateau_patience": 5, "plateau_improvement": 0.01,
        "plateau_drops": 2, "gamma": 0.1, "warmup": "iterations", "warmup_rate": 0.01, "warmup_iterations": 7,
        "warmup_error": 80.0, "warmup_from_depth": 0, "bn_groups": 1, "pad": 1, "scales": None, "flip": False,
        "colour": "none", "mean": "pixel", "evaluate_every": 5, "log_every": 10,
    },
}  # fmt: skip
"""A spec as schema version 1 stored it."""


def test_columns_round_trip():
    spec = make_spec(**SCALED)
    row = flat(spec.model_dump(mode="json"))
    assert (row["shortcut"], row["shortcut.scale"], row["recipe"]) == ("scaled", 0.25, "quick")
    assert (row["recipe.schedule"], row["recipe.schedule.at"]) == ("milestones", [3, 5])
    assert row.keys() <= columns().keys()
    assert RunSpec.model_validate(nested(dict.fromkeys(columns()) | row)) == spec


def test_schema_1_specs_are_upgraded():
    new = make_spec(
        **{name: ONE[name] for name in ("depth", "order", "seed", "probes", "probe_every", "probe_images")},
        block={"name": "bottleneck", "stride_in": "3x3"}, shortcut={"name": "shortcut_gate", "bias": -2.0},
        family__width=2, data={"name": "image_folder", "folder": "pets", "image_size": 32},
        recipe={"name": "quick", "iterations": 20, "evaluate_every": 5, "schedule": {"at": [15]},
                "optimizer": {"momentum": 0.8, "nesterov": True}, "warmup": {"name": "iterations", "iterations": 7}},
    )  # fmt: skip
    assert RunSpec.model_validate(upgraded(ONE)) == new
    assert run_id(ONE) == run_id(new) and recorded(ONE).variant == new.variant
    vgg = upgraded(ONE | {"family": "vgg", "network": "plain", "shortcut": None, "depth": 11, "block": "single"})
    assert vgg["family"] == {"name": "vgg", "width": 2, "head": "cifar"} and vgg["shortcut"] is None


def test_reference_results_have_current_columns():
    runs = study.read_runs([RESULTS / "quickstart", RESULTS / "probes_quick", RESULTS / "cifar10-jpeg_small"])
    assert {"shortcut", "recipe.optimizer.momentum", "recipe.schedule.at", "data.folder"} <= set(runs.columns)
    assert set(runs["recipe.optimizer"]) == {"sgd"} and set(runs["recipe.optimizer.momentum"]) == {0.9}
    assert runs["recipe.schedule.patience"].isna().all() and set(runs["norm"]) == {"batch"}
    assert set(runs["data.folder"].dropna()) == {"cifar10-jpeg"}
    changed = runs.set_index("dataset")["recipe_changes"].to_dict()
    assert "schedule.at" in changed["cifar10-jpeg"]
    curves = study.read_curves(RESULTS / "quickstart")
    assert "residual" in str(study.verdict(curves)) and study.figure("degradation", curves).axes


def test_unknown_components_and_missing_fields_are_readable():
    fields = make_spec(**SCALED).model_dump(mode="json") | {"block": {"name": "ghost", "ratio": 0.3}}
    del fields["train_subset"], fields["depth"]
    spec = recorded(fields)
    assert (spec.block.name, spec.block.ratio, spec.block.options) == ("ghost", 0.3, {"ratio": 0.3})
    assert (spec.train_subset, spec.depth, spec.recipe.schedule.at) == (None, None, [3, 5])
    assert "ghost" in spec.variant and flat(spec.model_dump(mode="json", warnings=False))["block.ratio"] == 0.3


def test_options_and_code_of_components_of_the_users_own_survive_a_table():
    """Each kind of them has a text for its options and one for its code, whatever the options are called."""
    fields = make_spec(network="residual").model_dump(mode="json")
    fields["block"] = {"name": "ghost", "ratio": 0.5, "sizes": [1, 2], "code": "0123456789ab"}
    fields["norm"] = {"name": "mine", "code": "ba9876543210"}
    fields["recipe"]["optimizer"] = {"name": "lion", "betas": [0.9, 0.99], "code": "aaaaaaaaaaaa"}
    row = flat(fields)
    assert row["own"] == "block.ratio: 0.5, block.sizes: [1, 2]" and row["recipe.code"] == "optimizer aaaaaaaaaaaa"
    assert row["own_code"] == "block 0123456789ab, norm ba9876543210" and row["block"] == "ghost"
    stored = {name: row.get(name) for name in columns()}
    assert nested(stored)["recipe"]["optimizer"] == fields["recipe"]["optimizer"]
    assert recorded(nested(stored)).block.options == {"ratio": 0.5, "sizes": [1, 2]}
    assert run_id(nested(stored)) == run_id(fields)

"""Stored specs: as columns, of schema version 1, with unknown components; and what a finished run lacks."""

import study
from study.config.fields import flat
from study.config.identity import run_id
from study.config.run import RunSpec
from study.config.stored import columns, nested, recorded, upgraded
from tests.helpers import RESULTS, make_spec

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

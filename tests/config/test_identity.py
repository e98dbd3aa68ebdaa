"""Identity: literal ids that no change of the code may change, and what an id hangs on."""

from __future__ import annotations

import json

import pytest

from study.config import identity
from study.config.identity import canonical_json, point_id, run_id
from study.config.recipe import Recipe
from study.config.run import RunSpec
from tests.helpers import make_spec

PAPER = {"network": "plain", "depth": 56, "data": "cifar10", "recipe": "he2015_cifar", "seed": 0}

GOLDEN = [
    ({}, "plain-56-cifar10-s0-67f5579acb99", "plain-56-cifar10-dae66eba3fbc"),
    (
        {"network": "residual", "depth": 110, "recipe": "he2016_cifar", "seed": 4},
        "residual-110-cifar10-s4-e93a218566d9",
        "residual-110-cifar10-630f274784d0",
    ),
    (
        {"depth": 20, "recipe": "li2018_cifar", "recipe__learning_rate": 0.01},
        "plain-20-cifar10-s0-9f74348aac7f",
        "plain-20-cifar10-b00280d9f7a9",
    ),
    (
        {"network": "residual", "depth": 8, "data": "digits", "recipe": "quick"},
        "residual-8-digits-s0-26e7d70ee050",
        "residual-8-digits-936acd542238",
    ),
    (
        {"depth": 20, "data": "image_folder", "folder": "cifar10-jpeg"},
        "plain-20-cifar10-jpeg-s0-8f883687a63a",
        "plain-20-cifar10-jpeg-c71e7849eb35",
    ),
    (
        {"network": "residual", "family": "imagenet", "stem": "cifar", "depth": 18},
        "residual-18-cifar10-s0-ce9d30f1ca54",
        "residual-18-cifar10-8c1da612b2b6",
    ),
    ({"family": "imagenet", "depth": 34}, "plain-34-cifar10-s0-139bae39673b", "plain-34-cifar10-e95ddae5b031"),
    ({"recipe__bn_groups": 1}, "plain-56-cifar10-s0-4b07f1440c2d", "plain-56-cifar10-fa6139378d65"),
    ({"precision": "bf16"}, "plain-56-cifar10-s0-281d0634d386", "plain-56-cifar10-1d9749f05c89"),
    ({"train_subset": 5000}, "plain-56-cifar10-s0-a74402abf7c0", "plain-56-cifar10-273116f1d75a"),
    (
        {"network": "residual", "shortcut": "B"},
        "residual-56-cifar10-s0-619c95d503c2",
        "residual-56-cifar10-aa0bc9ddf8f6",
    ),
    ({"width": 4}, "plain-56-cifar10-s0-378fe15ffc68", "plain-56-cifar10-c17551e28b0d"),
    (
        {"family": "imagenet", "depth": 34, "data": "image_stream", "folder": "imagenet", "recipe": "he2015_imagenet"},
        "plain-34-imagenet-s0-39d35083b89f",
        "plain-34-imagenet-b8526a9e775f",
    ),
]

CANONICAL = (
    '{"run":{"block":"basic","data":"cifar10","depth":56,"family":"cifar","folder":null,"image_size":null,'
    '"network":"plain","precision":"fp32","recipe":{"batch_size":128,"bn_groups":2,"evaluate_every":1000,"flip":true,"gamma":0.1,'
    '"iterations":64000,"learning_rate":0.1,"log_every":100,"milestones":[32000,48000],"momentum":0.9,'
    '"name":"he2015_cifar","nesterov":false,"pad":4,"warmup":"error","warmup_error":80.0,"warmup_from_depth":110,'
    '"warmup_iterations":400,"warmup_rate":0.01,"weight_decay":0.0001},"seed":0,"shortcut":null,"stem":"cifar",'
    '"train_subset":null,"train_subset_seed":0,"width":1},"schema":1}'
)


@pytest.mark.parametrize("fields, run, point", GOLDEN)
def test_ids_are_what_they_always_were(fields, run, point):
    spec = make_spec(**PAPER | fields)
    assert run_id(spec) == run
    assert point_id(spec) == point


def test_what_streaming_added_is_neutral_until_it_is_used():
    added = {"scales": None, "colour": "none", "mean": "pixel", "schedule": "milestones", "plateau_patience": 5}
    aloud = make_spec(**PAPER, **{f"recipe__{field}": value for field, value in added.items()})
    assert run_id(aloud) == GOLDEN[0][1]
    assert run_id(make_spec(**PAPER, recipe__mean="channel")) != GOLDEN[0][1]


def test_keeping_snapshots_is_part_of_what_a_run_is_and_not_keeping_them_is_neutral():
    kept = [make_spec(**PAPER, snapshot_every=every) for every in (None, "epoch", 391, 1)]
    assert run_id(kept[0]) == GOLDEN[0][1] and "snapshot" not in canonical_json(kept[0])
    assert len({run_id(spec) for spec in kept}) == len({point_id(spec) for spec in kept}) == 4
    # Pinned, as the ids above.
    assert run_id(kept[1]) == "plain-56-cifar10-s0-babd4a7094c1"
    assert all(RunSpec.model_validate_json(spec.model_dump_json()) == spec for spec in kept)


def test_the_hashed_text_is_what_it_always_was():
    assert canonical_json(make_spec(**PAPER)) == CANONICAL


def test_every_field_and_default_is_in_the_hashed_text():
    # So a default that changes, or a field that is added, cannot let an old run pass for a new one.
    later = {field.removeprefix("recipe.") for field in identity.NEUTRAL}
    run = json.loads(canonical_json(make_spec(**PAPER, recipe__bn_groups=1)))["run"]
    assert set(run) == set(RunSpec.model_fields) - later
    assert set(run["recipe"]) == set(Recipe.model_fields) - later


@pytest.mark.parametrize(
    "field, value",
    [
        ("network", "residual"), ("depth", 20), ("width", 2), ("data", "cifar100"), ("train_subset", 5000),
        ("train_subset_seed", 1), ("precision", "tf32"), ("seed", 1), ("recipe", "he2016_cifar"),
        ("recipe.learning_rate", 0.2), ("recipe.milestones", [32000]), ("recipe.log_every", 50),
    ],
)  # fmt: skip
def test_any_other_value_is_another_run(field, value):
    changed = make_spec(**PAPER | {field.replace(".", "__"): value})
    assert run_id(changed) != run_id(make_spec(**PAPER))


def test_the_seed_is_not_in_the_point():
    first, second = make_spec(**PAPER), make_spec(**PAPER | {"seed": 1})
    assert point_id(first) == point_id(second)
    assert run_id(first) != run_id(second)
    assert '"seed"' not in canonical_json(first, seed=False)


def test_a_whole_number_and_its_float_are_the_same():
    assert run_id(make_spec(recipe__learning_rate=1)) == run_id(make_spec(recipe__learning_rate=1.0))


def test_the_order_of_keys_is_nothing():
    spec = make_spec(**PAPER)
    fields = spec.model_dump()
    turned = dict(reversed(fields.items())) | {"recipe": dict(reversed(fields["recipe"].items()))}
    assert run_id(RunSpec.model_validate(turned)) == run_id(spec)


def test_a_default_said_aloud_is_the_same_run():
    aloud = make_spec(**PAPER, family="cifar", stem="cifar", width=1, precision="fp32", train_subset_seed=0)
    assert run_id(aloud) == run_id(make_spec(**PAPER))


def test_a_spec_read_back_from_json_is_the_same_run():
    spec = make_spec(**PAPER)
    assert run_id(RunSpec.model_validate_json(spec.model_dump_json())) == run_id(spec)


@pytest.mark.parametrize(
    "field, neutral, other",
    [("width", 1, {"width": 2}), ("recipe.nesterov", False, {"recipe__nesterov": True})],
)
def test_a_field_added_later_leaves_old_ids_alone(monkeypatch, field, neutral, other):
    old, new = make_spec(**PAPER), make_spec(**PAPER | other)
    with_field = canonical_json(new)
    monkeypatch.setattr(identity, "NEUTRAL", identity.NEUTRAL | {field: neutral})
    name = field.split(".")[-1]
    assert f'"{name}"' not in canonical_json(old)
    assert canonical_json(new) == with_field

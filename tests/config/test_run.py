"""The run spec: what it fills in, and what it refuses."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from study.config.registry import BLOCKS, DATA, FIGURES, SHORTCUTS, TABLES
from study.errors import StudyError
from tests.helpers import make_spec


@pytest.mark.parametrize(
    "fields, expected",
    [
        ({"network": "residual"}, {"shortcut": "A", "stem": "cifar", "family": "cifar"}),
        ({"network": "plain"}, {"shortcut": None}),
        ({"data": "image_stream", "folder": "mine", "recipe__pad": 0}, {"image_size": 224}),
        ({"data": "image_stream", "folder": "mine", "recipe__pad": 0, "image_size": 64}, {"image_size": 64}),
        ({"network": "plain", "shortcut": "B"}, {"shortcut": None}),
        ({"family": "imagenet", "depth": 18}, {"stem": "imagenet"}),
        ({"family": "imagenet", "depth": 34, "stem": "cifar"}, {"stem": "cifar"}),
    ],
)
def test_defaults_that_hang_on_another_field_are_made_explicit(fields, expected):
    spec = make_spec(**fields)
    assert {field: getattr(spec, field) for field in expected} == expected


@pytest.mark.parametrize(
    "fields, title, dataset",
    [
        ({"network": "plain", "depth": 56}, "plain-56", "digits"),
        ({"depth": 20}, "ResNet-20", "digits"),
        ({"data": "image_folder", "folder": "cifar10-jpeg"}, "ResNet-8", "cifar10-jpeg"),
    ],
)
def test_title_and_data_set_are_named_as_in_figures(fields, title, dataset):
    spec = make_spec(**fields)
    assert (spec.title, spec.dataset) == (title, dataset)


@pytest.mark.parametrize("depth", [8, 14, 20, 32, 44, 56, 110, 1202])
def test_the_cifar_family_has_every_depth_of_6n_plus_2(depth):
    assert make_spec(depth=depth).depth == depth


@pytest.mark.parametrize(
    "fields, chosen",
    [
        ({"depth": 50, "family": "imagenet"}, {"block": "bottleneck", "stride_in": "1x1", "stem": "imagenet"}),
        ({"depth": 34, "family": "imagenet"}, {"block": "basic", "stride_in": None}),
        ({"depth": 164, "block": "bottleneck"}, {"stride_in": "1x1", "order": "original"}),
        ({"shortcut": "scaled"}, {"shortcut_scale": 0.5, "branch_scale": 1.0, "gate_bias": None}),
        ({"shortcut": "shortcut_gate"}, {"gate_bias": -6.0}),
        ({"shortcut": "dropout"}, {"dropout": 0.5}),
        ({"network": "plain", "family": "vgg", "depth": 16}, {"block": "single", "stem": "imagenet"}),
        ({"network": "plain", "order": "pre"}, {"order": "original", "shortcut": None}),
    ],
    ids=str,
)
def test_what_hangs_on_another_field_is_made_explicit(fields, chosen):
    spec = make_spec(**fields)
    assert {name: getattr(spec, name) for name in chosen} == chosen


IMAGES = {"data": "image_folder", "folder": "mine"}
STREAM = {"data": "image_stream", "folder": "mine", "recipe__pad": 0}


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"depth": 34}, "depth: 34 is not 6n [+] 2, .* nearest: 32 or 38; .* set family: imagenet"),
        ({"depth": 21}, "depth: 21 is not 6n [+] 2, .* nearest: 20 or 26$"),
        ({"depth": 2}, "depth: 2 is not .*; nearest: 8$"),
        ({"depth": -4}, "depth: -4 is not .*; nearest: 8$"),
        ({"depth": 6_000_002}, "depth: must be less than or equal to 100000"),
        (
            {"family": "imagenet", "depth": 20},
            "depth: the ImageNet family has 18 and 34 layers with basic blocks, not 20",
        ),
        (
            {"depth": 50, "block": "basic", "family": "imagenet"},
            "depth: the ImageNet family has 18 and 34 layers with basic",
        ),
        (
            {"depth": 34, "block": "bottleneck", "family": "imagenet"},
            "depth: the .* has 50, 101 and 152 layers with bottl",
        ),
        (
            {"depth": 34, "block": "single", "family": "imagenet"},
            "depth: the ImageNet family has no network with single",
        ),
        (
            {"depth": 112, "block": "bottleneck"},
            r"depth: 112 is not 9n \+ 2, .* with bottleneck blocks; nearest: 110 or 119",
        ),
        ({"depth": 9, "block": "single"}, r"depth: 9 is not 3n \+ 2, .* nearest: 8 or 11"),
        ({"network": "plain", "family": "vgg", "depth": 20}, "depth: a VGG has 11, 13, 16 and 19 layers, not 20"),
        ({"family": "vgg", "depth": 19}, "family: a VGG has no shortcuts: with family: vgg set network: plain"),
        ({"network": "plain", "family": "vgg", "depth": 19, "block": "basic"}, "block: a VGG is made of single conv"),
        ({"order": "preact"}, "order: no order 'preact'; .*pre"),
        ({"dropout": 0.5}, "dropout: goes with shortcut: dropout, not with A"),
        ({"network": "plain", "dropout": 0.5}, "dropout: goes with shortcut: dropout, not with a plain network"),
        (
            {"gate_bias": -1.0, "shortcut": "B"},
            "gate_bias: goes with shortcut: exclusive_gate or shortcut_gate, not with B",
        ),
        ({"stride_in": "3x3"}, "stride_in: goes with block: bottleneck, not with basic"),
        ({"shortcut": "dropout", "dropout": 1.0}, "dropout: must be less than 1"),
        ({"shortcut": "scaled", "shortcut_scale": -1}, "shortcut_scale: must be greater than or equal to 0"),
        ({"stem": "imagenet"}, "stem: the CIFAR family has the stem 'cifar'"),
        ({"network": "resnet"}, "network: must be 'plain' or 'residual', not 'resnet'"),
        ({"data": "cifar"}, "data: no data set 'cifar'; did you mean 'cifar10'"),
        ({"block": "basics"}, "block: no block 'basics'; did you mean 'basic'"),
        ({"shortcut": "D"}, "shortcut: no shortcut 'D'; known: A, B, C"),
        ({"data": "image_folder"}, "folder: is missing"),
        ({"folder": "mine"}, "folder: goes with data: image_folder or image_stream, not with digits"),
        ({"image_size": 32}, "image_size: goes with data: image_folder or image_stream, not with digits"),
        (IMAGES | {"folder": "a/b"}, "folder: must be the name of a folder .* not 'a/b'"),
        (IMAGES | {"folder": ".."}, "folder: must be the name"),
        (IMAGES | {"folder": "a\0b"}, "folder: must be the name"),
        (IMAGES | {"folder": "a\n"}, "folder: must be the name"),
        (IMAGES | {"folder": "a" * 51}, "folder: must be the name"),
        (IMAGES | {"image_size": 4, "recipe__pad": 4}, r"recipe: pad \(4\) must be smaller than image_size \(4\)"),
        ({"data": "image_stream"}, "folder: is missing; data: image_stream needs"),
        (STREAM | {"recipe__pad": 4}, "recipe: pad must be 0 with data: image_stream, not 4"),
        (STREAM | {"recipe__scales": [200, 480]}, r"recipe: scales \(\[200, 480\]\) must not begin below image_size"),
        (STREAM | {"recipe__scales": [480, 256]}, r"recipe.scales: must be two numbers of pixels that rise"),
        (STREAM | {"recipe__scales": [256, 480, 500]}, r"recipe.scales: .*at most 2 items"),
        ({"recipe__scales": [256, 480]}, "recipe: scales goes with data: image_stream, not with digits"),
        ({"recipe__colour": "pca"}, "recipe: colour goes with data: image_stream, not with digits"),
        ({"recipe__colour": "hsv"}, "recipe.colour: must be 'none' or 'pca', not 'hsv'"),
        ({"recipe__mean": "image"}, "recipe.mean: must be 'pixel' or 'channel'"),
        (
            {"recipe__schedule": "plateau"},
            r"recipe.schedule: plateau goes without milestones; set recipe.milestones: \[\]",
        ),
        (
            {"recipe__schedule": "plateau", "recipe__milestones": [], "recipe__log_every": 26},
            r"recipe.log_every: must be at most evaluate_every \(25\) with schedule: plateau, not 26",
        ),
        ({"recipe__plateau_patience": 0}, "recipe.plateau_patience: must be greater than or equal to 1"),
        ({"recipe__plateau_improvement": 1.0}, "recipe.plateau_improvement: must be less than 1"),
        ({"depth": "20"}, "depth: must be a valid integer, not '20'"),
        ({"depth": 20.0}, "depth: must be a valid integer, not 20.0"),
        ({"seed": True}, "seed: must be a valid integer, not True"),
        ({"seed": -1}, "seed: must be greater than or equal to 0, not -1"),
        ({"seed": 2**31}, "seed: must be less than"),
        ({"width": 0}, "width: must be greater"),
        ({"train_subset": 1}, "train_subset: must be greater"),
        ({"precision": "fp16"}, "precision: must be 'fp32', 'tf32' or 'bf16', not 'fp16'"),
        ({"recipe__learning_rate": float("nan")}, "recipe.learning_rate: must be a finite number"),
        ({"recipe__learning_rate": float("inf")}, "recipe.learning_rate: must be a finite number"),
        ({"recipe__learning_rate": 0}, "recipe.learning_rate: must be greater than 0"),
        ({"recipe__momentum": 1}, "recipe.momentum: must be less than 1"),
        ({"recipe__batch_size": 1}, "recipe.batch_size: must be greater"),
        ({"recipe__flip": 1}, "recipe.flip: must be a valid boolean, not 1"),
        ({"recipe__milestones": [5, 5]}, r"recipe.milestones: must be positive and rise, not \[5, 5\]"),
        ({"recipe__milestones": [0]}, "recipe.milestones: must be positive and rise"),
        ({"recipe__milestones": ["a"]}, "recipe.milestones.0: must be a valid integer, not 'a'"),
        ({"recipe__warmup": "linear"}, "recipe.warmup: must be 'none', 'iterations' or 'error'"),
    ],
)
def test_a_wrong_value_is_refused_with_the_place_the_field_and_what_would_be_right(fields, message):
    with pytest.raises(StudyError, match=f"^test: {message}"):
        make_spec(**fields)


def test_one_wrong_field_does_not_hide_another():
    with pytest.raises(StudyError) as caught:
        make_spec(depth=34, network="resnet", recipe="quik", stem="imagenet", seed=True)
    fields = [line.split(": ")[1] for line in str(caught.value).splitlines()]
    assert sorted(fields) == ["depth", "network", "recipe", "seed", "stem"]


def test_a_long_value_is_shown_in_short():
    with pytest.raises(StudyError) as caught:
        make_spec(depth="x" * 10_000)
    assert len(str(caught.value)) < 200


def test_a_spec_cannot_be_changed():
    with pytest.raises(ValidationError):
        make_spec().depth = 20


@pytest.mark.parametrize(
    "entry", [entry for table in (BLOCKS, SHORTCUTS, DATA, FIGURES, TABLES) for entry in table.values()], ids=str
)
def test_every_registered_name_has_an_object_and_a_summary(entry):
    assert callable(entry.load())
    assert entry.summary

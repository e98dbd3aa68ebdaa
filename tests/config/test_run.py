"""The run spec: what it fills in, what it refuses, and the recipes, of which those of the papers have the papers' numbers."""

import pytest

from study.config import recipes, registry
from study.config.components import Registry
from study.config.fields import flat
from study.config.run import RunSpec
from study.errors import StudyError
from tests.helpers import make_spec

STREAM = {"data": {"name": "image_stream", "folder": "mine"}, "recipe__pad": 0}
STRIDE = {"name": "bottleneck", "stride_in": "3x3"}
FOLDER = {"data": {"name": "image_folder", "folder": "mine"}}


@pytest.mark.parametrize(
    "fields, chosen",
    [
        ({}, {"shortcut": {"name": "A"}, "family": {"name": "cifar", "width": 1}, "block": {"name": "basic"}}),
        ({"network": "plain", "shortcut": "scaled", "order": "pre"}, {"shortcut": None, "order": {"name": "original"}}),
        (STREAM, {"data": {"name": "image_stream", "folder": "mine", "image_size": 224}}),
        ({"family": "imagenet", "depth": 18}, {"family": {"name": "imagenet", "width": 1, "stem": "imagenet"}}),
        ({"depth": 50, "family": "imagenet"}, {"block": {"name": "bottleneck", "stride_in": "1x1"}}),
        ({"depth": 20, "block": STRIDE}, {"block": STRIDE}),
        ({"depth": 50, "family": "imagenet", "block": {"stride_in": "3x3"}}, {"block": STRIDE}),
        ({"shortcut": "scaled"}, {"shortcut": {"name": "scaled", "scale": 0.5, "branch": 1.0}}),
        ({"network": "plain", "zero_gamma": True}, {"zero_gamma": False}),  # it would have no signal
        ({"shortcut": "scaled", "shortcut__scale": 0}, {"shortcut": {"name": "scaled", "scale": 0.0, "branch": 1.0}}),
        ({"network": "plain", "family": "vgg", "depth": 16},
         {"block": {"name": "single"}, "family": {"name": "vgg", "width": 1, "head": "imagenet"}}),
        ({"probes": "weights", "recipe__evaluate_every": 7}, {"probes": ["weights"], "probe_every": 7, "probe_images": 1024}),
        ({"probes": ["weights", "responses"]}, {"probes": ["responses", "weights"]}),
    ],
    ids=str,
)  # fmt: skip
def test_dependent_defaults_are_made_explicit(fields, chosen):
    spec = make_spec(**fields)
    assert {name: spec.model_dump(mode="json")[name] for name in chosen} == chosen
    assert RunSpec.model_validate(spec.model_dump(mode="json")) == spec


@pytest.mark.parametrize(
    "fields, title, variant, dataset",
    [
        ({"network": "plain", "depth": 56}, "plain-56", "", "digits"),
        (
            FOLDER | {"shortcut": "scaled", "shortcut__scale": 0, "order": "pre"},
            "ResNet-8",
            "scaled scale=0 pre",
            "mine",
        ),
        ({"network": "plain", "family": "vgg", "depth": 16}, "VGG-16", "", "digits"),
    ],
)
def test_networks_and_data_sets_are_named_as_in_figures(fields, title, variant, dataset):
    spec = make_spec(**fields)
    assert (spec.title, spec.variant, spec.dataset) == (title, variant, dataset)


REFUSED = [
    # depths
    ({"depth": 34}, "depth: 34 is not 6n [+] 2, .* nearest: 32 or 38; .* set family: imagenet"),
    ({"depth": 6_000_002}, "depth: must be less than or equal to 100000"),
    ({"family": "imagenet", "depth": 20}, "depth: the ImageNet family has 18 and 34 layers with basic blocks, not 20"),
    ({"depth": 34, "block": "single", "family": "imagenet"}, "depth: the ImageNet family has no network with single"),
    ({"depth": 112, "block": "bottleneck"}, r"depth: 112 is not 9n \+ 2, .* with bottleneck blocks; nearest: 110 or 119"),
    ({"network": "plain", "family": "vgg", "depth": 20}, "depth: a VGG has 11, 13, 16 and 19 layers, not 20"),
    ({"family": "vgg", "depth": 19}, "family: vgg has no shortcuts; set network: plain"),
    ({"network": "plain", "family": "vgg", "depth": 19, "block": "basic"}, "block: must be single with family: vgg"),
    # components and their options
    ({"data": "cifar"}, "data: no data set 'cifar'; did you mean 'cifar10'"),
    ({"shortcut": 3}, "shortcut: must be the name of a shortcut, or a mapping with its name and options, not 3"),
    ({"shortcut__rate": 0.5}, "shortcut.rate: goes with shortcut: dropout, not with A"),
    ({"shortcut": {"name": "scaled", "scal": 1}}, "shortcut.scal: is no option of .* scale and branch; did you mean 'scale'"),
    ({"block__stride_in": "3x3"}, "block.stride_in: goes with block: bottleneck, not with basic"),
    ({"shortcut": "dropout", "shortcut__rate": 1.0}, "shortcut.rate: must be less than 1"),
    ({"shortcut": None, "shortcut__bias": -1.0}, "shortcut.bias: goes with .*, not with A"),
    ({"shortcut": 3, "shortcut__bias": -1.0}, "shortcut: must be the name of a shortcut, or a mapping"),
    ({"network": "resnet"}, "network: must be 'plain' or 'residual', not 'resnet'"),
    ({"recipe__optimizer": "adm"}, "recipe.optimizer: no optimizer 'adm'; did you mean"),
    # components that do not go together
    ({"block": "repvgg"}, "block: repvgg goes with network: plain, not with residual"),
    ({"block": "fixup", "norm": "batch"}, "norm: must be none with block: fixup"),
    ({"block": "fixup", "network": "plain"}, "block: fixup goes with network: residual, not with plain"),
    ({"activation": "crelu"}, "activation: crelu goes with network: plain"),
    ({"activation": "crelu", "network": "plain", "family": "vgg", "depth": 11, "block": None}, "activation: crelu does not go"),
    ({"norm": {"name": "group", "groups": 5}}, "norm: groups: 5 does not divide the 16 maps of the first stage"),
    ({"norm": "none", "zero_gamma": True}, "zero_gamma: needs a norm"),
    ({"start_from": "plain-8-digits-0123456789ab", "activation": "gelu"}, "start_from: goes with activation: relu"),
    # data
    ({"data": "image_folder"}, "data.folder: is missing"),
    ({"data__folder": "mine"}, "data.folder: goes with data: image_folder or image_stream or parquet, not with digits"),
    *((FOLDER | {"data__folder": name}, "data.folder: must be a name") for name in ("a/b", "..", "a\0b", "a\n", "a" * 51)),
    (FOLDER | {"data__image_size": 4, "recipe__pad": 4}, r"recipe: pad \(4\) must be smaller than image_size \(4\)"),
    (STREAM | {"recipe__pad": 4}, "recipe: pad must be 0 with data: image_stream, not 4"),
    (STREAM | {"recipe__scales": [200, 480]}, r"recipe: scales \(\[200, 480\]\) must not begin below image_size"),
    (STREAM | {"recipe__scales": [480, 256]}, r"recipe.scales: must be two numbers of pixels that rise"),
    ({"recipe__colour": "pca"}, "recipe: colour goes with data: image_stream, not with digits"),
    ({"train_subset": 1}, "train_subset: must be greater"),
    # numbers and words
    ({"depth": "20"}, "depth: must be a valid integer, not '20'"),
    ({"seed": True}, "seed: must be a valid integer, not True"),
    ({"precision": "fp16"}, "precision: must be 'fp32', 'tf32' or 'bf16', not 'fp16'"),
    ({"recipe__learning_rate": float("nan")}, "recipe.learning_rate: must be a finite number"),
    ({"recipe__bn_groups": 3}, r"recipe.bn_groups: 3 must divide the batch of 64; .* bn_groups: 1 \(the whole batch\)"),
    ({"recipe__schedule__at": [5, 5]}, r"recipe.schedule.at: must be positive and rise, not \[5, 5\]"),
    ({"recipe__schedule": "plateau", "recipe__log_every": 26}, r"recipe.schedule: plateau needs log_every of at most .* not 26"),
    ({"recipe__schedule": "plateau", "recipe__schedule__at": [5]}, "recipe.schedule.at: goes with recipe.schedule: milestones"),
    ({"recipe": {"name": "quick", "iteratons": 5}}, "recipe.iteratons: is unknown; did you mean 'recipe.iterations'"),
    ({"recipe": {"name": "quick", "momentum": 0.5}}, "recipe.momentum: is unknown; did you mean 'recipe.optimizer.momentum'"),
    ({"recipe": 3}, "recipe: must be the name of a recipe, or a mapping with one, not 3; known: he2015_cifar"),
    # what is measured and kept
    ({"probes": ["respones"]}, "probes: no probe 'respones'; did you mean 'responses'"),
    ({"probes": ["weights", "weights"]}, "probes: 'weights' is named twice"),
    ({"probe_every": 5}, "probe_every: goes with probes, and there are none"),
    *(({"snapshot_every": value}, "snapshot_every: must be 'epoch' or a number") for value in (0, 1.0, True, "epochs", [5])),
]  # fmt: skip


@pytest.mark.parametrize("fields, message", REFUSED, ids=str)
def test_a_wrong_value_is_refused_with_field_and_hint(fields, message):
    with pytest.raises(StudyError, match=f"^test: {message}") as caught:
        make_spec(**fields)
    assert len(caught.value.args) == 1


def test_one_wrong_field_does_not_hide_another():
    with pytest.raises(StudyError) as caught:
        make_spec(depth=34, network="resnet", family__stem="imagenet", seed=True, recipe__pad=-1)
    fields = [line.split(": ")[1] for line in caught.value.args]
    assert sorted(fields) == ["family.stem", "network", "recipe.pad", "seed"]


def test_every_component_is_complete():
    tables = [table for table in vars(registry).values() if isinstance(table, Registry)]
    assert len(tables) == 15
    for component in (component for table in tables for component in table.values()):
        assert callable(component.load()) and component.summary
        assert all(component.options.model_fields[name].description for name in component.option_names)


# -- recipes -----------------------------------------------------------------------------------------------------------

HE = {"batch_size": 128, "learning_rate": 0.1, "optimizer": "sgd", "optimizer.momentum": 0.9, "weight_decay": 1e-4,
      "schedule.gamma": 0.1, "flip": True}  # fmt: skip
CIFAR = HE | {"iterations": 64_000, "bn_groups": 2, "optimizer.nesterov": False, "schedule": "milestones",
              "schedule.at": [32_000, 48_000], "warmup.rate": 0.01, "pad": 4}  # fmt: skip
PAPERS = {
    # He et al. 2015, section 4.2
    "he2015_cifar": CIFAR | {"warmup": "error", "warmup.below": 80.0, "warmup.from_depth": 110},
    # He et al. 2016, section 3 and appendix
    "he2016_cifar": CIFAR | {"warmup": "iterations", "warmup.iterations": 400, "warmup.from_depth": 0},
    # He et al. 2015, section 3.4
    "he2015_imagenet": HE | {
        "iterations": 600_000, "batch_size": 256, "schedule": "plateau", "warmup": "none", "pad": 0, "scales": [256, 480],
        "colour": "pca", "mean": "pixel",
    },
    # Li et al. 2018: 300 epochs of 50,000 images, rate / 10 at epochs 150, 225, 275
    "li2018_cifar": HE | {
        "iterations": round(300 * 50_000 / 128), "optimizer.nesterov": True, "weight_decay": 5e-4, "warmup": "none", "pad": 4,
        "schedule.at": [round(epochs * 50_000 / 128) for epochs in (150, 225, 275)],
    },
}  # fmt: skip


def spec_of(name):
    """A run with a recipe on data that it fits."""
    stream = {"data": {"name": "image_stream", "folder": "mine"}}
    return make_spec(recipe=name, **(stream if "imagenet" in name else {"data": "cifar10"}))


@pytest.mark.parametrize("name", recipes.names())
def test_named_recipes_have_the_numbers_of_their_papers(name):
    recipe = flat(spec_of(name).recipe.model_dump(mode="json"))
    expected = PAPERS.get(name, {})
    assert {field: recipe[field] for field in expected} == expected
    assert recipe["name"] == name and 20 < len(recipes.summary(name)) < 120


def test_changing_a_preset_changes_no_other():
    before = recipes.preset("quick")
    before["schedule"] = before["iterations"] = None
    assert make_spec(recipe="quick", recipe__iterations=7, recipe__schedule__at=[3]).recipe.iterations == 7
    assert recipes.preset("quick")["schedule"]["at"] == [150]
    with pytest.raises(StudyError, match="no recipe 'he2015'; did you mean 'he2015_cifar'"):
        recipes.preset("he2015")


@pytest.mark.parametrize("fields, changed", [
    ({}, []),
    ({"recipe__evaluate_every": 7, "recipe__log_every": 3}, []),
    ({"recipe__iterations": 7, "recipe__schedule__at": [3]}, ["iterations", "schedule.at"]),
    ({"recipe__warmup": "iterations"}, ["warmup"]),
    ({"recipe": {"name": "quick", "schedule": {"gamma": 0.5}, "optimizer": {"momentum": 0.5}}},
     ["optimizer.momentum", "schedule.gamma"]),
], ids=str)  # fmt: skip
def test_changes_to_a_recipe_are_listed(fields, changed):
    assert recipes.changes(make_spec(**fields).recipe.model_dump(mode="json")) == changed

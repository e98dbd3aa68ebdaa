"""Recipes: each named one resolves, and those of the papers have the papers' numbers."""

import pytest

from study.config import recipes
from study.config.fields import flat
from study.errors import StudyError
from tests.helpers import make_spec

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

"""Recipes: each named one resolves, and those of the papers have the papers' numbers."""

from __future__ import annotations

import pytest

from study.config import recipes
from study.errors import StudyError
from tests.helpers import make_spec

PAPERS = {
    # He et al. 2015, section 4.2
    "he2015_cifar": {
        "iterations": 64_000, "batch_size": 128, "bn_groups": 2, "learning_rate": 0.1, "momentum": 0.9, "nesterov": False,
        "weight_decay": 1e-4, "milestones": (32_000, 48_000), "gamma": 0.1, "warmup": "error", "warmup_rate": 0.01,
        "warmup_error": 80.0, "warmup_from_depth": 110, "pad": 4, "flip": True,
    },
    # He et al. 2016, section 3 and appendix
    "he2016_cifar": {
        "iterations": 64_000, "batch_size": 128, "bn_groups": 2, "learning_rate": 0.1, "momentum": 0.9, "nesterov": False,
        "weight_decay": 1e-4, "milestones": (32_000, 48_000), "gamma": 0.1, "warmup": "iterations",
        "warmup_rate": 0.01, "warmup_iterations": 400, "warmup_from_depth": 0, "pad": 4, "flip": True,
    },
    # He et al. 2015, section 3.4
    "he2015_imagenet": {
        "iterations": 600_000, "batch_size": 256, "learning_rate": 0.1, "momentum": 0.9, "nesterov": False,
        "weight_decay": 1e-4, "milestones": (), "schedule": "plateau", "gamma": 0.1, "warmup": "none", "pad": 0,
        "scales": (256, 480), "flip": True, "colour": "pca", "mean": "pixel",
    },
    # Li et al. 2018: 300 epochs of 50,000 images, rate / 10 at epochs 150, 225, 275
    "li2018_cifar": {
        "iterations": round(300 * 50_000 / 128), "batch_size": 128, "learning_rate": 0.1, "momentum": 0.9,
        "nesterov": True, "weight_decay": 5e-4, "gamma": 0.1, "warmup": "none", "pad": 4, "flip": True,
        "milestones": (round(150 * 50_000 / 128), round(225 * 50_000 / 128), round(275 * 50_000 / 128)),
    },
}  # fmt: skip


@pytest.mark.parametrize("name", PAPERS)
def test_a_papers_recipe_has_the_papers_numbers(name):
    data = {"data": "image_stream", "folder": "mine"} if "imagenet" in name else {"data": "cifar10"}
    recipe = make_spec(recipe=name, **data).recipe
    assert {field: getattr(recipe, field) for field in PAPERS[name]} == PAPERS[name]


def test_the_issued_recipes_are_there():
    assert {"he2015_cifar", "he2016_cifar", "li2018_cifar", "quick"} <= set(recipes.names())


@pytest.mark.parametrize("name", recipes.names())
def test_every_named_recipe_resolves_and_says_what_it_is(name):
    data = {"data": "image_stream", "folder": "mine"} if "imagenet" in name else {}
    assert make_spec(recipe=name, **data).recipe.name == name
    assert 20 < len(recipes.summary(name)) < 120


def test_a_field_of_a_recipe_can_be_changed_without_changing_the_preset():
    before = recipes.preset("quick")
    changed = make_spec(recipe="quick", recipe__iterations=7).recipe
    assert changed.iterations == 7
    assert changed.name == "quick"
    assert recipes.preset("quick") == before
    before["iterations"] = -1
    assert recipes.preset("quick")["iterations"] != -1


def test_an_unknown_recipe_is_answered_with_the_nearest():
    with pytest.raises(StudyError, match="no recipe 'he2015'; did you mean 'he2015_cifar'"):
        recipes.preset("he2015")


def test_what_was_changed_of_a_recipe_is_listed_but_how_often_it_is_measured_is_not():
    def changes(**fields):
        return recipes.changes(make_spec(recipe="quick", **fields).model_dump(mode="json")["recipe"])

    assert changes() == []
    assert changes(recipe__evaluate_every=7, recipe__log_every=3) == []
    assert changes(recipe__iterations=7, recipe__milestones=[3]) == ["iterations", "milestones"]
    assert recipes.changes({"name": "no_longer_there", "iterations": 5}) == []


def test_a_field_that_a_recipe_leaves_at_its_default_counts_as_changed_too():
    changed = make_spec(recipe="quick", recipe__warmup="iterations").model_dump(mode="json")["recipe"]
    assert recipes.changes(changed) == ["warmup"]

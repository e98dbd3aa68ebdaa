"""Expansion: which runs a sweep file names, and in which order."""

import pytest

from study.config.fields import flat
from study.errors import StudyError
from tests.helpers import python

FIXED = "fixed: {data: digits, recipe: quick, network: residual, depth: 8, seed: 0}\n"


def fields(sweep, *names):
    """The values of some fields of each run, in the order of the runs; one field's alone as a list."""
    rows = [flat(spec.model_dump(mode="json")) for spec in sweep.runs.values()]
    return [row.get(names[0]) if len(names) == 1 else tuple(row.get(name) for name in names) for row in rows]


# -- blocks -----------------------------------------------------------------------------------------------------------


def test_a_grid_is_every_combination_in_file_order(load):
    sweep = load(FIXED + "grid: {depth: [20, 8], network: [residual, plain], seed: [1, 0]}\n")
    expected = [(depth, network, seed) for depth in (20, 8) for network in ("residual", "plain") for seed in (1, 0)]
    assert fields(sweep, "depth", "network", "seed") == expected
    assert list(load(FIXED).runs) == ["residual-8-digits-s0-295ce76ae9f0"]


def test_each_row_of_a_zip_has_the_whole_grid(load):
    sweep = load(FIXED + "zip: {depth: [8, 14], family.width: [2, 1]}\ngrid: {seed: [0, 1]}\n")
    assert fields(sweep, "depth", "family.width", "seed") == [(8, 2, 0), (8, 2, 1), (14, 1, 0), (14, 1, 1)]


def test_blocks_are_joined_and_override_the_file(load):
    text = """
blocks:
  - grid: {depth: [20, 14]}
  - fixed: {family: {name: imagenet, stem: cifar}, seed: 3}
    grid: {depth: [18, 34]}
  - zip: {depth: [8, 14], seed: [7, 9]}
"""
    assert fields(load(FIXED + text), "family", "depth", "seed") == [
        ("cifar", 20, 0), ("cifar", 14, 0), ("imagenet", 18, 3), ("imagenet", 34, 3), ("cifar", 8, 7), ("cifar", 14, 9),
    ]  # fmt: skip


# -- components and recipes -------------------------------------------------------------------------------------------

SHORTCUTS = {
    "fixed: {shortcut: {name: scaled, scale: 0.25}}": [("scaled", 0.25, 1.0)],
    "fixed: {shortcut: scaled, shortcut.scale: 0.25}": [("scaled", 0.25, 1.0)],
    "fixed: {shortcut: scaled}\n    grid: {shortcut.scale: [0, 0.25], shortcut.branch: [0.5]}":
        [("scaled", 0.0, 0.5), ("scaled", 0.25, 0.5)],
    "grid: {shortcut: [A, {name: scaled, scale: 0.25}, scaled]}":
        [("A", None, None), ("scaled", 0.25, 1.0), ("scaled", 0.5, 1.0)],
    "zip: {shortcut: [scaled, {name: scaled, scale: 1}], shortcut.branch: [0.1, 0.2]}":
        [("scaled", 0.5, 0.1), ("scaled", 1.0, 0.2)],
}  # fmt: skip


@pytest.mark.parametrize("text, expected", SHORTCUTS.items())
def test_forms_of_component_options(load, text, expected):
    sweep = load(f"{FIXED}blocks:\n  - {text}\n")
    assert fields(sweep, "shortcut", "shortcut.scale", "shortcut.branch") == expected


RECIPES = [
    FIXED.replace("quick", "{name: quick, iterations: 7, schedule: {at: [3, 5]}}"),
    FIXED.replace("quick", "quick, recipe.iterations: 7, recipe.schedule.at: [3, 5]"),
    FIXED.replace("quick", "quick, recipe.iterations: 7, recipe.schedule: {at: [3, 5]}"),
    FIXED + "grid: {recipe.iterations: [7], recipe.schedule.at: [[3, 5]]}",
    FIXED + "grid: {recipe: [{name: quick, iterations: 7, schedule: {at: [3, 5]}}]}",
    FIXED + "blocks:\n  - fixed: {recipe: {iterations: 7, schedule: {at: [3, 5]}}}\n",
    FIXED.replace("quick", "{name: he2015_cifar, batch_size: 2}") + "blocks:\n"
    "  - fixed: {recipe: {name: quick, iterations: 7, schedule: {at: [3, 5]}}}\n",
]


@pytest.mark.parametrize("text", RECIPES)
def test_forms_of_recipe_fields(load, text):
    [spec] = load(text).runs.values()
    assert (spec.recipe.name, spec.recipe.iterations, spec.recipe.schedule.at) == ("quick", 7, (3, 5))
    assert (spec.recipe.batch_size, spec.recipe.schedule.gamma) == (64, 0.1)  # the rest is the preset's


def test_recipes_and_components_can_be_axes(load):
    sweep = load(FIXED + "grid: {recipe: [quick, he2015_cifar], recipe.warmup: [none, iterations, error]}\n")
    assert fields(sweep, "recipe", "recipe.warmup", "recipe.warmup.from_depth") == [
        ("quick", "none", None), ("quick", "iterations", 0), ("quick", "error", 0),
        ("he2015_cifar", "none", None), ("he2015_cifar", "iterations", 0), ("he2015_cifar", "error", 110),
    ]  # fmt: skip


def test_lists_are_values_where_a_field_takes_one(load):
    assert fields(
        load(FIXED + "grid: {probes: [[], weights, [weights, gradients]], seed: [0]}\n", "depth=14"), "probes"
    ) == [[]]
    assert fields(load(FIXED + "zip: {probes: [weights, [weights, gradients]], seed: [0, 1]}\n"), "probes") == [
        ["weights"], ["gradients", "weights"],
    ]  # fmt: skip
    for value, expected in (("[3,5]", [3, 5]), ("3,5", [3, 5]), ("[]", []), ("[3]", [3])):
        assert fields(load(FIXED, f"recipe.schedule.at={value}"), "recipe.schedule.at") == [expected]


# -- name, description, figures ---------------------------------------------------------------------------------------


def test_name_description_and_figures(load):
    sweep = load(FIXED + "description: >\n  two\n  lines\nfigures: [depth_error, degradation]\n")
    assert (sweep.name, sweep.description, sweep.figures) == ("mine", "two lines", ("depth_error", "degradation"))
    assert load(FIXED + "name: Größe-7.a_b\nfigures:\ndescription:\n").name == "Größe-7.a_b"
    assert load(FIXED + "name: one\n", "name=two").name == "two"


# -- overrides --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("override, expected", [
    ("depth=26", [(26, 0), (26, 1), (26, 4)]),
    ("seed=5,6", [(8, 5), (8, 6), (14, 5), (14, 6), (20, 5), (20, 6)]),
    ("seed=[5, 6]", [(8, 5), (8, 6), (14, 5), (14, 6), (20, 5), (20, 6)]),
    ("seed=0", [(8, 0), (14, 0), (20, 0)]),
])  # fmt: skip
def test_overrides_apply_to_every_block_and_merge_equal_runs(load, override, expected):
    text = FIXED + "blocks:\n  - grid: {depth: [8, 14], seed: [0, 1]}\n  - zip: {depth: [20], seed: [4]}\n"
    assert fields(load(text, override), "depth", "seed") == expected


def test_overrides_change_recipe_and_components(load):
    [spec] = load(
        FIXED, "recipe=he2015_cifar", "recipe.optimizer.momentum=0.5", "shortcut={name: scaled, scale: 0}"
    ).runs.values()
    assert (spec.recipe.name, spec.recipe.optimizer.momentum, spec.shortcut.scale) == ("he2015_cifar", 0.5, 0.0)
    scaled = FIXED.replace("seed: 0", "seed: 0, shortcut: scaled, shortcut.scale: 0.1, recipe.iterations: 7")
    assert fields(load(scaled, "shortcut=A,exclusive_gate", "recipe=he2016_cifar"), "shortcut", "recipe.iterations") == [
        ("A", 7), ("exclusive_gate", 7),
    ]  # fmt: skip


OVERRIDES = [
    ("dept=8", "override 'dept=8': unknown field 'dept'; did you mean 'depth'?"),
    ("depth", "override 'depth': write it as field=value"),
    ("depth=[]", "override 'depth=[]': gives no value"),
    ("depth=34", "override 'depth=34': depth: 34 is not 6n"),
    ("depth=[8", "override 'depth=[8': override:1: not valid YAML"),
    ("seed=0,a", "override 'seed=0,a': seed: must be a valid integer, not 'a'"),
    ("name=a/b", "override: name: 'a/b' must be"),
    ("recipe.name=x", "override 'recipe.name=x': unknown field 'recipe.name'"),
    ("shortcut.rate=0.5", "override 'shortcut.rate=0.5': shortcut.rate: goes with shortcut: dropout, not with A"),
]


def test_all_bad_overrides_are_reported(load):
    for override, message in OVERRIDES:
        with pytest.raises(StudyError) as caught:
            load(FIXED, override)
        assert str(caught.value).startswith(message)
    with pytest.raises(StudyError) as caught:
        load(FIXED, "dept=8", "seed=x", "name=..")
    assert len(caught.value.args) == 3


WORDS = [
    ("lr", "recipe.learning_rate"), ("learning-rate", "recipe.learning_rate"), ("epochs", "recipe.iterations"),
    ("bs", "recipe.batch_size"), ("wd", "recipe.weight_decay"), ("momentum", "recipe.optimizer.momentum"), ("layers", "depth"),
    ("model", "network"), ("dataset", "data"), ("seeds", "seed"), ("flpi", "recipe.flip"), ("gpus", "--device"),
    ("recipe.lr", "recipe.learning_rate"), ("recipe.depth", "depth"), ("data_root", "--data-root"),
    ("milestones", "recipe.schedule.at"), ("recipe.milestones", "recipe.schedule.at"), ("width", "family.width"),
    ("stride_in", "block.stride_in"),
    ("dropout", "shortcut.rate"), ("folder", "data.folder"), ("stem", "family.stem"), ("optimizer", "recipe.optimizer"),
]  # fmt: skip


def test_unknown_fields_get_a_suggestion(load):
    hints = [*((word, f"did you mean '{name}'?") for word, name in WORDS), ("xyz", "(`study list fields` has all)")]
    for word, hint in hints:
        for text, override in ((FIXED, [f"{word}=1"]), (FIXED.replace("seed: 0", f"seed: 0, {word}: 1"), [])):
            with pytest.raises(StudyError) as caught:
                load(text, *override)
            assert hint in caught.value.args[0] and caught.value.args[0].count(",") <= 8, (word, caught.value.args)


# -- cost -------------------------------------------------------------------------------------------------------------

HEAVY = {"torch", "torchvision", "pandas", "numpy", "matplotlib", "pyarrow", "sklearn", "scipy", "submitit"}


@pytest.mark.parametrize("code, banned", [
    ("import study.config.sweep", HEAVY),
    ("from study.cli.app import main; sys.argv = ['study', '-h']; main()", HEAVY | {"pydantic", "yaml", "rich"}),
    ("from study.cli.app import main; sys.argv = ['study', 'sweep', 'FILE', '--dry-run']; main()",
     {"torch", "torchvision", "matplotlib", "sklearn"}),
], ids=["config", "help", "dry run"])  # fmt: skip
def test_planning_imports_nothing_heavy(write, code, banned):
    code = code.replace("FILE", str(write(FIXED)))
    text = f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\nprint('\\n' + ' '.join(sys.modules))"
    assert not {name.partition(".")[0] for name in python(text).splitlines()[-1].split()} & banned

"""Expansion: which runs a sweep file names, and in which order."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from study.config.sweep import MAX_RUNS, load
from study.errors import StudyError

FIXED = "fixed: {data: digits, recipe: quick, network: plain, depth: 8, seed: 0}\n"


def fields(sweep, *names):
    """The values of some fields of each run, in the order of the runs."""
    return [tuple(getattr(spec, name) for name in names) for spec in sweep.runs.values()]


# -- blocks -----------------------------------------------------------------------------------------------------------


def test_fixed_alone_is_one_run(load):
    assert fields(load(FIXED), "network", "depth", "seed") == [("plain", 8, 0)]


def test_a_grid_is_every_combination_in_the_files_order(load):
    sweep = load(FIXED + "grid: {depth: [20, 8], network: [residual, plain], seed: [1, 0]}\n")
    assert fields(sweep, "depth", "network", "seed") == [
        (depth, network, seed) for depth in (20, 8) for network in ("residual", "plain") for seed in (1, 0)
    ]


def test_a_zip_is_read_row_by_row(load):
    sweep = load(FIXED + "zip: {depth: [20, 8, 14], width: [1, 2, 4]}\n")
    assert fields(sweep, "depth", "width") == [(20, 1), (8, 2), (14, 4)]


def test_each_row_of_a_zip_has_the_whole_grid(load):
    sweep = load(FIXED + "zip: {depth: [8, 14], width: [2, 1]}\ngrid: {seed: [0, 1]}\n")
    assert fields(sweep, "depth", "width", "seed") == [(8, 2, 0), (8, 2, 1), (14, 1, 0), (14, 1, 1)]


def test_a_sweep_is_the_union_of_its_blocks_in_their_order(load):
    sweep = load(
        FIXED
        + """
blocks:
  - grid: {depth: [20, 14]}
  - fixed: {family: imagenet, stem: cifar}
    grid: {depth: [18, 34]}
  - zip: {depth: [8, 14], seed: [7, 9]}
"""
    )
    assert fields(sweep, "family", "depth", "seed") == [
        ("cifar", 20, 0), ("cifar", 14, 0), ("imagenet", 18, 0), ("imagenet", 34, 0), ("cifar", 8, 7), ("cifar", 14, 9),
    ]  # fmt: skip


def test_a_block_goes_before_the_files_fixed_and_an_axis_before_both(load):
    sweep = load(FIXED + "blocks:\n  - fixed: {depth: 14, seed: 3}\n    grid: {depth: [20]}\n")
    assert fields(sweep, "depth", "seed") == [(20, 3)]


def test_the_run_ids_are_the_keys(load):
    assert list(load(FIXED).runs) == ["plain-8-digits-s0-ead2390418ad"]


# -- recipes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        FIXED.replace("quick", "{name: quick, iterations: 7, milestones: [3, 5]}"),
        FIXED.replace("quick", "quick, recipe.iterations: 7, recipe.milestones: [3, 5]"),
        FIXED + "grid: {recipe.iterations: [7], recipe.milestones: [[3, 5]]}",
        FIXED.replace("quick", "he2015_cifar") + "blocks:\n"
        "  - fixed: {recipe: {name: quick, iterations: 7, milestones: [3, 5]}}\n",
    ],
    ids=["mapping", "dotted", "axes", "block"],
)
def test_a_field_of_the_recipe_can_be_set_in_each_way(load, text):
    [spec] = load(text).runs.values()
    assert (spec.recipe.name, spec.recipe.iterations, spec.recipe.milestones) == ("quick", 7, (3, 5))
    assert spec.recipe.batch_size == 64  # the rest is the preset's


def test_recipes_and_their_fields_can_be_axes(load):
    sweep = load(FIXED + "grid: {recipe: [quick, he2015_cifar], recipe.learning_rate: [1e-4, 0.5]}\n")
    assert [(spec.recipe.name, spec.recipe.learning_rate) for spec in sweep.runs.values()] == [
        ("quick", 1e-4), ("quick", 0.5), ("he2015_cifar", 1e-4), ("he2015_cifar", 0.5),
    ]  # fmt: skip


# -- name, description, figures ---------------------------------------------------------------------------------------


def test_the_name_is_the_files_unless_it_says_another(load):
    assert load(FIXED).name == "mine"
    assert load(FIXED + "name: other\n").name == "other"


def test_the_description_is_one_line_and_the_figures_are_kept_in_order(load):
    sweep = load(FIXED + "description: >\n  two\n  lines\nfigures: [depth_error, degradation]\n")
    assert sweep.description == "two lines"
    assert sweep.figures == ("depth_error", "degradation")


@pytest.mark.parametrize("name", ["a.b-c_d", "Größe", "7"])
def test_a_name_may_be_of_letters_digits_and_three_signs(load, name):
    assert load(FIXED + f"name: '{name}'\n").name == name


# -- overrides --------------------------------------------------------------------------------------------------------


def test_an_override_of_one_value_fixes_a_field(load):
    sweep = load(FIXED + "grid: {depth: [8, 14, 20], seed: [0, 1]}\n", "depth=26")
    assert fields(sweep, "depth", "seed") == [(26, 0), (26, 1)]


@pytest.mark.parametrize("values", ["5,6", "[5, 6]", "[5,6]"])
def test_an_override_of_several_values_is_an_axis(load, values):
    assert fields(load(FIXED, f"seed={values}"), "seed") == [(5,), (6,)]


def test_an_override_reaches_every_block(load):
    text = FIXED + "blocks:\n  - grid: {depth: [8, 14]}\n  - zip: {depth: [20], seed: [4]}\n"
    assert fields(load(text, "seed=5"), "depth", "seed") == [(8, 5), (14, 5), (20, 5)]


def test_runs_that_an_override_makes_equal_are_one(load):
    text = FIXED + "blocks:\n  - grid: {depth: [8, 14]}\n  - grid: {depth: [20, 26]}\n"
    assert fields(load(text, "depth=8"), "depth") == [(8,)]


def test_an_override_can_change_the_recipe_and_its_fields(load):
    [spec] = load(FIXED, "recipe=he2015_cifar", "recipe.learning_rate=1e-4", "recipe.iterations=10").runs.values()
    assert (spec.recipe.name, spec.recipe.learning_rate, spec.recipe.iterations) == ("he2015_cifar", 1e-4, 10)


@pytest.mark.parametrize("value, milestones", [("[3,5]", (3, 5)), ("3,5", (3, 5)), ("[]", ()), ("[3]", (3,))])
def test_milestones_are_one_value_though_a_list(load, value, milestones):
    [spec] = load(FIXED, f"recipe.milestones={value}").runs.values()
    assert spec.recipe.milestones == milestones


def test_the_name_can_be_overridden(load):
    assert load(FIXED + "name: one\n", "name=two").name == "two"


@pytest.mark.parametrize(
    "override, message",
    [
        ("dept=8", "override 'dept=8': unknown field 'dept'; did you mean 'depth'?"),
        ("depth", "override 'depth': write it as field=value"),
        ("depth=[]", "override 'depth=\\[\\]': gives no value"),
        ("depth=34", "override 'depth=34': depth: 34 is not 6n"),
        ("depth=[8", "override 'depth=\\[8': override:1: not valid YAML"),
        ("seed=0,a", "override 'seed=0,a': seed: must be a valid integer, not 'a'"),
        ("name=a/b", "override: name: 'a/b' must be"),
        ("recipe.name=x", "override 'recipe.name=x': unknown field 'recipe.name'"),
    ],
)
def test_a_bad_override_is_named(load, override, message):
    with pytest.raises(StudyError, match=f"^{message}"):
        load(FIXED, override)


def test_all_bad_overrides_are_said_at_once(load):
    with pytest.raises(StudyError) as caught:
        load(FIXED, "dept=8", "seed=x", "name=..")
    assert len(str(caught.value).splitlines()) == 3


# -- cost -------------------------------------------------------------------------------------------------------------


def test_a_thousand_runs_expand_in_under_a_second(load):
    started = time.process_time()
    sweep = load(FIXED + f"grid: {{depth: [8, 14, 20, 26], seed: {list(range(250))}}}\n")
    assert len(sweep.runs) == 1000
    assert time.process_time() - started < 1


def test_a_grid_without_end_is_refused_before_it_is_expanded(load):
    started = time.process_time()
    axis = list(range(1000))
    with pytest.raises(StudyError, match=f"1,000,000,000 runs; a sweep has at most {MAX_RUNS:,}"):
        load(FIXED + f"grid: {{seed: {axis}, train_subset: {axis}, train_subset_seed: {axis}}}\n")
    assert time.process_time() - started < 5


# -- light imports ----------------------------------------------------------------------------------------------------

HEAVY = {"torch", "torchvision", "pandas", "numpy", "matplotlib", "pyarrow", "sklearn", "scipy", "submitit"}


def imported(code, tmp_path):
    """The top-level packages that a process has imported after some code."""
    text = f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\nprint('\\n' + ' '.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, cwd=tmp_path)
    return {name.partition(".")[0] for name in run.stdout.splitlines()[-1].split()}


def test_the_spec_imports_nothing_heavy(tmp_path):
    assert not imported("import study.config.sweep, study.config.schema", tmp_path) & HEAVY


@pytest.mark.parametrize(
    "code", ["import study.cli.app", "from study.cli.app import main; sys.argv = ['study', '-h']; main()"]
)
def test_help_imports_nothing_heavy_and_no_pydantic(tmp_path, code):
    assert not imported(code, tmp_path) & (HEAVY | {"pydantic", "yaml", "rich"})


def test_a_dry_run_imports_no_torch(tmp_path, write):
    code = f"from study.cli.app import main; sys.argv = ['study', 'sweep', {str(write(FIXED))!r}, '--dry-run']; main()"
    assert not imported(code, tmp_path) & {"torch", "torchvision", "matplotlib", "sklearn"}


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        *[(word, f"did you mean '{name}'?") for word, name in (
            ("lr", "recipe.learning_rate"), ("LR", "recipe.learning_rate"), ("learning-rate", "recipe.learning_rate"),
            ("epochs", "recipe.iterations"), ("batch", "recipe.batch_size"), ("bs", "recipe.batch_size"),
            ("wd", "recipe.weight_decay"), ("momentum", "recipe.momentum"), ("layers", "depth"), ("model", "network"),
            ("dataset", "data"), ("seeds", "seed"), ("flpi", "recipe.flip"), ("netwrok", "network"), ("gpus", "--device"),
            ("recipe.lr", "recipe.learning_rate"), ("recipe.epochs", "recipe.iterations"), ("recipe.depth", "depth"),
            ("num_epochs", "recipe.iterations"), ("subset", "train_subset"), ("data_root", "--data-root"),
        )],
        *[(word, "(`study list fields` has all)") for word in ("clip", "recipe.clip", "optimizer", "xyz", "o", "")],
    ],
)  # fmt: skip
def test_an_unknown_field_is_answered_with_what_was_meant_or_a_few(tmp_path: Path, word: str, hint: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("fixed: {data: digits, recipe: quick, network: plain, depth: 8, seed: 0}\n")
    with pytest.raises(StudyError) as raised:
        load(path, [f"{word}=1"])
    [line] = raised.value.args
    assert hint in line and ("did you mean" in line) == ("did you mean" in hint) and line.count(",") <= 8
    if word:
        path.write_text(f"fixed: {{data: digits, recipe: quick, network: plain, depth: 8, seed: 0, {word}: 1}}\n")
        with pytest.raises(StudyError) as raised:
            load(path)
        assert any(hint in line for line in raised.value.args)

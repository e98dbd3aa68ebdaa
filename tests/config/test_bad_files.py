"""Bad sweep files: one clear message with the place and what would be right, exit 2, and nothing started."""

from __future__ import annotations

import pytest

from study.config import sweep
from study.errors import StudyError

FIXED = "fixed: {data: digits, recipe: quick, network: plain, depth: 8}\n"
GOOD = FIXED + "grid: {seed: [0, 1]}\n"

BAD = {
    "unknown key at the top": (GOOD + "grids: {}\n", ":3: unknown key 'grids'; did you mean 'grid'?"),
    "unknown key, none near": (GOOD + "xyz: 1\n", ":3: unknown key 'xyz'; known: blocks, description, figures,"),
    "unknown key in a block": (
        FIXED + "blocks:\n  - grid: {seed: [0]}\n  - girds: {seed: [1]}\n", ":4: unknown key 'girds'; did you mean 'grid'?",
    ),
    "unknown field": (GOOD + "zip:\n  dept: [8]\n", ":4: unknown key 'dept'; did you mean 'depth'?"),
    "unknown recipe field": (
        GOOD.replace("quick", "{name: quick, iteratons: 3}"), ":1: unknown key 'iteratons'; did you mean 'iterations'?",
    ),
    "unknown dotted field": (
        GOOD.replace("quick", "quick, recipe.momentun: 0.5"),
        ":1: unknown key 'recipe.momentun'; did you mean 'recipe.momentum'?",
    ),
    "string depth": (GOOD.replace("8", "'8'"), ":1: depth: must be a valid integer, not '8'"),
    "bool seed": (GOOD.replace("[0, 1]", "[0, true]"), ":2: seed: must be a valid integer, not True"),
    "NaN rate": (
        GOOD.replace("quick", "quick, recipe.learning_rate: .nan"),
        ":1: recipe.learning_rate: must be a finite number, not nan",
    ),
    "mapping for a number": (GOOD.replace("8", "{a: 1}"), ":1: depth: must be a valid integer, not {'a': 1}"),
    "CIFAR depth 34": (
        GOOD.replace("8", "34"),
        ":1: depth: 34 is not 6n + 2, as the CIFAR family needs; nearest: 32 or 38; "
        "for the 34-layer network of the ImageNet family set family: imagenet",
    ),
    "empty grid": (FIXED + "grid: {}\n", ":2: grid: is empty; give it fields with lists, or leave it out"),
    "grid without value": (FIXED + "grid:\n", ":2: grid: is empty; give it fields with lists, or leave it out"),
    "empty axis": (FIXED + "grid:\n  seed: []\n", ":3: grid.seed: is an empty list, so there is nothing to run"),
    "axis that is no list": (FIXED + "grid: {seed: 0}\n", ":2: grid.seed: must be a list such as [0]"),
    "axis without value": (FIXED + "grid: {seed: }\n", ":2: grid.seed: must be a list such as [...]"),
    "unequal zip": (
        FIXED + "zip: {seed: [0, 1, 2], width: [1, 2]}\n", ":2: zip: lists of unequal length (seed: 3, width: 2)",
    ),
    "field in grid and zip": (GOOD + "zip: {seed: [3]}\n", ":3: 'seed' stands in both grid and zip"),
    "duplicate run": (
        GOOD.replace("[0, 1]", "[0, 1, 0]"), ":2: duplicate run: plain-8, seed 0, on digits is named twice",
    ),
    "duplicate run in two blocks": (
        FIXED + "blocks:\n  - fixed: {seed: 0}\n  - grid: {depth: [8]}\n    fixed: {seed: 0}\n",
        ":5: duplicate run: plain-8, seed 0, on digits is named twice, first at FILE:3",
    ),
    "shortcuts of a plain network": (
        GOOD.replace("[0, 1]", "[0], shortcut: [A, B]"),
        ":2: duplicate run: plain-8, seed 0, on digits is named twice (a plain network has no shortcut)",
    ),
    "duplicate key": (GOOD + "fixed: {}\n", ":3: duplicate key 'fixed' (first on line 1)"),
    "name with a slash": (GOOD + "name: a/b\n", ":3: name: 'a/b' must be text of at most 60 letters"),
    "name with two dots": (GOOD + "name: a..b\n", ":3: name: 'a..b' must be"),
    "name that is a parent": (GOOD + "name: ..\n", ":3: name: '..' must be"),
    "name that is a number": (GOOD + "name: 12\n", ":3: name: 12 must be text"),
    "name that is too long": (GOOD + f"name: {'a' * 61}\n", "' must be text of at most 60 letters"),
    "empty name": (GOOD + "name: ''\n", ":3: name: '' must be"),
    "description that is no text": (GOOD + "description: [a]\n", ":3: description: must be text"),
    "unknown figure": (GOOD + "figures: [degredation]\n", ":3: no figure 'degredation'; did you mean 'degradation'?"),
    "figure that is a list": (GOOD + "figures: [[a]]\n", ":3: no figure ['a']; known: contours, degradation,"),
    "figures that are no list": (GOOD + "figures: degradation\n", ":3: figures: must be a list of names: degradation"),
    "unknown recipe": (GOOD.replace("quick", "quik"), ":1: recipe: no recipe 'quik'; did you mean 'quick'?"),
    "recipe that is a number": (GOOD.replace("quick", "3"), ":1: recipe: must be a name, not 3; known: he2015_cifar"),
    "recipe mapping as an axis": (
        FIXED + "grid: {seed: [0], recipe: [{name: quick}]}\n", ":2: grid.recipe: is a list of names; vary a field as",
    ),
    "unknown data": (GOOD.replace("digits", "cifar"), ":1: data: no data set 'cifar'; did you mean 'cifar10'?"),
    "image_folder without folder": (
        GOOD.replace("digits", "image_folder"), ":1: folder: is missing; data: image_folder needs the name of a folder",
    ),
    "folder with a slash": (
        GOOD.replace("digits", "image_folder, folder: a/b"), ":1: folder: must be the name of a folder under the data",
    ),
    "missing fields": ("fixed: {data: digits, seed: 0}\n", ":1: missing: network, depth, recipe (in fixed, grid or zip)"),
    "nothing in it": ("", ":1: a sweep file is a mapping with the keys name, description, fixed"),
    "a list at the top": ("- a\n- b\n", ":1: a sweep file is a mapping"),
    "a word": ("hello\n", ":1: a sweep file is a mapping"),
    "an empty mapping": ("{}\n", ":1: missing: network, depth, data, recipe, seed (in fixed, grid or zip)"),
    "fixed that is no mapping": ("fixed: 3\n", ":1: fixed: must be a mapping of field: value"),
    "blocks that are no list": (FIXED + "blocks: {seed: 3}\n", ":2: blocks: must be a list of mappings with fixed, grid"),
    "a block that is a word": (FIXED + "blocks: [a]\n", ":2: a block is a mapping with fixed, grid, zip"),
    "grid beside blocks": (GOOD + "blocks: [{grid: {depth: [8]}, fixed: {seed: 0}}]\n", ":2: 'grid' beside 'blocks'"),
    "not YAML": (GOOD + "}\n", ":3: not valid YAML: "),
    "tab": ("fixed:\n\tdata: digits\n", ":2: not valid YAML: found character '\\t'"),
    "a tag of Python": ("fixed: !!python/object/apply:os.mkdir [results]\n", ":1: the tag '!!python/object/apply:os.mkdir'"),
    "huge grid": (
        FIXED + f"grid: {{seed: {list(range(400))}, train_subset: {list(range(2, 402))}}}\n",
        ": 160,000 runs; a sweep has at most 100,000",
    ),
}  # fmt: skip


@pytest.mark.parametrize("text, message", BAD.values(), ids=BAD)
def test_each_mistake_is_one_line_with_its_place(load, tmp_path, text, message):
    with pytest.raises(StudyError) as caught:
        load(text)
    said, file = str(caught.value), str(tmp_path / "mine.yaml")
    assert said.startswith(f"{file}:")
    assert message.replace("FILE", file) in said
    assert len(said.splitlines()) == 1, "one mistake, one line"


def test_the_name_of_the_file_must_do_for_a_name(tmp_path):
    path = tmp_path / "my sweep.yaml"
    path.write_text(GOOD)
    with pytest.raises(StudyError, match="'my sweep' \\(the file's; set `name:` in it\\) must be text of"):
        sweep.load(path)
    assert sweep.load(path, ["name=mine"]).name == "mine"


SEVERAL = """\
name: a/b
fixed: {data: cifar, recipe: quick, netwrok: plain, depth: 34}
grid: {seed: [0, true], depth: [8, 34, 35]}
zip: {width: [1, 2], train_subset: [10]}
figures: [depth_errors]
figures: []
colour: red
"""


@pytest.mark.parametrize(
    "text, line",
    [
        (
            "fixed: {family: resnet, recipe: quick, network: plain, depth: 8, seed: 0}\n",
            ":1: family: must be 'cifar', ",
        ),
        ("fixed: {family: [], recipe: quick, network: plain, depth: 8, seed: 0}\n", ":1: family: must be 'cifar', "),
        (
            GOOD.replace("quick", "quick, probes: weights, recipe.evaluate_every: x"),
            ":1: recipe.evaluate_every: must be",
        ),
    ],
    ids=["an unknown family", "a family that is a list", "evaluations that probes follow"],
)
def test_a_default_that_hangs_on_a_wrong_field_is_no_mistake_of_its_own(load, text, line):
    with pytest.raises(StudyError) as caught:
        load(text)
    said = [mistake for mistake in caught.value.args if " missing: " not in mistake]
    assert len(said) == 1 and line in said[0]


def test_all_mistakes_are_in_one_message(load):
    with pytest.raises(StudyError) as caught:
        load(SEVERAL)
    said = [line.split("mine.yaml")[1] for line in str(caught.value).splitlines()]
    assert sorted(said) == sorted(set(said))
    starts = [
        ":1: name: 'a/b'",
        ":2: data: no data set 'cifar'",
        ":2: unknown key 'netwrok'; did you mean 'network'?",
        ":3: seed: must be a valid integer, not True",
        ":3: depth: 34 is not",
        ":3: depth: 35 is not",
        ":4: zip: lists of unequal length",
        ":5: no figure 'depth_errors'; did you mean 'depth_error'?",
        ":6: duplicate key 'figures' (first on line 5)",
        ":7: unknown key 'colour'",
    ]
    assert len(said) == len(starts)
    for start in starts:
        assert any(line.startswith(start) for line in said), start


def test_a_misspelt_key_breeds_no_other_mistake(load):
    text = "fixed: {data: digits, recipe: quick, network: plain, famly: imagenet, depth: 18, sed: 0}\n"
    with pytest.raises(StudyError) as caught:
        load(text)
    assert [line.split(": ")[1] for line in str(caught.value).splitlines()] == [
        "unknown key 'famly'; did you mean 'family'?",
        "unknown key 'sed'; did you mean 'seed'?",
    ]


# -- by the real command ----------------------------------------------------------------------------------------------


def refused(result, tmp_path):
    """The complaint of a refused command, which wrote nothing and said it plainly."""
    assert result.returncode == 2, result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "results").exists()
    return result.stderr


@pytest.mark.parametrize("kind", ["unknown key at the top", "CIFAR depth 34", "duplicate key", "a tag of Python"])
def test_the_command_refuses_a_bad_file(study_inside, write, tmp_path, kind):
    text, message = BAD[kind]
    assert refused(study_inside("sweep", write(text)), tmp_path) == f"study: {tmp_path}/mine.yaml{message}" + (
        " has no meaning in a sweep file\n" if kind == "a tag of Python" else "\n"
    )


def test_the_command_says_each_of_several_mistakes(study, write, tmp_path):
    said = refused(study("sweep", write(SEVERAL), "dept=3"), tmp_path).splitlines()
    assert len(said) == 11
    assert all(line.startswith("study: ") for line in said)


def test_the_command_refuses_a_missing_data_root_before_anything_starts(study_inside, write, tmp_path):
    said = refused(study_inside("sweep", write(GOOD.replace("digits", "image_folder, folder: mine"))), tmp_path)
    assert len(said.splitlines()) == 1
    assert f"{tmp_path}/data/mine" in said


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda path: None, "cannot read it: No such file or directory"),
        (lambda path: path.mkdir(), "is a folder, not a sweep file"),
        (lambda path: path.write_bytes(bytes(range(256))), "is not UTF-8 text"),
        (lambda path: path.write_bytes("name: é".encode("latin-1")), "is not UTF-8 text"),
        (lambda path: path.write_text("a: \0"), "unacceptable character"),
    ],
    ids=["missing", "folder", "binary", "latin-1", "null"],
)
def test_the_command_refuses_a_file_that_it_cannot_read(study_inside, tmp_path, make, message):
    path = tmp_path / "mine.yaml"
    make(path)
    said = refused(study_inside("sweep", path), tmp_path)
    assert said.startswith(f"study: {path}")
    assert message in said
    assert len(said.splitlines()) == 1

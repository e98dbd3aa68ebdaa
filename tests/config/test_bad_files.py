"""Bad sweep files: one clear message with the place and what would be right, exit 2, and nothing started."""

import pytest

from study.config import sweep
from study.errors import StudyError
from tests.launch.command import inside

FIXED = "fixed: {data: digits, recipe: quick, network: plain, depth: 8}\n"
GOOD = FIXED + "grid: {seed: [0, 1]}\n"

BAD = {
    "unknown key at the top": (GOOD + "grids: {}\n", ":3: grids: is unknown; did you mean 'grid'?"),
    "unknown field": (GOOD + "zip:\n  dept: [8]\n", ":4: zip.dept: is unknown; did you mean 'depth'?"),
    "empty grid": (FIXED + "grid: {}\n", ":2: grid: is empty; give it a value, or leave it out"),
    "empty axis": (FIXED + "grid:\n  seed: []\n", ":3: grid.seed: is empty; give it a value, or leave it out"),
    "axis that is no list": (FIXED + "grid: {seed: 0}\n", ":2: grid.seed: must be a list such as [0]"),
    "unequal zip": (
        FIXED + "zip: {seed: [0, 1, 2], precision: [fp32, tf32]}\n", ":2: zip: lists of unequal length (seed: 3, precision: 2)",
    ),
    "field in grid and zip": (GOOD + "zip: {seed: [3]}\n", ":3: zip: 'seed' stands in both grid and zip"),
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
    "name with a slash": (GOOD + "name: a/b\n", ":3: name: 'a/b' must be text of at most 60 letters"),
    "unknown figure": (GOOD + "figures: [degredation]\n", ":3: figures: no figure 'degredation'; did you mean 'degradation'?"),
    "figures that are no list": (GOOD + "figures: degradation\n", ":3: figures: must be a list such as [degradation]"),
    "unknown recipe": (GOOD.replace("quick", "quik"), ":1: recipe: no recipe 'quik'; did you mean 'quick'?"),
    "missing fields": ("fixed: {data: digits, seed: 0}\n", ":1: missing: network, depth, recipe (in fixed, grid or zip)"),
    "nothing in it": ("", ":1: a sweep file is a mapping with the keys fixed, grid, zip, name, description"),
    "grid beside blocks": (GOOD + "blocks: [{grid: {depth: [8]}, fixed: {seed: 0}}]\n", ":3: blocks: 'grid' beside 'blocks'"),
}  # fmt: skip


def mistakes_of(load, text, tmp_path):
    """What is said of a file, after its name."""
    with pytest.raises(StudyError) as caught:
        load(text)
    file = str(tmp_path / "mine.yaml")
    assert all(line.startswith(f"{file}:") for line in caught.value.args)
    return [line.removeprefix(file).replace(file, "FILE") for line in caught.value.args]


@pytest.mark.parametrize("text, message", BAD.values(), ids=BAD)
def test_each_mistake_is_one_line_with_its_place(load, tmp_path, text, message):
    [said] = mistakes_of(load, text, tmp_path)
    assert said.startswith(message)


def test_mistakes_in_options_have_their_own_lines(load, tmp_path):
    axes = "grid:\n  seed: [0]\n  network: [residual]\n  shortcut:\n    - A\n    - name: scaled\n      scale: x\n"
    assert mistakes_of(load, FIXED + axes + "      brunch: 1\n", tmp_path) == [
        ":9: shortcut.brunch: is no option of shortcut: scaled, which has scale and branch; did you mean 'branch'?"
    ]
    [said] = mistakes_of(load, FIXED + axes, tmp_path)
    assert said.startswith(":8: shortcut.scale: must be a valid number")


def test_a_file_name_that_is_no_sweep_name_is_refused(tmp_path):
    path = tmp_path / "my sweep.yaml"
    path.write_text(GOOD)
    with pytest.raises(StudyError, match="'my sweep' \\(the file's; set `name:` in it\\) must be text of"):
        sweep.load(path)
    assert sweep.load(path, ["name=mine"]).name == "mine"


SEVERAL = """\
name: a/b
fixed: {data: cifar, recipe: quick, netwrok: plain, depth: 34}
grid: {seed: [0, true], depth: [8, 34, 35]}
zip: {precision: [fp32, tf32], train_subset: [10]}
figures: [depth_errors]
figures: []
colour: red
"""


def test_all_mistakes_are_reported_at_once(load, tmp_path):
    text = GOOD.replace("digits", "cifar").replace("8}", "8, precision: fp16}") + "zip: {depth: [8, 34]}\n"
    for file, starts in (
        (text, [":1: data: no data set", ":1: precision: must be", ":3: depth: 34 is not"]),
        (SEVERAL, [
            ":1: name: 'a/b'", ":2: fixed.netwrok: is unknown; did you mean 'network'?", ":4: zip: lists of unequal length",
            ":5: figures: no figure 'depth_errors'; did you mean 'depth_error'?",
            ":6: duplicate key 'figures' (first on line 5)", ":7: colour: is unknown",
        ]),
    ):  # fmt: skip
        said = sorted(mistakes_of(load, file, tmp_path))
        assert len(said) == len(starts)
        assert all(line.startswith(start) for line, start in zip(said, starts, strict=True)), said


# -- by the command ----------------------------------------------------------------------------------------------


def refused(result, tmp_path):
    """The complaint of a refused command, which wrote nothing and said it plainly."""
    assert result.code == 2 and result.out == "" and "Traceback" not in result.err, result
    assert not (tmp_path / "results").exists()
    return result.err


def test_the_command_prints_every_mistake(write, tmp_path):
    said = refused(inside(tmp_path, "sweep", write(SEVERAL), "dept=3"), tmp_path).splitlines()
    assert len(said) == 6 and all(line.startswith("study: ") for line in said)


def test_the_command_refuses_a_missing_data_root_before_anything_starts(write, tmp_path):
    text = GOOD.replace("digits", "{name: image_folder, folder: mine}")
    said = refused(inside(tmp_path, "sweep", write(text)), tmp_path)
    assert len(said.splitlines()) == 1 and "data/mine" in said


@pytest.mark.parametrize("make, message", [
    (lambda path: None, "cannot read it: No such file or directory"),
    (lambda path: path.mkdir(), "is a folder, not a sweep file"),
    (lambda path: path.write_bytes(bytes(range(256))), "is not UTF-8 text"),
    (lambda path: path.write_text("a: \0"), "unacceptable character"),
], ids=["missing", "folder", "binary", "null"])  # fmt: skip
def test_the_command_refuses_an_unreadable_file(tmp_path, make, message):
    path = tmp_path / "mine.yaml"
    make(path)
    said = refused(inside(tmp_path, "sweep", path), tmp_path)
    assert said.startswith(f"study: {path}") and message in said and len(said.splitlines()) == 1

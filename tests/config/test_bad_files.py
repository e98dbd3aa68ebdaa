"""Bad sweep files: one clear message with the place and what would be right, exit 2, nothing started; YAML is plain data."""

from pathlib import Path

import pytest

from study.config import sweep
from study.config.yaml import MAX_BYTES, parse, read, scalar
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
    said = sorted(mistakes_of(load, text, tmp_path))
    starts = [":1: data: no data set", ":1: precision: must be", ":3: depth: 34 is not"]
    assert all(line.startswith(start) for line, start in zip(said, starts, strict=True)), said


# -- by the command ----------------------------------------------------------------------------------------------


def refused(result, tmp_path):
    """The complaint of a refused command, which wrote nothing and said it plainly."""
    assert result.code == 2 and result.out == "" and "Traceback" not in result.err, result
    assert not (tmp_path / "results").exists()
    return result.err


def test_the_command_prints_every_mistake(write, tmp_path):
    said = sorted(refused(inside(tmp_path, "sweep", write(SEVERAL), "dept=3"), tmp_path).splitlines())
    starts = [
        "1: name: 'a/b'", "2: fixed.netwrok: is unknown; did you mean 'network'?", "4: zip: lists of unequal length",
        "5: figures: no figure 'depth_errors'; did you mean 'depth_error'?",
        "6: duplicate key 'figures' (first on line 5)", "7: colour: is unknown",
    ]  # fmt: skip
    for line, start in zip(said, starts, strict=True):
        assert line.startswith(f"study: {tmp_path}/mine.yaml:{start}"), said


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


# -- YAML: numbers as everybody means them, the line of everything, and nothing but plain data -------------------------

SCALARS = [
    ("1e-4", 1e-4), ("1E-4", 1e-4), ("5e3", 5000.0), (".5e1", 5.0), ("-1e-4", -1e-4), ("0.1", 0.1), ("20", 20), ("0x10", 16),
    ("1_000", 1000), ("-.inf", float("-inf")), ("true", True), ("null", None), ("plain", "plain"), ("e5", "e5"),
    ("'1e-4'", "1e-4"),
    ("010", "010"), ("1:30", "1:30"), ("2020-01-01", "2020-01-01"), ("[0, 1]", [0, 1]), ("<<", "<<"),
]  # fmt: skip


@pytest.mark.parametrize("text, value", SCALARS)
def test_scalars(text, value):
    read_as = scalar(text)
    assert read_as == value and type(read_as) is type(value)


def test_every_part_has_its_line():
    document = parse("name: a\ngrid:\n  depth:\n    - 8\n    - 20\n  seed: [0,\n   1]\n", "f.yaml")
    places = {("name",): 1, ("grid",): 2, ("grid", "depth", 1): 5, ("grid", "seed", 1): 7, ("grid", "seed", 3, "x"): 6}
    assert {path: document.place(path) for path in places} == {path: f"f.yaml:{line}" for path, line in places.items()}
    assert parse("a: &x [1, 2]\nb: *x\n").data == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize("text, mistakes", [
    ("a: 1\nb: 2\na: 3\n", ["3: duplicate key 'a' (first on line 1)"]),
    ("x: {a: 1, a: 2}\nx: 1\n", ["1: duplicate key 'a' (first on line 1)", "2: duplicate key 'x' (first on line 1)"]),
    ("a: 1\n3: x\n", ["2: a key must be a word, not '3'"]),
    ("yes: x\n", ["1: a key must be a word, not 'yes'"]),
    ("[1, 2]: x\n", ["1: a key must be a word, not a list or mapping"]),
])  # fmt: skip
def test_bad_keys_are_noted_with_their_lines(text, mistakes):
    assert list(parse(text, "f.yaml").mistakes) == [f"f.yaml:{mistake}" for mistake in mistakes]


@pytest.mark.parametrize("text, message", [
    ("a: [1,\n", "f.yaml:2: not valid YAML: "),
    ("a:\n\t- 1\n", "f.yaml:2: not valid YAML: found character '\\t'"),
    ("a: 1\n---\nb: 2\n", "f.yaml:2: not valid YAML: expected a single document"),
    ("a: *nowhere\n", "f.yaml:1: not valid YAML: found undefined alias"),
    ("a: !!python/object/apply:os.system ['false']\n", "f.yaml:1: the tag '!!python/object/apply:os.system' has no"),
    ("\na: !mine 3\n", "f.yaml:2: the tag '!mine' has no meaning"),
    ("a: !!set {b, c}\n", "f.yaml:1: the tag '!!set' has no meaning"),
    ("!!str a: 1\n", "f.yaml:1: the tag '!!str' has no meaning"),
    ("a: " + "9" * 5000 + "\n", "is too large"),
    ("a: x\0y\n", "f.yaml: not valid YAML: unacceptable character"),
    ("a: &a [*a]\n", "f.yaml: nested too deeply"),
    ("[" * 2000, "f.yaml: nested too deeply"),
])  # fmt: skip
def test_invalid_yaml_is_refused(text, message):
    with pytest.raises(StudyError) as caught:
        parse(text, "f.yaml")
    assert message in str(caught.value) and len(str(caught.value)) < 300


def test_large_files_are_refused(tmp_path):
    for path, size in ((Path("/dev/zero"), None), (tmp_path / "long.yaml", MAX_BYTES + 1)):
        if size is not None:
            path.write_bytes(b"#" * size)
        with pytest.raises(StudyError, match="at most 1,000,000 bytes"):
            read(path)
    (tmp_path / "long.yaml").write_bytes(b"#" * MAX_BYTES)
    assert read(tmp_path / "long.yaml").data is None

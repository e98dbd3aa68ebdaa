"""YAML: numbers as everybody means them, the line of everything, and nothing but plain data."""

from pathlib import Path

import pytest

from study.config.yaml import MAX_BYTES, parse, read, scalar
from study.errors import StudyError

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

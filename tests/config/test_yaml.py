"""YAML: numbers as everybody means them, the line of everything, and nothing but plain data."""

from __future__ import annotations

from pathlib import Path

import pytest

from study.config import yaml
from study.config.yaml import parse, read, scalar
from study.errors import StudyError


@pytest.mark.parametrize(
    "text, value",
    [
        ("1e-4", 1e-4),
        ("1E-4", 1e-4),
        ("5e3", 5000.0),
        (".5e1", 5.0),
        ("-1e-4", -1e-4),
        ("1.0e-4", 1e-4),
        ("0.1", 0.1),
        ("20", 20),
        ("true", True),
        ("null", None),
        ("plain", "plain"),
        ("e5", "e5"),
        ("'1e-4'", "1e-4"),
        ("[0, 1]", [0, 1]),
    ],
)
def test_a_scalar_is_what_everybody_means_by_it(text, value):
    read_as = scalar(text)
    assert read_as == value
    assert type(read_as) is type(value)


def test_every_part_has_its_line():
    document = parse("name: a\ngrid:\n  depth:\n    - 8\n    - 20\n  seed: [0,\n   1]\n", "f.yaml")
    assert document.place(("name",)) == "f.yaml:1"
    assert document.place(("grid",)) == "f.yaml:2"
    assert document.place(("grid", "depth", 1)) == "f.yaml:5"
    assert document.place(("grid", "seed", 1)) == "f.yaml:7"


def test_an_unknown_part_has_the_line_of_its_nearest_parent():
    assert parse("a: 1\ngrid: {depth: [8]}\n", "f.yaml").place(("grid", "seed", 3)) == "f.yaml:2"


def test_an_alias_stands_for_its_anchor():
    assert parse("a: &x [1, 2]\nb: *x\n").data == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize(
    "text, mistakes",
    [
        ("a: 1\nb: 2\na: 3\n", ["f.yaml:3: duplicate key 'a' (first on line 1)"]),
        ("x: {a: 1, a: 2}\nx: 1\n", [
            "f.yaml:1: duplicate key 'a' (first on line 1)",
            "f.yaml:2: duplicate key 'x' (first on line 1)",
        ]),
        ("a: 1\n3: x\n", ["f.yaml:2: a key must be a word, not '3'"]),
        ("yes: x\n", ["f.yaml:1: a key must be a word, not 'yes'"]),
        ("[1, 2]: x\n", ["f.yaml:1: a key must be a word, not a list or mapping"]),
        ("a: {<<: {b: 1}}\n", ["f.yaml:1: a key must be a word, not '<<'"]),
    ],
)  # fmt: skip
def test_a_bad_key_is_noted_with_its_line(text, mistakes):
    document = parse(text, "f.yaml")
    assert list(document.mistakes) == mistakes
    with pytest.raises(StudyError, match=r"f\.yaml:"):
        document.check()


@pytest.mark.parametrize(
    "text, message",
    [
        ("a: [1,\n", "f.yaml:2: not valid YAML: "),
        ("a:\n\t- 1\n", "f.yaml:2: not valid YAML: found character '\\t'"),
        ("a: 1\n---\nb: 2\n", "f.yaml:2: not valid YAML: expected a single document"),
        ("a: *nowhere\n", "f.yaml:1: not valid YAML: found undefined alias"),
        (
            "a: !!python/object/apply:os.system ['false']\n",
            "f.yaml:1: the tag '!!python/object/apply:os.system' has no",
        ),
        ("a: !!python/object:os.system {b: 1}\n", "f.yaml:1: the tag '!!python/object:os.system' has no meaning"),
        ("a: !!python/name:os.system\n", "f.yaml:1: the tag '!!python/name:os.system' has no meaning"),
        ("\na: !mine 3\n", "f.yaml:2: the tag '!mine' has no meaning"),
        ("a: !!set {b, c}\n", "f.yaml:1: the tag '!!set' has no meaning"),
        ("a: !!bool maybe\n", "f.yaml:1: 'maybe' is no bool"),
        ("a: !!int ''\n", "f.yaml:1: '' is no int"),
        ("a: !!timestamp noon\n", "f.yaml:1: 'noon' is no timestamp"),
        ("\na: 2020-13-45\n", "f.yaml:2: '2020-13-45' is no timestamp"),
        ("a: " + "9" * 5000 + "\n", "is no int"),
        ("a: x\0y\n", "f.yaml: not valid YAML: unacceptable character"),
        ("a: &a [*a]\n", "f.yaml: nested too deeply"),
        ("[" * 2000, "f.yaml: nested too deeply"),
    ],
)
def test_what_is_not_plain_data_is_refused(text, message):
    with pytest.raises(StudyError) as caught:
        parse(text, "f.yaml")
    assert message in str(caught.value)
    assert len(str(caught.value)) < 300


def test_aliases_of_aliases_do_not_fill_the_memory():
    bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
    for this, before in zip("bcdefghi", "abcdefgh", strict=True):
        bomb += f"{this}: &{this} [{', '.join(['*' + before] * 10)}]\n"
    with pytest.raises(StudyError, match="more than 100,000 values"):
        parse(bomb)


def test_a_file_without_end_is_not_read_to_its_end():
    with pytest.raises(StudyError, match="at most 1,000,000 bytes"):
        read(Path("/dev/zero"))


def test_a_file_may_have_as_many_bytes_as_the_message_says(tmp_path, monkeypatch):
    monkeypatch.setattr(yaml, "MAX_BYTES", 100)
    path = tmp_path / "long.yaml"
    path.write_bytes(b"#" * 100)
    assert read(path).data is None
    path.write_bytes(b"#" * 101)
    with pytest.raises(StudyError, match="at most 100 bytes"):
        read(path)

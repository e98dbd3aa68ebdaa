"""YAML as sweep files need it: the safe loader, duplicate keys refused, and the line of everything kept."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from study.errors import StudyError, closest, nearest

Keys = tuple[str | int, ...]
"""The way to a part of a document: `("grid", "depth", 0)`."""

MAX_BYTES = 1_000_000
MAX_NODES = 200_000

_SCALARS = ("!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp")


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, reading `1e-4` as the number that everybody means by it (YAML 1.2)."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$"), list("-+.0123456789")
)


class Document:
    """The data of a YAML file, where each part of it stands, and the mistakes found in it so far."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.data: Any = None
        self.lines: dict[Keys, int] = {}
        self.mistakes: dict[str, None] = {}

    def place(self, path: Keys) -> str:
        """`file:line` of the nearest known parent of a path, for messages."""
        while path not in self.lines and path:
            path = path[:-1]
        return f"{self.file}:{self.lines.get(path, 1)}"

    def wrong(self, path: Keys, message: str) -> None:
        """Note a mistake, and let the reading go on to find the others."""
        self.mistakes[f"{self.place(path)}: {message}"] = None

    def known(self, mapping: dict[str, Any], path: Keys, known: Sequence[str]) -> dict[str, Any]:
        """The entries with a known key. A misspelt one is noted, and read as the key that was meant, so that it neither
        hides another mistake nor breeds one."""
        kept = {key: value for key, value in mapping.items() if key in known}
        for key, value in mapping.items():
            if key not in known:
                self.wrong((*path, key), f"unknown key '{key}'{nearest(key, known)}")
                meant = closest(key, known)
                if meant is not None and meant not in kept:
                    kept[meant] = value
                    self.lines[(*path, meant)] = self.lines.get((*path, key), 1)
        return kept

    def check(self) -> None:
        """Raise StudyError with every mistake that was noted, one a line."""
        if self.mistakes:
            raise StudyError("\n".join(self.mistakes))


def read(path: Path) -> Document:
    """Read a YAML file; duplicate keys are noted in its `mistakes`.

    Raises
    ------
    StudyError
        Unreadable, too large or not YAML; with the file and, where it is known, the line.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise StudyError(f"{path}: cannot read it: {error.strerror}") from None
    if len(raw) > MAX_BYTES:
        raise StudyError(f"{path}: a sweep file has at most {MAX_BYTES:,} bytes")
    try:
        return parse(raw.decode("utf-8"), str(path))
    except UnicodeDecodeError:
        raise StudyError(f"{path}: is not UTF-8 text") from None


def parse(text: str, file: str = "<text>") -> Document:
    """Parse YAML text; `file` names it in messages. As `read`."""
    document = Document(file)
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is not None:
            document.data = _build(loader, node, (), document, [0])
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        before = f"{error.context} " if str(error.problem).startswith("but ") else ""
        raise StudyError(f"{file}{line}: not valid YAML: {before}{error.problem}") from None
    except yaml.YAMLError as error:
        raise StudyError(f"{file}: not valid YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise StudyError(f"{file}: nested too deeply, or an alias that holds itself") from None
    return document


def _build(loader: _Loader, node: yaml.Node, path: Keys, document: Document, count: list[int]) -> Any:
    count[0] += 1
    if count[0] > MAX_NODES:  # aliases of aliases: a small file that unfolds without end
        raise StudyError(f"{document.file}: more than {MAX_NODES:,} values")
    line = document.lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
        return _mapping(loader, node, path, document, count)
    if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
        return [_build(loader, child, (*path, i), document, count) for i, child in enumerate(node.value)]
    tag = node.tag.replace("tag:yaml.org,2002:", "!!")
    if tag not in _SCALARS or not isinstance(node, yaml.ScalarNode):
        raise StudyError(f"{document.file}:{line}: the tag '{tag}' has no meaning in a sweep file")
    try:
        return loader.construct_object(node)
    except (ValueError, LookupError, AttributeError):  # `!!int ''`, month 13, ...: PyYAML's ways to say no
        raise StudyError(f"{document.file}:{line}: {node.value!r:.80} is no {tag.removeprefix('!!')}") from None


def _mapping(
    loader: _Loader, node: yaml.MappingNode, path: Keys, document: Document, count: list[int]
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if key_node.tag != "tag:yaml.org,2002:str":  # 3, yes, <<, a list, ...
            shown = f"'{key_node.value}'" if isinstance(key_node, yaml.ScalarNode) else "a list or mapping"
            document.mistakes[f"{document.file}:{line}: a key must be a word, not {shown}"] = None
            continue
        key = key_node.value
        if key in result:
            first = document.lines[(*path, key)]
            document.mistakes[f"{document.file}:{line}: duplicate key '{key}' (first on line {first})"] = None
            continue
        result[key] = _build(loader, value_node, (*path, key), document, count)
        document.lines[(*path, key)] = line
    return result


def scalar(text: str) -> Any:
    """One value as a sweep file would read it: `0.1`, `true`, `plain`, `[0, 1]`. Raises StudyError."""
    document = parse(text, "override")
    document.check()
    return document.data

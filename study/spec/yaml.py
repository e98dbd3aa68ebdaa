"""YAML as sweep files need it: the safe loader, duplicate keys refused, and the line of everything kept."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from study.errors import StudyError

Path_ = tuple[str | int, ...]

MAX_BYTES = 1_000_000
MAX_NODES = 200_000


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, reading `1e-4` as the number that everybody means by it (YAML 1.2)."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$"), list("-+.0123456789")
)


class Document:
    """The data of a YAML file, and where each part of it stands."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.data: Any = None
        self.lines: dict[Path_, int] = {}

    def place(self, path: Path_) -> str:
        """`file:line` of the nearest known parent of a path, for messages."""
        while path not in self.lines and path:
            path = path[:-1]
        return f"{self.file}:{self.lines.get(path, 1)}"


def read(path: Path) -> Document:
    """Read a YAML file.

    Raises
    ------
    StudyError
        Unreadable, too large, not YAML, or with a duplicate key; with the file and the line.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise StudyError(f"{path}: cannot read it: {error.strerror}") from None
    if len(raw) > MAX_BYTES:
        raise StudyError(f"{path}: {len(raw):,} bytes; a sweep file has at most {MAX_BYTES:,}")
    try:
        return parse(raw.decode("utf-8"), str(path))
    except UnicodeDecodeError:
        raise StudyError(f"{path}: is not UTF-8 text") from None


def parse(text: str, file: str = "<text>") -> Document:
    """Parse YAML text; `file` names it in messages. Raises StudyError as `read` does."""
    document = Document(file)
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is not None:
            document.data = _build(loader, node, (), document, [0])
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise StudyError(f"{file}{line}: not valid YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        raise StudyError(f"{file}: not valid YAML: {' '.join(str(error).split())}") from None
    finally:
        loader.dispose()
    return document


def _build(loader: _Loader, node: yaml.Node, path: Path_, document: Document, count: list[int]) -> Any:
    count[0] += 1
    if count[0] > MAX_NODES:  # aliases of aliases: a small file that unfolds without end
        raise StudyError(f"{document.file}: more than {MAX_NODES:,} values")
    document.lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        return _mapping(loader, node, path, document, count)
    if isinstance(node, yaml.SequenceNode):
        return [_build(loader, child, (*path, i), document, count) for i, child in enumerate(node.value)]
    return loader.construct_object(node)


def _mapping(
    loader: _Loader, node: yaml.MappingNode, path: Path_, document: Document, count: list[int]
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        key = loader.construct_object(key_node) if isinstance(key_node, yaml.ScalarNode) else None
        if not isinstance(key, str):
            raise StudyError(f"{document.file}:{line}: a key must be a word, not {key_node.value!r}")
        if key in result:
            raise StudyError(
                f"{document.file}:{line}: duplicate key '{key}' (first on line {document.lines[(*path, key)]})"
            )
        result[key] = _build(loader, value_node, (*path, key), document, count)
        document.lines[(*path, key)] = line
    return result


def scalar(text: str) -> Any:
    """One value as a sweep file would read it: `0.1`, `true`, `plain`, `[0, 1]`. Raises StudyError."""
    return parse(text, "override").data

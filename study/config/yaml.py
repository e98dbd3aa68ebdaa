"""YAML as sweep files need it: the safe loader, duplicate keys refused, and the line of everything kept."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from study.config.fields import ALIASES
from study.errors import StudyError, closest, nearest

Keys = tuple[str | int, ...]
"""The way to a part of a document: `("grid", "depth", 0)`."""

MAX_BYTES = 1_000_000
MAX_NODES = 100_000
MAX_DEPTH = 32
MAX_MISTAKES = 100
"""After so many the reading need not go on: each takes its time, and nobody reads them all."""

_INT = re.compile(r"[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F]+)")
_FLOAT = re.compile(
    r"[-+]?(?:(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+"
    r"|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)"
)
_NUMBERS = {"!!int": (_INT,), "!!float": (_FLOAT, _INT)}
"""Numbers as everybody means them: 1e-4 is one, as in YAML 1.2; 010 (octal, or 10?) and 1:30 (90, of YAML 1.1) are text."""
LARGEST = 2**63 - 1
"""Of whole numbers: what Parquet and NumPy can hold."""

_SCALARS = ("!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp")


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with numbers of our own, which ends where a file has too many values."""

    def __init__(self, text: str, file: str) -> None:
        super().__init__(text)
        self.file = file
        self.values = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.values += 1
        if self.values > MAX_NODES:
            raise _too_many(self.file)
        return super().compose_node(parent, index)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":int", ":float"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, _pattern in (("int", _INT), ("float", _FLOAT)):
    _whole = re.compile(rf"(?:{_pattern.pattern})$")
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", _whole, list("-+.0123456789"))


def _too_many(file: str) -> StudyError:
    return StudyError(f"{file}: more than {MAX_NODES:,} values")


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

    @property
    def full(self) -> bool:
        """Whether as many mistakes were noted as are said."""
        return len(self.mistakes) >= MAX_MISTAKES

    def note(self, *mistakes: str) -> None:
        """Note mistakes, each a line with its place, and let the reading go on to find the others."""
        for mistake in mistakes:
            if not self.full:
                self.mistakes[mistake] = None

    def wrong(self, path: Keys, message: str) -> None:
        """Note what is wrong at a path."""
        self.note(f"{self.place(path)}: {message}")

    def known(self, mapping: dict[str, Any], path: Keys, known: Sequence[str], listing: str = "") -> dict[str, Any]:
        """The entries with a known key. A misspelt one is noted, and read as the key that was meant, so that it neither
        hides another mistake nor breeds one."""
        kept = {key: value for key, value in mapping.items() if key in known}
        for key, value in mapping.items():
            if key not in known and not self.full:
                self.wrong((*path, key), f"unknown key '{key}'{nearest(key, known, ALIASES, listing)}")
                meant = closest(key, known, ALIASES)
                if meant is not None and meant in known and meant not in kept:
                    kept[meant] = value
                    self.lines[(*path, meant)] = self.lines.get((*path, key), 1)
        return kept

    def check(self) -> None:
        """Raise StudyError with every mistake that was noted, one a line."""
        if self.mistakes:
            more = [f"{self.file}: there may be more mistakes than these {MAX_MISTAKES}"] if self.full else []
            raise StudyError(*self.mistakes, *more)


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
        loader = _Loader(text, file)
        node = _composed(loader)
        if node is not None:
            document.data = _build(loader, node, (), document, [0])
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        before = f"{error.context} " if str(error.problem).startswith("but ") else ""
        raise StudyError(f"{file}{line}: not valid YAML: {before}{error.problem}") from None
    except yaml.YAMLError as error:
        raise StudyError(f"{file}: not valid YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise _too_deep(file) from None
    return document


def _composed(loader: _Loader) -> yaml.Node | None:
    try:
        node: yaml.Node | None = loader.get_single_node()
    except (ValueError, OverflowError):  # `"\U00110000"`, `%YAML 999...`: what PyYAML reads without a look
        line = loader.get_mark().line + 1
        raise StudyError(f"{loader.file}:{line}: not valid YAML: an escape or a version that is out of range") from None
    return node


def _too_deep(file: str) -> StudyError:
    return StudyError(f"{file}: nested too deeply, or an alias that holds itself")


def _build(loader: _Loader, node: yaml.Node, path: Keys, document: Document, count: list[int]) -> Any:
    count[0] += 1
    if count[0] > MAX_NODES:  # aliases of aliases: a small file that unfolds without end
        raise _too_many(document.file)
    if len(path) > MAX_DEPTH:
        raise _too_deep(document.file)
    line = document.lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
        return _mapping(loader, node, path, document, count)
    if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
        return [_build(loader, child, (*path, i), document, count) for i, child in enumerate(node.value)]
    tag = node.tag.replace("tag:yaml.org,2002:", "!!")
    if tag not in _SCALARS or not isinstance(node, yaml.ScalarNode):
        raise StudyError(f"{document.file}:{line}: the tag '{tag}' has no meaning in a sweep file")
    if tag == "!!str":
        return _text(node, document.file)
    if tag in _NUMBERS and not any(pattern.fullmatch(node.value) for pattern in _NUMBERS[tag]):
        raise StudyError(f"{document.file}:{line}: {node.value!r:.80} is no {tag.removeprefix('!!')}")
    try:
        value = loader.construct_object(node)
    except (ValueError, LookupError, AttributeError, ArithmeticError):  # month 13, ...: PyYAML's ways to say no
        raise StudyError(f"{document.file}:{line}: {node.value!r:.80} is no {tag.removeprefix('!!')}") from None
    if isinstance(value, int) and abs(value) > LARGEST:
        raise StudyError(f"{document.file}:{line}: {node.value!r:.80} is too large; the largest is {LARGEST}")
    return value


def _text(node: yaml.ScalarNode, file: str) -> str:
    """The text of a node; two escapes that are one character, as JSON writes those beyond the first 65,536, are made one."""
    text: str = node.value
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        line = node.start_mark.line + 1
        raise StudyError(f"{file}:{line}: {text[:80]!r} has half of a character in it") from None


def _mapping(
    loader: _Loader, node: yaml.MappingNode, path: Keys, document: Document, count: list[int]
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if key_node.tag != "tag:yaml.org,2002:str":  # 3, yes, <<, a list, ...
            shown = f"'{key_node.value}'" if isinstance(key_node, yaml.ScalarNode) else "a list or mapping"
            document.note(f"{document.file}:{line}: a key must be a word, not {shown:.80}")
            continue
        key = _text(key_node, document.file)
        if key in result:
            first = document.lines[(*path, key)]
            document.note(f"{document.file}:{line}: duplicate key '{key}' (first on line {first})")
            continue
        result[key] = _build(loader, value_node, (*path, key), document, count)
        document.lines[(*path, key)] = line
    return result


def scalar(text: str) -> Any:
    """One value as a sweep file would read it: `0.1`, `true`, `plain`, `[0, 1]`. Raises StudyError."""
    document = parse(text, "override")
    document.check()
    return document.data

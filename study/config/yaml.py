"""YAML as sweep files need it: the safe loader, duplicate keys refused, numbers of YAML 1.2, and the line of everything."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from study.config.fields import reasons
from study.errors import StudyError

Keys = tuple[str | int, ...]
"""The way to a part of a document: `("grid", "depth", 0)`."""

MAX_BYTES = 1_000_000
MAX_NODES = 100_000
MAX_DEPTH = 32
MAX_MISTAKES = 100
"""After so many the reading stops: each takes its time, and nobody reads them all."""
LARGEST = 2**63 - 1
"""The largest whole number: what Parquet and NumPy can hold."""

_INT = re.compile(r"[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F]+)$")
_FLOAT = re.compile(
    r"(?:[-+]?(?:(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+"
    r"|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN))$"
)
"""Numbers as everybody means them: 1e-4 is one, as in YAML 1.2; 010 (octal, or 10?) and 1:30 (90, of YAML 1.1) are text."""
_TAG = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the numbers above, which stops where a file has too many values."""

    values = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.values += 1
        if self.values > MAX_NODES:
            raise StudyError(f"{self.name}: more than {MAX_NODES:,} values")
        return super().compose_node(parent, index)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":int", ":float", ":timestamp"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, _pattern in (("int", _INT), ("float", _FLOAT)):
    _Loader.add_implicit_resolver(f"{_TAG}{_tag}", _pattern, list("-+.0123456789"))


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
        """Whether there are as many mistakes as are shown."""
        return len(self.mistakes) >= MAX_MISTAKES

    def note(self, *mistakes: str) -> None:
        """Note mistakes, each a line with its place, and go on to find the others."""
        for mistake in mistakes:
            if not self.full:
                self.mistakes[mistake] = None

    def wrong(self, path: Keys, message: str) -> None:
        """Note what is wrong at a path."""
        self.note(f"{self.place(path)}: {message}")

    def explain(self, error: ValidationError, known: Mapping[str, Iterable[str]], before: Keys = ()) -> list[Keys]:
        """Note each mistake of a failed validation with its line and field; returns where they are.

        `known` as of `study.config.fields.reasons`.
        """
        found = []
        for location, message in reasons(error, known):
            path = (*before, *(part for part in location if part != "[key]"))
            named = ".".join(str(part) for part in path if isinstance(part, str))
            self.wrong(path, f"{named}: {message}" if named else message)
            found.append(path)
        return found

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
        loader = _Loader(text)
        loader.name = file
        node = loader.get_single_node()
        if node is not None:
            document.data = _Builder(document).value(node, ())
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        before = f"{error.context} " if str(error.problem).startswith("but ") else ""
        raise StudyError(f"{file}{line}: not valid YAML: {before}{error.problem}") from None
    except yaml.YAMLError as error:
        raise StudyError(f"{file}: not valid YAML: {' '.join(str(error).split())}") from None
    except (ValueError, OverflowError):  # `"\U00110000"`, `%YAML 999...`: PyYAML does not check them
        line = f":{loader.get_mark().line + 1}"
        raise StudyError(f"{file}{line}: not valid YAML: an escape or a version that is out of range") from None
    except RecursionError:
        raise _too_deep(file) from None
    return document


def _too_deep(file: str) -> StudyError:
    return StudyError(f"{file}: nested too deeply, or an alias that holds itself")


class _Builder:
    """Makes data of nodes, and notes their lines. Counts them, since aliases of aliases unfold without end."""

    def __init__(self, document: Document) -> None:
        self.document, self.count = document, 0

    def value(self, node: yaml.Node, path: Keys) -> Any:
        self.count += 1
        if self.count > MAX_NODES:
            raise StudyError(f"{self.document.file}: more than {MAX_NODES:,} values")
        if len(path) > MAX_DEPTH:
            raise _too_deep(self.document.file)
        self.document.lines[path] = node.start_mark.line + 1
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            return dict(self.items(node, path))
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            return [self.value(child, (*path, i)) for i, child in enumerate(node.value)]
        return self.scalar(node)

    def items(self, node: yaml.MappingNode, path: Keys) -> Iterator[tuple[str, Any]]:
        keys: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            place = f"{self.document.file}:{line}"
            if key_node.tag != f"{_TAG}str":  # 3, yes, <<, a list, ...
                shown = f"'{key_node.value}'" if isinstance(key_node, yaml.ScalarNode) else "a list or mapping"
                self.document.note(f"{place}: a key must be a word, not {shown:.80}")
                continue
            key = self.scalar(key_node)
            if key in keys:
                self.document.note(f"{place}: duplicate key '{key}' (first on line {keys[key]})")
                continue
            keys[key] = line
            yield key, self.value(value_node, (*path, key))
            self.document.lines[(*path, key)] = line

    def scalar(self, node: yaml.Node) -> Any:
        place, tag = f"{self.document.file}:{node.start_mark.line + 1}", node.tag.removeprefix(_TAG)
        text: str = node.value if isinstance(node, yaml.ScalarNode) else ""
        try:
            if not isinstance(node, yaml.ScalarNode):
                raise KeyError(tag)
            value = _SCALARS[tag](text)
        except KeyError:
            raise StudyError(
                f"{place}: the tag '{node.tag.replace(_TAG, '!!')}' has no meaning in a sweep file"
            ) from None
        except UnicodeDecodeError:
            raise StudyError(f"{place}: {text[:80]!r} has half of a character in it") from None
        except ValueError:
            raise StudyError(f"{place}: {text!r:.80} is no {tag}") from None
        if isinstance(value, int) and abs(value) > LARGEST:
            raise StudyError(f"{place}: {text!r:.80} is too large; the largest is {LARGEST}")
        return value


def _text(text: str) -> str:
    """Two escapes that are one character, as JSON writes those beyond the first 65,536, are made one."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16")


def _whole(text: str) -> int:
    if not _INT.match(text):
        raise ValueError(text)
    return int(text.replace("_", ""), 16 if "0x" in text else 10)


def _real(text: str) -> float:
    if not (_FLOAT.match(text) or _INT.match(text)):
        raise ValueError(text)
    return (
        float(text.replace("_", "").replace(".inf", "inf").replace(".nan", "nan")) if "0x" not in text else _whole(text)
    )


def _truth(text: str) -> bool:
    known = yaml.SafeLoader.bool_values
    if text.lower() not in known:
        raise ValueError(text)
    return bool(known[text.lower()])


def _null(text: str) -> None:
    return None


_SCALARS: dict[str, Callable[[str], Any]] = {
    "str": _text,
    "int": _whole,
    "float": lambda text: _real(text.lower()),
    "bool": _truth,
    "null": lambda text: None,
}


def scalar(text: str) -> Any:
    """One value as a sweep file would read it: `0.1`, `true`, `plain`, `[0, 1]`. Raises StudyError."""
    document = parse(text, "override")
    document.check()
    return document.data

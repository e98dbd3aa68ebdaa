"""YAML as sweep files need it: the safe loader, duplicate keys refused, numbers of YAML 1.2, and the line of everything."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from study.config.fields import reasons
from study.errors import StudyError

Keys = tuple[str | int, ...]
"""The path to a part of a document: `("grid", "depth", 0)`."""

M = TypeVar("M", bound=BaseModel)

MAX_BYTES = 1_000_000
MAX_NODES = 100_000
MAX_DEPTH = 32
MAX_MISTAKES = 100
"""Reading stops after this many."""
LARGEST = 2**63 - 1
"""The largest whole number: what Parquet and NumPy can hold."""

_INT = re.compile(r"[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F]+)$")
_FLOAT = re.compile(
    r"(?:[-+]?(?:(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+"
    r"|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN))$"
)
"""As in YAML 1.2, 1e-4 is a number; 010 (octal in YAML 1.1) and 1:30 (90 in YAML 1.1) are text."""
_TAG = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the numbers above; refuses tags, and a file with too many values."""

    values = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.values += 1
        if self.values > MAX_NODES:
            raise StudyError(f"{self.name}: more than {MAX_NODES:,} values")
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if (tag := getattr(event, "tag", None)) is not None:
            place = f"{self.name}:{event.start_mark.line + 1}"
            raise StudyError(f"{place}: the tag '{tag.replace(_TAG, '!!')}' has no meaning in a sweep file")
        return super().compose_node(parent, index)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.endswith((":bool", ":null"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, _pattern in (("int", _INT), ("float", _FLOAT)):
    _Loader.add_implicit_resolver(f"{_TAG}{_tag}", _pattern, list("-+.0123456789"))


class Document:
    """The data of a YAML file, the line of each part, and the mistakes found so far."""

    def __init__(self, file: str, text: str = "") -> None:
        self.file, self.text = file, text
        self.data: Any = None
        self.lines: dict[Keys, int] = {}
        self.mistakes: dict[str, None] = {}

    def place(self, path: Keys) -> str:
        """`file:line` of the nearest known parent of a path, for messages; what comes from no file has no lines."""
        while path not in self.lines and path:
            path = path[:-1]
        return f"{self.file}:{self.lines.get(path, 1)}" if self.lines else self.file

    @property
    def full(self) -> bool:
        """Whether as many mistakes were found as are shown."""
        return len(self.mistakes) >= MAX_MISTAKES

    def note(self, *mistakes: str) -> None:
        """Note mistakes, each one line with its place."""
        for mistake in mistakes:
            if not self.full:
                self.mistakes[mistake] = None

    def wrong(self, path: Keys, message: str) -> None:
        """Note what is wrong at a path."""
        self.note(f"{self.place(path)}: {message}")

    def checked(self, model: type[M], data: Any, known: Mapping[str, Iterable[str]] = MappingProxyType({})) -> M:
        """The data as a model. Raises StudyError with the line and field of each mistake; `known` as of `reasons`."""
        try:
            return model.model_validate(data)
        except ValidationError as error:
            for location, message in reasons(error, {"": model.model_fields, **known}):
                path = tuple(part for part in location if part != "[key]")
                named = ".".join(str(part) for part in path if isinstance(part, str))
                self.wrong(path, f"{named}: {message}" if named else message)
            self.check()
            raise

    def check(self) -> None:
        """Raise StudyError with all mistakes that were noted."""
        if self.mistakes:
            more = [f"{self.file}: there may be more mistakes than these {MAX_MISTAKES}"] if self.full else []
            raise StudyError(*self.mistakes, *more)


def read(path: Path) -> Document:
    """Read a YAML file; its `mistakes` have duplicate keys. Raises StudyError if it is unreadable, too large or not YAML."""
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
    document = Document(file, text)
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
    """Turns nodes into data and notes their lines. Counts them, since aliases of aliases multiply."""

    def __init__(self, document: Document) -> None:
        self.document, self.count = document, 0

    def value(self, node: yaml.Node, path: Keys) -> Any:
        self.count += 1
        if self.count > MAX_NODES:
            raise StudyError(f"{self.document.file}: more than {MAX_NODES:,} values")
        if len(path) > MAX_DEPTH:
            raise _too_deep(self.document.file)
        self.document.lines[path] = node.start_mark.line + 1
        if isinstance(node, yaml.MappingNode):
            return dict(self.items(node, path))
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, (*path, i)) for i, child in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        return self.scalar(node)

    def items(self, node: yaml.MappingNode, path: Keys) -> Iterator[tuple[str, Any]]:
        keys: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            place = f"{self.document.file}:{line}"
            if key_node.tag != f"{_TAG}str":  # 3, yes, a list, ...
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

    def scalar(self, node: yaml.ScalarNode) -> Any:
        place, text = f"{self.document.file}:{node.start_mark.line + 1}", node.value
        try:
            value = _SCALARS[node.tag.removeprefix(_TAG)](text)
        except UnicodeDecodeError:
            raise StudyError(f"{place}: {text[:80]!r} has half of a character in it") from None
        except ValueError:  # Python refuses thousands of digits
            value = LARGEST + 1
        if isinstance(value, int) and abs(value) > LARGEST:
            raise StudyError(f"{place}: {text!r:.80} is too large; the largest is {LARGEST}")
        return value


_SCALARS: dict[str, Callable[[str], Any]] = {
    # Surrogate pairs, as JSON writes characters beyond the first 65,536, are joined.
    "str": lambda text: text.encode("utf-16", "surrogatepass").decode("utf-16"),
    "int": lambda text: int(text.replace("_", ""), 16 if "0x" in text else 10),
    "float": lambda text: float(text.lower().replace("_", "").replace(".inf", "inf").replace(".nan", "nan")),
    "bool": lambda text: yaml.SafeLoader.bool_values[text.lower()],
    "null": lambda text: None,
}


def scalar(text: str) -> Any:
    """One value as a sweep file would read it: `0.1`, `true`, `plain`, `[0, 1]`. Raises StudyError."""
    document = parse(text, "override")
    document.check()
    return document.data

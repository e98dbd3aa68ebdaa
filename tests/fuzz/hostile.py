"""What somebody may write who makes mistakes, or means harm: values, texts, trees of YAML, changes of them."""

import copy
import json
import os
from collections.abc import Callable
from typing import Any

import yaml
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from study.config.schema import SweepFile
from study.config.spread import SurfaceEntry
from study.config.stored import columns

Tree = Any
"""Scalars, lists, and mappings as lists of pairs in a `Pairs`, so that a key can stand in one twice."""


class Pairs(list[tuple[Any, Any]]):
    """A mapping as it is written."""


class Raw(str):
    """YAML that stands in a file as it is."""


RAW = (
    ".nan .inf -.inf 1e400 -0.0 1e-320 0x10 0b1 010 1:30 1_0 +1 0x" + "f" * 5000 + " " + "9" * 5000 + " " + "9" * 300
    + " ~ null yes no on off = << ? - * & &a *a !!int !!float !!set !!binary !x !!python/name:os.system !!bool"
    " !!null 2020-01-01 2020-13-45 0001-01-01T00:00:00+23:59 | > % @ ` ' \" { } [ ] , : # --- ..."
).split(" ")  # fmt: skip
NUMBERS = (0, 1, -1, 2, 3, 7, 8, 20, 101, 1001, 2**31, 2**63 - 1, 2**63, -(2**63), 10**12, 10**30, 10**300)
FLOATS = (0.0, -0.0, 0.5, 1.0, 1.5, -1.0, 1e-300, 1e300, 5e-324, float("nan"), float("inf"), float("-inf"))
TEXTS = (
    "", " ", "\n", "\t", "\0", "\x1b[2J\x1b[31mred", "\x07", "\x85", "\u2028", "\u202eabc", "\ud800", "\ufeff", "é", "e\u0301",
    "测试", "مُحَمَّد", "हिन्दी", "🙂", "..", "../x", "/etc/passwd", "a/b", "a\\b", ".", "-", "--help", "-1", "CON", "a" * 300,
    "x" * 20_000, "%s%d{0}", "{}", "[red]x[/red]", "[/]", "a=b", "=", "nan", "inf", "1e3", "true", "null", "seed", "plain",
)  # fmt: skip

texts = st.sampled_from(TEXTS) | st.text(max_size=20)
scalars = (
    st.none()
    | st.booleans()
    | st.sampled_from(NUMBERS)
    | st.integers(-100, 100)
    | st.sampled_from(FLOATS)
    | texts
    | st.sampled_from(RAW).map(Raw)
)
NAMES = {part for name in columns() for part in (name, name.rpartition(".")[2])}
keys = st.sampled_from([*sorted(NAMES), "name", *SweepFile.model_fields, *SurfaceEntry.model_fields]) | scalars
values: st.SearchStrategy[Tree] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.lists(st.tuples(keys, inner), max_size=4).map(Pairs),
    max_leaves=8,
)


def as_word(text: str) -> str:
    """The text as a program finds it on its command line: any bytes but NUL, which no operating system lets through."""
    return os.fsdecode(text.encode("utf-8", "surrogatepass").replace(b"\0", b""))


OPTIONS = (
    "--", "-", "-n", "-h", "--results", "--style=x", "seed=0,1", "name=..", "x.yaml", "quickstart.yaml", "shortcut={a:1}",
)  # fmt: skip
bytes_as_word = st.binary(max_size=12).map(lambda raw: os.fsdecode(raw.replace(b"\0", b"")))
words = texts.map(as_word) | bytes_as_word | st.sampled_from(OPTIONS)
"""Of a command line."""


def tree(text: str) -> Tree:
    """A YAML file as a tree that can be changed."""
    return _pairs(yaml.safe_load(text))


def _pairs(data: Any) -> Tree:
    if isinstance(data, dict):
        return Pairs((key, _pairs(value)) for key, value in data.items())
    return [_pairs(item) for item in data] if isinstance(data, list) else data


def written(node: Tree, *, escaped: bool = True) -> str:
    """A tree as YAML, with braces and brackets."""
    if isinstance(node, Pairs):
        return "{" + ", ".join(f"{written(k, escaped=escaped)}: {written(v, escaped=escaped)}" for k, v in node) + "}"
    if isinstance(node, list):
        return "[" + ", ".join(written(item, escaped=escaped) for item in node) + "]"
    if isinstance(node, Raw):
        return str(node)
    if isinstance(node, float):
        return {"nan": ".nan", "inf": ".inf", "-inf": "-.inf"}.get(repr(node), repr(node))
    return json.dumps(node, ensure_ascii=escaped)


def as_file(node: Tree, *, escaped: bool = True) -> bytes:
    """The bytes of a file: a line for each key at the top, where there are keys."""
    if isinstance(node, Pairs):
        text = "".join(f"{written(k, escaped=escaped)}: {written(v, escaped=escaped)}\n" for k, v in node)
    else:
        text = written(node, escaped=escaped)
    return text.encode("utf-8", "surrogatepass")


def _places(node: Tree) -> list[tuple[Any, int]]:
    """Every place of a tree that holds something: the list that it stands in, and where."""
    found = []
    for i, item in enumerate(node if isinstance(node, list) else ()):
        found.append((node, i))
        found += _places(item[1] if isinstance(node, Pairs) else item)
    return found


@st.composite
def changed(draw: Callable[..., Any], original: Tree) -> Tree:
    """A tree with one to four changes: values replaced, wrapped or emptied; keys renamed; entries doubled, removed, moved."""
    result = copy.deepcopy(original)
    for _ in range(draw(st.integers(1, 4))):
        places = _places(result)
        if not places:
            break
        holder, i = places[draw(st.integers(0, len(places) - 1))]
        key, value = holder[i] if isinstance(holder, Pairs) else (None, holder[i])

        def put(new: Tree, holder: Any = holder, i: int = i, key: Any = key) -> None:
            holder[i] = (key, new) if isinstance(holder, Pairs) else new

        change = draw(st.sampled_from(["replace", "replace", "wrap", "empty", "rename", "double", "remove", "move"]))
        if change == "replace":
            put(draw(values))
        elif change == "wrap":
            put(draw(st.sampled_from([[value], [[value]], Pairs([("fixed", value)]), [value, value]])))
        elif change == "empty":
            put(draw(st.sampled_from([[], Pairs(), None, ""])))
        elif change == "rename" and isinstance(holder, Pairs):
            holder[i] = (draw(keys), value)
        elif change == "double":
            holder.insert(draw(st.integers(0, len(holder))), copy.deepcopy(holder[i]))
        else:
            taken = holder.pop(i)
            others = [node for node, _ in _places(result) if isinstance(node, Pairs) == isinstance(holder, Pairs)]
            if change == "move" and others:
                draw(st.sampled_from(others)).append(taken)
    return result


# -- how many are tried ------------------------------------------------------------------------------------------------
#
# `pytest tests/fuzz` tries some fifty, always the same. The long version tries as many as it is told, others each time:
#     STUDY_FUZZ=10000 pytest tests/fuzz -n 0
# A case that fails is printed as small as it can be made, with a `@reproduce_failure` line that brings it back.

USUAL = 320
"""Cases of all properties together, of which each says how many it takes."""
WANTED = int(os.environ.get("STUDY_FUZZ", USUAL // 6))


def cases(share: int) -> Callable[[Any], Any]:
    """Try a property on `share` cases of the usual number, or on the same share of as many as are wanted."""
    return settings(
        max_examples=max(1, share * WANTED // USUAL),
        derandomize=WANTED <= USUAL,
        database=None,
        print_blob=True,
        deadline=None,  # a busy machine takes its time; what hangs is ended by `tests.fuzz.calling`
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
    )

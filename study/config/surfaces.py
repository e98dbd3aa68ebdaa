"""The surfaces that a sweep file, or a command, asks for: a few settings, spread over the sweep's runs."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from study.config.identity import run_id
from study.config.recipe import Recipe
from study.config.run import RunSpec
from study.config.surface import Surface, surface_id
from study.config.yaml import Document, Keys
from study.errors import nearest

SETTINGS = tuple(field for field in Surface.model_fields if field not in ("run", "to", "number"))
ENTRY_KEYS = ("of", "to", "planes", *SETTINGS)
"""`of` (fields of runs: which ones), `to` (changed fields: the other runs of each), `planes` (how many), and the settings."""

RUN_FIELDS = (*RunSpec.model_fields, *(f"recipe.{field}" for field in Recipe.model_fields))
MAX_PLANES = 1000
MAX_SURFACES = 100_000


def expand(
    document: Document,
    entries: Any,
    runs: Mapping[str, RunSpec],
    to: tuple[str, ...] = (),
    others: Mapping[str, RunSpec] | None = None,
) -> dict[str, Surface]:
    """The surfaces that the `surfaces` of a sweep file names, by id; mistakes are noted in the document.

    Where the runs have mistakes, the settings alone are checked.

    Parameters
    ----------
    to
        Ids of the other runs, for entries that do not say in which fields these differ.
    others
        The runs among which those are looked for that `to` of an entry tells; default: `runs`.
    """
    runs = {} if document.mistakes else runs
    if entries is None:
        return {}
    if not isinstance(entries, list):
        document.wrong(("surfaces",), f"surfaces: must be a list of mappings with {', '.join(ENTRY_KEYS)}")
        return {}
    found: dict[str, Surface] = {}
    for i, entry in enumerate(entries):
        path: Keys = ("surfaces", i)
        if not isinstance(entry, dict):
            document.wrong(path, f"a surface is a mapping with {', '.join(ENTRY_KEYS)}")
            continue
        entry = document.known(entry, path, ENTRY_KEYS)
        if _settings_fit(document, entry, path, to):
            chosen = _chosen(document, entry.get("of"), (*path, "of"), runs)
            if (count := len(found) + len(chosen) * entry.get("planes", 1)) > MAX_SURFACES:
                document.wrong(path, f"{count:,} surfaces so far; a sweep has at most {MAX_SURFACES:,}")
                return {}
            of_entry = _of_entry(document, entry, path, runs, chosen, to, runs if others is None else others)
            found |= {surface_id(surface): surface for surface in of_entry}
        if document.full:
            break
    return found


def _settings_fit(document: Document, entry: dict[str, Any], path: Keys, ids: tuple[str, ...]) -> bool:
    """Whether the settings go together, whatever the runs."""
    planes, to = entry.get("planes", 1), entry.get("to", [])
    if not isinstance(planes, int) or isinstance(planes, bool) or not 1 <= planes <= MAX_PLANES:
        document.wrong((*path, "planes"), f"planes: must be a number from 1 to {MAX_PLANES}, not {planes!r:.80}")
        return False
    if not isinstance(to, list) or not all(isinstance(changes, dict) and changes for changes in to):
        document.wrong((*path, "to"), "to: must be a list of mappings of a run's field: value, such as [{seed: 1}]")
        return False
    try:
        any_runs = tuple(f"any-{place:012x}" for place in range(1, len(to or ids) + 1))
        _surface(entry, "any-000000000000", any_runs, planes - 1)
    except ValidationError as error:
        _explain(document, error, entry, path)
        return False
    return True


def _surface(entry: dict[str, Any], run: str, to: tuple[str, ...], number: int) -> Surface:
    settings = {key: value for key, value in entry.items() if key in SETTINGS}
    return Surface.model_validate({"run": run, "to": to, "number": number, **settings})


def _of_entry(
    document: Document,
    entry: dict[str, Any],
    path: Keys,
    runs: Mapping[str, RunSpec],
    chosen: Sequence[str],
    ids: tuple[str, ...],
    others: Mapping[str, RunSpec],
) -> Iterator[Surface]:
    for name in chosen:
        to = _others(document, entry["to"], (*path, "to"), runs[name], others) if entry.get("to") else ids
        if to is not None and len({name, *to}) <= len(to):
            mistake = "is the centre itself" if name in to else "is named twice"
            word = name if name in to else to[0]
            document.wrong((*path, "to"), f"to: {word} {mistake}; name another run{_all_but(name, to, entry)}")
            return
        for number in range(entry.get("planes", 1) if to is not None else 0):
            yield _surface(entry, name, to or (), number)


def _all_but(name: str, to: tuple[str, ...], entry: Mapping[str, Any]) -> str:
    """How to leave out the run that the others are compared with, where all of a sweep are centres."""
    return ", or one run as the centre" if name in to and not entry.get("of") else ""


def _chosen(document: Document, of: Any, path: Keys, runs: Mapping[str, RunSpec]) -> list[str]:
    """The runs whose fields are as `of` says."""
    if of is None:
        return list(runs)
    if not isinstance(of, dict) or not of:
        document.wrong(path, "of: must be a mapping of a run's field: value, such as {seed: 0}")
        return []
    of = document.known(of, path, RUN_FIELDS)
    wanted = {f: set(map(_same, value if isinstance(value, list) else [value])) for f, value in of.items()}
    found = [name for name, spec in runs.items() if all(_same(_field(spec, f)) in wanted[f] for f in wanted)]
    if not found and runs:
        document.wrong(path, f"of: no run of this sweep has {', '.join(f'{k}: {v}' for k, v in of.items())}")
    return found


def _same(value: Any) -> Hashable:
    """What equal values have in common: 1 and 1.0 are one number, `true` is none."""
    if isinstance(value, list):
        return tuple(map(_same, value))
    return (isinstance(value, bool), value) if isinstance(value, Hashable) else repr(value)


def _field(spec: RunSpec, name: str) -> Any:
    value: Any = spec.recipe.name if name == "recipe" else spec
    for part in () if name == "recipe" else name.split("."):
        value = getattr(value, part)
    return list(value) if isinstance(value, tuple) else value


def _others(
    document: Document, to: list[dict[str, Any]], path: Keys, spec: RunSpec, runs: Mapping[str, RunSpec]
) -> tuple[str, ...] | None:
    """The ids of the runs that differ from `spec` as each mapping of `to` says; None where one can't be had."""
    found = []
    for i, changes in enumerate(to):
        known = document.known(changes, (*path, i), [field for field in RUN_FIELDS if field != "recipe"])
        fields = spec.model_dump()
        fields["recipe"] |= {k.removeprefix("recipe."): v for k, v in known.items() if k.startswith("recipe.")}
        try:
            other = run_id(RunSpec.model_validate(fields | {k: v for k, v in known.items() if "." not in k}))
        except ValidationError as error:
            message = error.errors()[0]
            document.wrong((*path, i), f"to: {'.'.join(map(str, message['loc']))}: {message['msg']}")
            return None
        if other not in runs:
            text = ", ".join(f"{k}: {v}" for k, v in changes.items())
            document.wrong((*path, i), f"to: no run of this sweep is as {spec.title} seed {spec.seed} with {text}")
            return None
        found.append(other)
    return tuple(found)


def _explain(document: Document, error: ValidationError, entry: dict[str, Any], path: Keys) -> None:
    """Note each wrong field at its place."""
    for item in error.errors():
        field = str(item["loc"][0])
        message = re.sub(r"^\w+ should ", "must ", item["msg"])
        if item["type"] == "literal_error":
            given = item["input"]
            hint = nearest(given, re.findall(r"'(\w+)'", item["ctx"]["expected"])) if isinstance(given, str) else ""
            message = f"must be {item['ctx']['expected']}, not {given!r:.80}{hint}"
        elif field == "range" and item["type"] in ("missing", "too_long", "tuple_type"):
            message = f"must be r, [low, high], or one such pair for each axis, not {entry['range']!r:.80}"
        elif item["type"] != "choice":
            message = f"{message}, not {item['input']!r:.80}"
        field = "planes" if field == "number" else field
        document.wrong((*path, field) if field in entry else path, f"{field}: {message}")

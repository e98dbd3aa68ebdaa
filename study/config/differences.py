"""How runs differ: which fields distinguish them, their values as exact text, and whether one can start from another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from study.config import recipes
from study.config.fields import OWN, flat
from study.config.registry import BLOCKS, FAMILIES, SHORTCUTS
from study.config.run import Kept, RunSpec
from study.config.stored import Stored, columns, upgraded
from study.errors import StudyError

_NETWORK = ("family", "block", "shortcut", "order", "norm", "activation", "convolution", "initialisation")
RECIPE = tuple(name for name in columns() if name.startswith("recipe."))
VARIANT = (
    *[name for field in _NETWORK for name in columns() if name.partition(".")[0] == field],
    *OWN[""],
    "zero_gamma",
    "start_from",
    "recipe.stochastic_depth",  # the branches of a residual network, not how all networks are trained
)
"""Fields that distinguish networks of one depth."""
TRAINED = (
    "dataset",
    *(name for name in columns() if name not in ("network", "depth", "seed", *VARIANT, *Kept.model_fields)),
)
"""What a network was trained on and how, as in `runs.parquet`: with its network and seed, all of a run."""
USUAL = {
    "block": "basic",
    "shortcut": "A",
    "order": "original",
    "norm": "batch",
    "activation": "relu",
    "initialisation": "he_fan_in",
}
"""What a network of a built-in family usually has."""
_TOLD_BY: dict[str, tuple[str, ...]] = {
    "data": ("dataset",),
    "data.folder": ("dataset",),
    "own": _NETWORK,
    "own_code": (*_NETWORK, "own"),
    "data.code": ("dataset",),
    "recipe.code": ("recipe.optimizer", "recipe.schedule"),
    **{name: ("recipe", name.rpartition(".")[0]) for name in RECIPE},
}
"""Fields that are redundant if each value of one of these fields implies their value."""


def text(value: Any) -> str:
    """A value as a sweep file has it, without rounding: `0.1`, `0`, `true`, `1500/2250`; `none` for nothing."""
    if isinstance(value, str):
        return value
    if hasattr(value, "tolist"):  # NumPy's numbers and arrays
        value = value.tolist()
    if isinstance(value, list | tuple):
        return "/".join(map(text, value)) or "none"
    if value is None or str(value) in ("nan", "<NA>"):
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


_known = lru_cache(maxsize=10_000, typed=True)(text)


def texts(values: Iterable[Any]) -> list[str]:
    """`text` of each of many values, most of which are equal."""
    listed = list(values)
    try:
        return list(map(_known, listed))
    except TypeError:  # lists cannot be looked up
        return list(map(text, listed))


def short(field: str) -> str:
    """A field's name without `recipe.`."""
    return field.removeprefix("recipe.")


def varying(columns: Mapping[str, Sequence[str]], changed: Iterable[str] = ()) -> list[str]:
    """The fields in which runs differ, without those that follow from another of them (`_TOLD_BY`).

    `columns` has, for each field, the text of its value in each run; `changed` are the fields in which a recipe differs from
    the named one.
    """
    found = [field for field, texts in columns.items() if len(set(texts)) > 1]
    own = {f"recipe.{name}" for name in changed}

    def told(field: str) -> bool:
        others = [columns[other] for other in _TOLD_BY.get(field, ()) if other in found]
        pairs = (set(zip(other, columns[field], strict=True)) for other in others)
        return field not in own and any(len(both) == len(set(other)) for both, other in zip(pairs, others, strict=True))

    return [field for field in found if not told(field)]


def labels(specs: Mapping[str, RunSpec]) -> dict[str, str]:
    """A name for each run: network and seed, and each further field in which some runs differ: `ResNet-20 B, pad 0, seed 1`."""
    return {name: told.label for name, told in zip(specs, named(specs.values()), strict=True)}


class Named(NamedTuple):
    """A run's name for people, and what it says of the fields in which runs differ."""

    label: str
    settings: dict[str, str]
    """The values of these fields as text, by their names without `recipe.`."""
    changes: dict[str, str]
    """Those in which its recipe differs from the named one, by their names without `recipe.`, but for `settings`."""


def named(specs: Iterable[RunSpec]) -> list[Named]:
    """The names of runs that are shown side by side."""
    runs = [(spec, row(spec)) for spec in specs]
    fields = _differing([own for _, own in runs])
    return [_named(spec, own, fields) for spec, own in runs]


def _differing(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The fields that names add to networks and seeds."""
    changed = {name for own in rows for name in own["changes"]}
    fields = (
        "family",
        *(field for field in VARIANT if field.startswith("family.")),
        *TRAINED,
    )  # `variant` tells the rest
    return varying({field: texts(own.get(field) for own in rows) for field in fields}, changed)


def _named(spec: RunSpec, own: Mapping[str, Any], fields: Sequence[str]) -> Named:
    unusual = "" if spec.precision == "fp32" or "precision" in fields else spec.precision
    head = " ".join(filter(None, [spec.title, spec.variant, unusual]))
    settings = {short(field): text(own.get(field)) for field in fields}
    more = [f"{name} {value}" for name, value in settings.items() if value != spec.title]
    changes = {name: text(own[f"recipe.{name}"]) for name in own["changes"] if f"recipe.{name}" not in fields}
    label = ", ".join([head, *more, f"seed {spec.seed}"]) if more else f"{head} seed {spec.seed}"
    return Named(label, settings, changes)


def row(spec: RunSpec) -> dict[str, Any]:
    """The fields of a run by their names in `runs.parquet`; `changes` lists the changes to its named recipe."""
    fields = spec.model_dump(mode="json", warnings=False)  # of a stored spec, which may be of another version
    return {**flat(fields), "dataset": spec.dataset, "changes": recipes.changes(fields["recipe"])}


def apart(one: Iterable[Stored], other: Iterable[Stored], most: int = 8) -> Iterator[tuple[str, str, str]]:
    """Each field whose values in two sets of runs differ, and these: of each set the first `most`, in their order."""
    sides = [[flat(upgraded(fields)) for fields in runs] for runs in (one, other)]
    for name in dict.fromkeys(name for rows in sides for row in rows for name in row):
        values = [list(dict.fromkeys(texts(row.get(name) for row in rows))) for rows in sides]
        if set(values[0]) != set(values[1]):
            first, second = (", ".join(found[:most] + ["..."] * (len(found) > most)) for found in values)
            yield name, first, second


# -- stretching --------------------------------------------------------------------------------------------------------

_SAME = ("data", "network", "family", "block", "shortcut", "order", "norm", "activation", "convolution")


def check_stretch(small: RunSpec, large: RunSpec) -> None:
    """Raise StudyError, with the reason, if a trained `small` cannot be stretched into `large`."""
    ours, theirs = (flat(spec.model_dump(mode="json", include=set(_SAME))) for spec in (large, small))
    for field in dict.fromkeys([*ours, *theirs]):
        if ours.get(field) != theirs.get(field):
            raise StudyError(
                f"{field}: {ours.get(field)} cannot start from {theirs.get(field)}; identity layers change the depth alone"
            )
    family = FAMILIES[large.family.name]
    if family.plain_only or family.source is not None:
        raise StudyError(f"a {family.title} has no blocks of unchanged shape to insert")
    if large.depth < small.depth:
        raise StudyError(f"depth: {large.depth} cannot start from {small.depth} layers; only deeper ones can")
    if large.shortcut is not None and SHORTCUTS[large.shortcut.name].changes_input:
        raise StudyError(
            f"shortcut: {large.shortcut.name} passes on something else than its input, so no block is an identity"
        )
    block = BLOCKS[large.block.name]
    if large.network == "plain" and large.norm.name != "batch":
        raise StudyError(
            f"norm: {large.norm.name}: no plain block with it is an identity; only those with batch can be stretched"
        )
    if large.convolution is not None:
        raise StudyError(f"convolution: {large.convolution.name} is never an identity, so no block is one")
    if large.network == "plain" and (block.expansion > 1 or block.pooled or block.sides):
        others = "" if block.sides else ", so only residual ones can be stretched"
        raise StudyError(f"no plain {block.name} block is an identity{others}")

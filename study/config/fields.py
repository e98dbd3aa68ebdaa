"""Base model, field names and messages of specs."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from study.errors import nearest, printable

_MEANT = {
    "learning_rate": "lr learningrate",
    "iterations": "epoch epochs num_epochs max_epochs steps iters max_steps max_iter",
    "batch_size": "batch bs batchsize minibatch",
    "weight_decay": "wd l2 decay",
    "recipe.schedule.at": "milestones lr_steps lr_milestones decay_steps step_size",
    "recipe.schedule.gamma": "lr_decay lr_gamma factor",
    "schedule": "scheduler lr_schedule lr_scheduler",
    "recipe.optimizer": "optim",
    "recipe.optimizer.momentum": "beta",
    "pad": "crop padding",
    "flip": "mirror hflip horizontal_flip",
    "recipe.warmup.iterations": "warmup_steps warmup_epochs warmup_iterations",
    "evaluate_every": "eval_every eval_interval",
    "log_every": "log_interval logging_steps",
    "depth": "layers n_layers num_layers deep",
    "network": "model models arch architecture net",
    "data": "dataset datasets data_set",
    "seed": "random_seed manual_seed rng",
    "initialisation": "init initialization weight_init",
    "shortcut": "skip skip_connection residual",
    "precision": "dtype amp mixed_precision fp16 bf16",
    "data.image_size": "img_size imgsize resolution input_size",
    "family.width": "width_multiplier widen_factor channels filters",
    "shortcut.rate": "dropout p_drop drop_rate dropout_rate",
    "train_subset": "subset train_size num_train",
    # Where a run is trained is set by options of the command line.
    "--device": "gpu gpus device devices cuda",
    "--workers": "workers num_workers jobs",
    "--threads": "threads",
    "--data-root": "data_root data_dir root",
}
ALIASES = {word: field for field, words in _MEANT.items() for word in words.split()}
"""Names of our fields and options in other programs, for hints."""


class Model(BaseModel):
    # Strict: `depth: "20"` or `seed: true` is a slip, not a number.
    # NaN and infinity are refused, and would not be written as null, so no identity has them.
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, ser_json_inf_nan="constants"
    )

    @field_validator("*")
    @classmethod
    def _one_zero(cls, value: Any) -> Any:
        return value + 0.0 if isinstance(value, float) else value  # -0.0 is 0.0, or one run would have two ids


def wrong(message: str) -> PydanticCustomError:
    """An error for a validator to raise: its message is shown as it is, after the field's name."""
    # pydantic cannot print what a command line may hold beside UTF-8.
    return PydanticCustomError("choice", "{message}", {"message": printable(message)})


def shown(value: Any) -> str:
    """A value in a message, cut to 80 characters."""
    text = repr(value[:100] if isinstance(value, str) else value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def reasons(error: ValidationError, known: Mapping[str, Iterable[str]]) -> Iterator[tuple[tuple[int | str, ...], str]]:
    """Each mistake of a failed validation: its place, and what would be right.

    `known` has the fields of inner models by the first part of their place; those of the model itself are under "".
    """
    for item in error.errors(include_url=False):
        message, given, kind = re.sub(r"^\w+ should ", "must ", item["msg"]), item["input"], item["type"]
        if kind == "literal_error":
            expected = item["ctx"]["expected"]
            hint = nearest(given, re.findall(r"'(\w+)'", expected)) if isinstance(given, str) else ""
            message = f"must be {expected}, not {shown(given)}{hint.partition('; known')[0]}"
        elif kind == "missing":
            message = "is missing"
        elif kind == "extra_forbidden":
            *outer, key = item["loc"]
            message = f"is unknown{nearest(str(key), known.get(str(outer[0]) if outer else '', ()), ALIASES)}"
        elif kind == "string_pattern_mismatch":
            name = "a name of at most 50 letters, digits and ._+-, not a path"
            form = "a run's id" if "[0-9a-f]" in item["ctx"]["pattern"] else name
            message = f"must be {form}, not {shown(given)}"
        elif kind == "too_short":
            message = "is empty; give it a value, or leave it out"
        elif kind in ("dict_type", "model_type"):
            message = f"must be a mapping such as {{name: value}}, not {shown(given)}"
        elif kind in ("list_type", "tuple_type"):
            message = f"must be a list such as [{'...' if given is None else shown(given).strip(chr(39))}]"
        elif kind != "choice":
            message = f"{message}, not {shown(given)}"
        yield item["loc"], message


def as_tuple(value: Any) -> Any:
    """A list of YAML or JSON as the tuple that a spec keeps."""
    return tuple(value) if isinstance(value, list) else value


def as_tuples(value: Any) -> Any:
    """A list of lists as the tuple of tuples that a spec keeps."""
    return tuple(map(as_tuple, value)) if isinstance(value, list) else value


OWN = {"": ("own", "own_code"), "data": ("data.own", "data.code"), "recipe": ("recipe.own", "recipe.code")}
"""Columns with the options and digests of components of the user's own: of the network, the data set and the recipe."""


def flat(fields: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """A stored spec by dotted names: `shortcut` is the component's name, `shortcut.scale` an option.

    The options of a component of the user's own are one text, since no table has columns for them (`OWN`).
    """
    found: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, dict) and "code" in value:  # Mapping takes ten times as long, and there are many
            options, code = OWN["data" if name == "data" else before.rstrip(".")]
            own = {f"{name}.{key}": inner for key, inner in value.items() if key not in ("name", "code")}
            text = yaml.safe_dump(own, default_flow_style=True, width=10**6).strip()[1:-1]
            found[before + name] = value.get("name")
            found[options] = ", ".join(filter(None, [found.get(options), text if own else None])) or None
            found[code] = ", ".join(filter(None, [found.get(code), f"{name} {value['code']}"]))
        elif isinstance(value, dict):
            found[before + name] = value.get("name")
            found |= flat({key: inner for key, inner in value.items() if key != "name"}, f"{before}{name}.")
        else:
            found[before + name] = value
    return found


NAME_RULE = (
    "at most 60 letters, digits, '_', '-' and '.', without '/' or '..', and not '.', '.yaml' or '.yml' at its end"
)


def sweep_name(text: str) -> str | None:
    """The text as a sweep's name, in any script; None if it cannot be one.

    It names a folder and is a word in commands. `é` can be one character or two: both become the shorter form (NFC).
    """
    name = unicodedata.normalize("NFC", text)
    if not 1 <= len(name) <= 60 or not (name[0].isalnum() or name[0] == "_"):
        return None
    if ".." in name or name.endswith((".", ".yaml", ".yml")):  # these would be taken for files
        return None
    return name if all(c.isalnum() or c in "_-." or unicodedata.category(c) in ("Mn", "Mc") for c in name) else None

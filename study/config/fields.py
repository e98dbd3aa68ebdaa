"""What specs are made of: strict fields, names, and messages that say what would be right."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from study.errors import nearest, printable

FOLDER = r"\w[\w.+\-]{0,49}"
"""A folder of images under the data root, as a pattern."""
ALIASES = {
    **dict.fromkeys(("lr", "learningrate"), "learning_rate"),
    **dict.fromkeys(
        ("epoch", "epochs", "num_epochs", "max_epochs", "steps", "iters", "max_steps", "max_iter"), "iterations"
    ),
    **dict.fromkeys(("batch", "bs", "batchsize", "minibatch"), "batch_size"),
    **dict.fromkeys(("wd", "l2", "decay"), "weight_decay"),
    **dict.fromkeys(("milestones", "lr_steps", "lr_milestones", "decay_steps", "step_size"), "recipe.schedule.at"),
    **dict.fromkeys(("lr_decay", "lr_gamma", "factor", "gamma"), "recipe.schedule.gamma"),
    "plateau_patience": "recipe.schedule.patience",
    "plateau_improvement": "recipe.schedule.improvement",
    "plateau_drops": "recipe.schedule.drops",
    **dict.fromkeys(("scheduler", "lr_schedule", "lr_scheduler"), "schedule"),
    "optim": "recipe.optimizer",
    **dict.fromkeys(("momentum", "beta"), "recipe.optimizer.momentum"),
    "nesterov": "recipe.optimizer.nesterov",
    **dict.fromkeys(("crop", "padding"), "pad"),
    **dict.fromkeys(("mirror", "hflip", "horizontal_flip"), "flip"),
    **dict.fromkeys(("warmup_steps", "warmup_epochs", "warmup_iterations"), "recipe.warmup.iterations"),
    "warmup_rate": "recipe.warmup.rate",
    "warmup_error": "recipe.warmup.below",
    "warmup_from_depth": "recipe.warmup.from_depth",
    **dict.fromkeys(("eval_every", "eval_interval"), "evaluate_every"),
    **dict.fromkeys(("log_interval", "logging_steps"), "log_every"),
    **dict.fromkeys(("layers", "n_layers", "num_layers", "deep"), "depth"),
    **dict.fromkeys(("model", "models", "arch", "architecture", "net"), "network"),
    **dict.fromkeys(("dataset", "datasets", "data_set"), "data"),
    **dict.fromkeys(("random_seed", "manual_seed", "rng"), "seed"),
    **dict.fromkeys(("init", "initialization", "weight_init"), "initialisation"),
    **dict.fromkeys(("skip", "skip_connection", "residual"), "shortcut"),
    **dict.fromkeys(("dtype", "amp", "mixed_precision", "fp16", "bf16"), "precision"),
    **dict.fromkeys(("img_size", "imgsize", "resolution", "input_size", "image_size"), "data.image_size"),
    "folder": "data.folder",
    **dict.fromkeys(("width", "width_multiplier", "widen_factor", "channels", "filters"), "family.width"),
    "stem": "family.stem",
    "stride_in": "block.stride_in",
    "shortcut_scale": "shortcut.scale",
    "branch_scale": "shortcut.branch",
    "gate_bias": "shortcut.bias",
    **dict.fromkeys(("dropout", "p_drop", "drop_rate", "dropout_rate"), "shortcut.rate"),
    **dict.fromkeys(("subset", "train_size", "num_train"), "train_subset"),
    # Where a run is trained is no field of it.
    **dict.fromkeys(("gpu", "gpus", "device", "devices", "cuda"), "--device"),
    **dict.fromkeys(("workers", "num_workers", "jobs"), "--workers"),
    "threads": "--threads",
    **dict.fromkeys(("data_root", "data_dir", "root"), "--data-root"),
}
"""What fields, and options of the command line, are called elsewhere; for hints."""


class Model(BaseModel):
    # Strict: `depth: "20"` or `seed: true` is a slip of the pen, not a number.
    # NaN and infinity are refused, and stay what they are where they are written, not null: so no identity has them.
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, ser_json_inf_nan="constants"
    )

    @field_validator("*")
    @classmethod
    def _one_zero(cls, value: Any) -> Any:
        return value + 0.0 if isinstance(value, float) else value  # -0.0 is 0.0, or one run would have two ids


def wrong(message: str) -> PydanticCustomError:
    """What a validator raises: a message that stands as it is, after the field's name."""
    # pydantic cannot print what a command line may hold beside UTF-8.
    return PydanticCustomError("choice", "{message}", {"message": printable(message)})


def shown(value: Any) -> str:
    """A value in a message, cut to 80 characters."""
    text = repr(value[:100] if isinstance(value, str) else value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def reasons(error: ValidationError, known: Mapping[str, Iterable[str]]) -> Iterator[tuple[tuple[int | str, ...], str]]:
    """Each mistake of a failed validation: where it is, and what would be right.

    `known` has the fields of models within the model by the first part of the way to them; its own are under "".
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


NAME_RULE = (
    "at most 60 letters, digits, '_', '-' and '.', without '/' or '..', and not '.', '.yaml' or '.yml' at its end"
)


def sweep_name(text: str) -> str | None:
    """The text as a sweep's name, in any script; None where it is none.

    It names a folder, and is a word of commands. `é` can be one character or two: the shorter form (NFC) stands for both.
    """
    name = unicodedata.normalize("NFC", text)
    if not 1 <= len(name) <= 60 or not (name[0].isalnum() or name[0] == "_"):
        return None
    if ".." in name or name.endswith((".", ".yaml", ".yml")):  # these would be taken for files
        return None
    return name if all(c.isalnum() or c in "_-." or unicodedata.category(c) in ("Mn", "Mc") for c in name) else None

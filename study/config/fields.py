"""What the parts of a spec are made of: strict fields, names out of a registry, messages that say what would be right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic_core import PydanticCustomError

from study.config.registry import Entry
from study.errors import nearest, printable

ALIASES = {
    **dict.fromkeys(("lr", "learningrate"), "learning_rate"),
    **dict.fromkeys(
        ("epoch", "epochs", "num_epochs", "max_epochs", "steps", "iters", "max_steps", "max_iter"), "iterations"
    ),
    **dict.fromkeys(("batch", "bs", "batchsize", "minibatch"), "batch_size"),
    **dict.fromkeys(("wd", "l2", "decay"), "weight_decay"),
    **dict.fromkeys(("drops", "lr_steps", "lr_milestones", "decay_steps", "step_size"), "milestones"),
    **dict.fromkeys(("lr_decay", "lr_gamma", "factor"), "gamma"),
    **dict.fromkeys(("scheduler", "lr_schedule", "lr_scheduler"), "schedule"),
    **dict.fromkeys(("crop", "padding"), "pad"),
    **dict.fromkeys(("mirror", "hflip", "horizontal_flip"), "flip"),
    **dict.fromkeys(("warmup_steps", "warmup_epochs"), "warmup_iterations"),
    **dict.fromkeys(("eval_every", "eval_interval"), "evaluate_every"),
    **dict.fromkeys(("log_interval", "logging_steps"), "log_every"),
    **dict.fromkeys(("layers", "n_layers", "num_layers", "deep"), "depth"),
    **dict.fromkeys(("model", "models", "arch", "architecture", "net"), "network"),
    **dict.fromkeys(("dataset", "datasets", "data_set"), "data"),
    **dict.fromkeys(("random_seed", "manual_seed", "rng"), "seed"),
    **dict.fromkeys(("init", "initialization", "weight_init"), "initialisation"),
    **dict.fromkeys(("skip", "skip_connection", "residual"), "shortcut"),
    **dict.fromkeys(("dtype", "amp", "mixed_precision", "fp16", "bf16"), "precision"),
    **dict.fromkeys(("img_size", "imgsize", "resolution", "input_size"), "image_size"),
    **dict.fromkeys(("width_multiplier", "widen_factor", "channels", "filters"), "width"),
    **dict.fromkeys(("p_drop", "drop_rate", "dropout_rate"), "dropout"),
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


def wrong(message: str) -> PydanticCustomError:
    """What a validator raises: a message that stands as it is, after the field's name."""
    # What a command line has that is no UTF-8 pydantic could not print.
    return PydanticCustomError("choice", "{message}", {"message": printable(message)})


def one_of(noun: str, table: Mapping[str, Entry]) -> BeforeValidator:
    """A name that stands in a registry; an unknown one is answered with the nearest."""

    def check(value: Any) -> Any:
        if isinstance(value, str) and value not in table:
            raise wrong(f"no {noun} '{value}'{nearest(value, table)}")
        return value

    return BeforeValidator(check, json_schema_input_type=Literal[tuple(table)])


def as_tuple(value: Any) -> Any:
    """A list of YAML or JSON as the tuple that a spec keeps."""
    return tuple(value) if isinstance(value, list) else value


def listed(numbers: Iterable[object]) -> str:
    """`11, 13 and 16`."""
    *most, last = map(str, numbers)
    return f"{', '.join(most)} and {last}" if most else last

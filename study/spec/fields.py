"""What the parts of a spec are made of: strict fields, names out of a registry, messages that say what would be right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic_core import PydanticCustomError

from study.errors import nearest, printable
from study.spec.registry import Entry


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

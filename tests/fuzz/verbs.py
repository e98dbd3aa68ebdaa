"""The verbs of the command and their options, as their functions declare them."""

import typing
from typing import Any, NamedTuple

from typer.models import OptionInfo

from study.cli.app import app


class Option(NamedTuple):
    """An option of a verb."""

    flag: str
    kinds: tuple[type, ...]
    """What its value may be; `bool` alone: it takes none."""


def _options(function: Any) -> list[Option]:
    found = []
    for name, hint in typing.get_type_hints(function, include_extras=True).items():
        kind, *details = typing.get_args(hint) or (hint,)
        declared = [detail for detail in details if isinstance(detail, OptionInfo)]
        if declared:
            flag = str(declared[0].default)
            usual = f"--{name.strip('_').replace('_', '-')}"
            found.append(Option(flag if flag.startswith("--") else usual, typing.get_args(kind) or (kind,)))
    return found


VERBS = {
    info.name or str(info.callback.__name__): _options(info.callback)
    for info in app.registered_commands
    if info.callback is not None
}

"""What a sweep may be called: its name is that of a folder, a word of commands, and the same however it is typed."""

from __future__ import annotations

import unicodedata

RULE = "at most 60 letters, digits, '_', '-' and '.', without '/' or '..', and not '.', '.yaml' or '.yml' at its end"

_LONGEST = 60


def sweep_name(text: str) -> str | None:
    """The text as a sweep's name, in any script; None where it is none.

    `é` can be one character or two: of both spellings the name is the shorter one (NFC), so that they are one sweep.
    """
    name = unicodedata.normalize("NFC", text)
    if not 1 <= len(name) <= _LONGEST or not (name[0].isalnum() or name[0] == "_"):
        return None
    if ".." in name or name.endswith((".", ".yaml", ".yml")):  # these two would be taken for files
        return None
    return name if all(c.isalnum() or c in "_-." or unicodedata.category(c) in ("Mn", "Mc") for c in name) else None

"""The one exception that a user's mistake raises; the command line prints it as one line and exits 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class StudyError(Exception):
    """A mistake that the user can mend. Its text says what is wrong, where, and what would be right."""


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known name that an unknown one was probably meant to be."""
    return next(iter(difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)), None)


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint for an unknown name: `; did you mean 'depth'?`, or the known names where none is near."""
    names = sorted(known)
    if (name := closest(word, names)) is not None:
        return f"; did you mean '{name}'?"
    return f"; known: {', '.join(names)}" if names else ""

"""The one exception that a user's mistake raises; the command line prints it as one line and exits 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class StudyError(Exception):
    """A mistake that the user can mend. Its text says what is wrong, where, and what would be right."""


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint for an unknown name: `; did you mean 'depth'?`, or the known names where none is near."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; known: {', '.join(names)}" if names else ""

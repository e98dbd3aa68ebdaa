"""The one exception that a user's mistake raises; the command line prints it as one line and exits 2."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

LONGEST = 2000
"""Characters of a line that is said of a mistake."""

# Control characters, ends of lines, marks that turn the direction of writing, and what is no character at all.
_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class StudyError(Exception):
    """Mistakes that the user can mend, a line each, that says what is wrong, where, and what would be right.

    What a line quotes of a file or of the command line can neither break it nor steer a terminal. `args` are the lines.
    """

    def __init__(self, *mistakes: str) -> None:
        super().__init__(*map(one_line, mistakes))

    def __str__(self) -> str:
        return "\n".join(self.args)


def printable(text: str) -> str:
    """The text with every character that a terminal would obey, or could not print, written as Python writes it."""
    return _STEERING.sub(lambda found: repr(found[0])[1:-1], text)


def one_line(text: str) -> str:
    """The text as a line of a message: printable, and not without end."""
    line = printable(text)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}..."


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known name that an unknown one was probably meant to be."""
    if len(word) > 100:
        return None
    return next(iter(difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)), None)


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint for an unknown name: `; did you mean 'depth'?`, or the known names where none is near."""
    names = sorted(known)
    if (name := closest(word, names)) is not None:
        return f"; did you mean '{name}'?"
    return f"; known: {', '.join(names)}" if names else ""

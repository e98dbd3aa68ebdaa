"""The one exception that a user's mistake raises; the command line prints it as one line and exits 2."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

LONGEST = 2000
"""Maximum length of a line about a mistake."""

# Control characters, line ends, marks of writing direction, and surrogates.
_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class StudyError(Exception):
    """Mistakes that the user can fix. Each line (`args`) says what is wrong, where, and what would be right.

    Quoted input can neither break a line nor control a terminal.
    """

    def __init__(self, *mistakes: str) -> None:
        super().__init__(*map(one_line, mistakes))

    def __str__(self) -> str:
        return "\n".join(self.args)


def printable(text: str) -> str:
    """The text with control and unprintable characters escaped as in Python."""
    return _STEERING.sub(lambda found: repr(found[0])[1:-1], text)


def one_line(text: str) -> str:
    """The text as a line of a message: printable and of limited length."""
    line = printable(text)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}..."


def closest(word: str, known: Iterable[str], aliases: Mapping[str, str] = MappingProxyType({})) -> str | None:
    """The known name that was probably meant: the word is misspelt, cut short, in the wrong group, or an alias.

    The name of a group, as in `recipe.lr`, is not compared: it would make all its fields similar.
    """
    if not 0 < len(word) <= 100:
        return None
    names = sorted(known, key=lambda name: (-name.count("."), name))  # of two with one end the shorter
    bare = {name.rpartition(".")[2].casefold(): name for name in names} | {name.casefold(): name for name in names}
    group, _, bottom = word.casefold().rpartition(".")
    word = bottom if group in {name.rpartition(".")[0] for name in names} else word.casefold()
    meant = aliases.get(word.replace("-", "_"), word)
    if meant.casefold() in bare:
        return bare[meant.casefold()]
    begun = [name for name in bare if len(word) > 2 and name.startswith(word)]
    like = difflib.get_close_matches(word, begun, n=1, cutoff=0.0) or difflib.get_close_matches(
        word, bare, n=1, cutoff=0.65
    )
    if like:
        return bare[like[0]]
    return meant if meant.startswith("--") else None


FEW = 8
"""Maximum number of names in a hint."""


def nearest(
    word: str, known: Iterable[str], aliases: Mapping[str, str] = MappingProxyType({}), listing: str = ""
) -> str:
    """A hint for an unknown name: `; did you mean 'depth'?`, or the known names, if none is similar.

    Of many names it shows the most similar; `listing` is their kind in `study list`.
    """
    names = sorted(known)
    if (name := closest(word, names, aliases)) is not None:
        return f"; did you mean '{name}'?"
    if len(names) <= FEW:
        return f"; known: {', '.join(names)}" if names else ""
    some = difflib.get_close_matches(word[:100], names, n=FEW, cutoff=0.0) if word else names[:FEW]
    return f"; known: {', '.join(some)}, ..." + (f" (`study list {listing}` has all)" if listing else "")

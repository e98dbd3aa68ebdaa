"""Small pieces of captions and notes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any


def listed(items: Iterable[Any]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    words = [str(item) for item in items]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def counted(number: int, noun: str) -> str:
    """`1 run`, `2 runs`, `1,000 runs`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def ranges(numbers: Iterable[int]) -> str:
    """`0 to 4 and 7`: whole numbers, neighbours together."""
    ordered = sorted(set(numbers))
    blocks = [[n for _, n in block] for _, block in groupby(enumerate(ordered), lambda pair: pair[1] - pair[0])]
    return listed(text for block in blocks for text in _block(block))


def _block(block: Sequence[int]) -> list[str]:
    return [f"{block[0]} to {block[-1]}"] if len(block) > 2 else [str(number) for number in block]

"""The cache of decoded images and their statistics. Files appear whole; all of them may be deleted at any time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from study.errors import StudyError
from study.store.files import draft, sweep_away_temporaries
from study.text import user_path

VERSION = 3
"""Raise it when decoding changes, so that older files are not used."""


def cache_folder() -> Path:
    """`$STUDY_CACHE`, or `$XDG_CACHE_HOME/study`, or `~/.cache/study`. Raises `StudyError` if there is no home."""
    if own := os.environ.get("STUDY_CACHE"):
        return user_path(own)
    try:
        return user_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "study"
    except StudyError:
        raise StudyError(
            "no home folder is known here for the cache of decoded images; set STUDY_CACHE to a folder"
        ) from None


def cached(name: str, key: object, suffix: str) -> Path:
    """The path of a cached file of a data set; `key` is anything that JSON can express."""
    digest = hashlib.sha256(json.dumps([VERSION, key]).encode()).hexdigest()[:20]
    return cache_folder() / f"{name}-{digest}{suffix}"


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A temporary file to write, which replaces `path` at the end. Of two processes that do this the later one wins."""
    temporary = draft(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep_away_temporaries(path.parent)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise StudyError(
            f"cannot write the cache {path.parent}: {error.strerror}; set STUDY_CACHE to another folder"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)

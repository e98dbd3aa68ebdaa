"""Data sets, as NumPy arrays: `load` one by its name, `prepare` it beforehand, or ask what is `missing`.

An `ImageSet` is in memory; `ImageFiles` are decoded as they are needed. Nothing here imports torch, except where
torchvision's classes download or read their own formats.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from study.config.registry import DATA
from study.data.images import ImageFiles, ImageSet
from study.data.source import Source, Survey
from study.data.subset import chosen, with_train_subset
from study.errors import StudyError, nearest
from study.text import user_path

__all__ = ["ImageFiles", "ImageSet", "Survey", "default_root", "load", "load_once", "missing", "prepare", "survey"]


def load(
    name: str,
    root: Path,
    *,
    folder: str | None = None,
    image_size: int | None = None,
    train_subset: int | None = None,
    train_subset_seed: int = 0,
) -> ImageSet | ImageFiles:
    """Load a data set; one that is not ready is prepared first.

    `root` holds all data sets; `folder` and `image_size` (pixels) belong to image folders alone; `train_subset`
    keeps that many training images, class-balanced and drawn from `train_subset_seed`. Raises `StudyError`.
    """
    data = _source(name, root, folder, image_size).load()
    return data if train_subset is None else with_train_subset(data, train_subset, train_subset_seed)


load_once = lru_cache(maxsize=1)(load)
"""As `load`; what was loaded last is kept until the next `prepare`, since a worker trains many runs on it."""


def prepare(name: str, root: Path, *, folder: str | None = None, image_size: int | None = None) -> None:
    """Make a data set ready before any worker starts: download and verify it, or decode the image folder.

    Returns at once where nothing is to be done. Raises `StudyError`, one line, where it is impossible.
    """
    load_once.cache_clear()
    _source(name, root, folder, image_size).prepare()


def survey(
    name: str,
    root: Path,
    *,
    folder: str | None = None,
    image_size: int | None = None,
    train_subset: int | None = None,
    train_subset_seed: int = 0,
) -> Survey:
    """What can be said of a data set without downloading or decoding anything; arguments as of `load`. Raises `StudyError`."""
    found = _source(name, root, folder, image_size).survey()
    if train_subset is None or found.fingerprint is None or found.train_labels is None:
        return found
    _, fingerprint = chosen(found.fingerprint, found.train_labels, found.classes, name, train_subset, train_subset_seed)
    return found._replace(fingerprint=fingerprint)


def missing(name: str, root: Path, *, folder: str | None = None, image_size: int | None = None) -> str | None:
    """None where a data set can be had without a network, else one line: what is missing, and how to get it."""
    return _source(name, root, folder, image_size).missing()


def default_root() -> Path:
    """`$STUDY_DATA`, else the folder `data` in the working directory."""
    return user_path(os.environ.get("STUDY_DATA") or "data")


def _source(name: str, root: Path, folder: str | None, image_size: int | None) -> Source:
    if name not in DATA:
        raise StudyError(f"unknown data '{name}'{nearest(name, DATA)}")
    source: Source = DATA[name].load()(name, root, folder, image_size)
    return source

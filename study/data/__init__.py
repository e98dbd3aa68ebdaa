"""Data sets, as NumPy arrays: `load` one by its name, `prepare` it beforehand, or ask what is `missing`.

An `ImageSet` is in memory; the images of `ImageFiles` are decoded when they are needed. torch is imported only where
torchvision downloads or reads its own formats, and where several processes decode images.
"""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from study.config.own import data as register
from study.config.registry import DATA
from study.data.images import ImageFiles, ImageSet, Source, Survey, choose_subset
from study.text import user_path

__all__ = ["ImageFiles", "ImageSet", "Survey", "default_root", "load", "load_once", "missing", "prepare", "survey"]


def load(
    name: str, root: Path, *, train_subset: int | None = None, train_subset_seed: int = 0, **options: Any
) -> ImageSet | ImageFiles:
    """Load a data set, preparing it first if needed.

    `root` holds all data sets, and `options` are those of this one. `train_subset` keeps that many training images,
    class-balanced and drawn from `train_subset_seed`. Raises `StudyError`.
    """
    data = _source(name, root, **options).load()
    if train_subset is None:
        return data
    return data.with_train(
        *choose_subset(
            data.fingerprint, data.train_labels, len(data.classes), data.name, train_subset, train_subset_seed
        )
    )


load_once = lru_cache(maxsize=1)(load)
"""Like `load`, but keeps the last data set until the next `prepare`: a worker trains many runs on it."""


def prepare(name: str, root: Path, **options: Any) -> None:
    """Make a data set ready before any worker starts: download and verify it, or decode the image folder."""
    load_once.cache_clear()
    _source(name, root, **options).prepare()


def survey(
    name: str, root: Path, *, train_subset: int | None = None, train_subset_seed: int = 0, **options: Any
) -> Survey:
    """What is known without downloading or decoding anything. Arguments as for `load`. Raises `StudyError`."""
    found = _source(name, root, **options).survey()
    if train_subset is None or found.fingerprint is None or found.train_labels is None:
        return found
    _, digest = choose_subset(
        found.fingerprint, found.train_labels, found.classes, name, train_subset, train_subset_seed
    )
    return found._replace(fingerprint=digest)


def missing(name: str, root: Path, **options: Any) -> str | None:
    """None if a data set can be had without a network, else one line: what is missing and how to get it."""
    return _source(name, root, **options).missing()


def default_root() -> Path:
    """`$STUDY_DATA`, or the folder `data` in the working directory."""
    return user_path(os.environ.get("STUDY_DATA") or "data")


class _Decorator(ModuleType):
    """This package is `@study.data`, too: a package's name is an attribute of its parent, whatever else it should be."""

    def __call__(self, *given: Any, **options: Any) -> Any:
        return register(*given, **options)


sys.modules[__name__].__class__ = _Decorator


def _source(name: str, root: Path, **options: Any) -> Source:
    if DATA[name].source is not None:
        from study.data.arrays import Function  # late: pyarrow

        return Function(name, root, **options)
    source: Source = DATA[name].load()(name, root, **options)
    return source

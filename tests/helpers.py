"""Small specs, runs and comparisons that several tests need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from study.data import ImageSet
from study.data.images import image_set
from study.spec.identity import run_id
from study.spec.run import RunSpec
from study.spec.sweep import Value, resolve
from study.store import runs as store
from study.store.curves import Row, read_table
from study.store.layout import RunFiles

QUICK = {"network": "residual", "depth": 8, "data": "digits", "recipe": "quick", "seed": 0}


def make_spec(**fields: Any) -> RunSpec:
    """A run spec: ResNet-8 on digits unless told otherwise; `recipe__iterations=5` sets a field of the recipe."""
    named = {key.replace("__", "."): value for key, value in fields.items()}
    return resolve({key: Value(value, "test") for key, value in (QUICK | named).items()})


def open_run(results: Path, spec: RunSpec, sweep: str = "test") -> RunFiles:
    """A run folder with its spec in it."""
    files = RunFiles(results / sweep / "runs" / run_id(spec))
    store.write_spec(files, spec)
    return files


def tiny_images(train: int = 40, test: int = 20, size: int = 8, channels: int = 1, classes: int = 10) -> ImageSet:
    """A data set of noise: small, and never the same pixel value everywhere."""
    random = np.random.RandomState(7)
    images = random.randint(0, 256, (train + test, size, size, channels)).astype(np.uint8)
    labels = np.arange(train + test, dtype=np.int64) % classes
    names = tuple(map(str, range(classes)))
    return image_set("noise", (images[:train], labels[:train]), (images[train:], labels[train:]), names)


def read_rows(path: Path) -> list[Row]:
    """A run's curve as rows, in the order they were taken."""
    rows: list[Row] = read_table(path).to_pylist()
    return rows


def points(files: RunFiles) -> list[tuple[Any, ...]]:
    """A run's curve, sorted, without the seconds: what two trainings of it have in common, bit for bit."""
    rows = read_rows(files.curves)
    keys = [key for key in rows[0] if key != "seconds"] if rows else []
    return sorted(tuple(repr(row[key]) for key in keys) for row in rows)

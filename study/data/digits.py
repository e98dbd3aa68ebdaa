"""The digits that scikit-learn carries: 1,797 handwritten digits of 13 writers, 8x8 grey (Alpaydin & Kaynak 1998)."""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from study.data.images import ImageSet, image_set
from study.data.source import Source, Survey, surveyed
from study.errors import StudyError

SHAPE = (1797, 65)  # 64 grey levels 0..16 and the digit


class Digits(Source):
    """1,437 training and 360 test images, 8x8x1; grey levels 0..16 are stored as 0..240."""

    def missing(self) -> str | None:
        if find_spec("sklearn") is None:
            return f"{self.name}: comes with scikit-learn, which is not installed; `pip install scikit-learn`"
        return None

    def prepare(self) -> None:
        if problem := self.missing():
            raise StudyError(problem)

    def load(self) -> ImageSet:
        self.prepare()
        table = _read_table()
        if table.shape != SHAPE or table[:, :64].max() > 16:
            raise StudyError(f"{self.name}: scikit-learn's file has shape {table.shape}, expected {SHAPE}")
        images = (table[:, :64] * 15).astype(np.uint8).reshape(-1, 8, 8, 1)
        labels = table[:, 64].astype(np.int64)
        is_test = held_out(labels)
        return image_set(
            self.name, (images[~is_test], labels[~is_test]), (images[is_test], labels[is_test]), tuple("0123456789")
        )

    def survey(self) -> Survey:
        return surveyed(self.load())


def held_out(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The fixed stratified split: sorted by class, every fifth image is a test image.

    The rule needs no random numbers, so no version of anything can change it, and as the file is ordered by
    writer, each writer is in both parts.
    """
    mask = np.zeros(len(labels), dtype=np.bool_)
    mask[np.argsort(labels, kind="stable")[::5]] = True
    return mask


def _read_table() -> NDArray[np.float64]:
    """scikit-learn's table, shape (1797, 65), read past its package: importing that takes seconds."""
    spec = find_spec("sklearn")
    folders = spec.submodule_search_locations if spec else None
    path = Path(next(iter(folders or [""]))) / "datasets" / "data" / "digits.csv.gz"
    if path.is_file():
        with gzip.open(path, "rt") as lines:
            return np.loadtxt(lines, delimiter=",", dtype=np.float64)
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return np.column_stack([images, labels])

"""Each figure against a stored picture. To change one: `STUDY_REDRAW=1 pytest tests/plotting`, and look at it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from matplotlib.text import Text

from study.config.registry import FIGURES
from study.plotting import figure
from study.plotting.base.style import styled

Fed = Callable[[str], tuple[pd.DataFrame, pd.DataFrame | None]]
REFERENCE = Path(__file__).parent / "reference"
TOLERANCE = 0.02  # root mean square of the difference, of a range of 1
OTHER: dict[str, Callable[[pd.Series], pd.Series]] = {
    "loss": lambda values: values * 1.5,
    "error": lambda values: values * 1.5,
    "lambda_min": lambda values: values * 1.5,
    "value": lambda values: values * 30,  # of probes, which are drawn to logarithmic scales, too
    "images_per_second": lambda values: values * 1.25,
    "end": lambda times: times + pd.Timedelta(minutes=4),
}
"""Columns of the frames that figures are drawn from, and how they are changed."""


@pytest.fixture(autouse=True)
def no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the letters out: they differ between versions of FreeType by more than a wrong curve does."""
    monkeypatch.setattr(Text, "draw", lambda self, renderer: None)


def rms(one: Path, other: Path) -> float:
    pictures = [imread(path)[..., :3] for path in (one, other)]
    if pictures[0].shape != pictures[1].shape:  # more or fewer lines of notes
        return 1.0
    return float(np.sqrt(np.mean(np.square(pictures[0] - pictures[1]))))


def draw(name: str, frames: tuple[pd.DataFrame, pd.DataFrame | None], path: Path) -> Path:
    with styled("paper"):
        figure(name, *frames).savefig(path, dpi=72)
    return path


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_looks_as_it_did(name: str, fed: Fed, tmp_path: Path) -> None:
    reference = REFERENCE / f"{name}.png"
    if os.environ.get("STUDY_REDRAW"):
        draw(name, fed(name), reference)
    assert rms(draw(name, fed(name), tmp_path / "now.png"), reference) < TOLERANCE


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_the_tolerance_sees_other_data(name: str, fed: Fed, tmp_path: Path) -> None:
    frame, runs = fed(name)
    # Half of the runs, so that no axis just grows along.
    name_of = frame["run_id"] if "run_id" in frame else frame["networks"] + frame["measure"]
    mine = name_of.isin(sorted(name_of.unique())[::2])
    changed = {column: change for column, change in OTHER.items() if column in frame}
    other = frame.assign(
        **{column: change(frame[column]).where(mine, frame[column]) for column, change in changed.items()}
    )
    assert rms(draw(name, (other, runs), tmp_path / "now.png"), REFERENCE / f"{name}.png") > TOLERANCE

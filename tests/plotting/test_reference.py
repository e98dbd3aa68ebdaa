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

from study.plotting import figure
from study.plotting.style import styled
from study.spec.registry import FIGURES

Fed = Callable[[str], tuple[pd.DataFrame, pd.DataFrame | None]]
REFERENCE = Path(__file__).parent / "reference"
TOLERANCE = 0.02  # root mean square of the difference, of a range of 1
OTHER: list[tuple[str, Callable[[pd.Series], pd.Series]]] = [
    ("loss", lambda values: values * 1.1),
    ("error", lambda values: values * 1.1),
    ("images_per_second", lambda values: values * 1.1),
    ("end", lambda times: times + pd.Timedelta(minutes=4)),
]
"""Columns of the frames that figures are drawn from, and how they are changed."""


def _some(frame: pd.DataFrame) -> pd.Series:
    """The rows that are changed: of one network where there are several, else of what comes first."""
    of = frame["run_id"] if "run_id" in frame else frame["networks"]
    plain20 = of.str.contains("plain-20")
    return plain20 if plain20.any() else of.str.startswith(of.sort_values().iloc[0][:9])


@pytest.fixture(autouse=True)
def no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the letters out: they differ between versions of FreeType by more than a wrong curve does."""
    monkeypatch.setattr(Text, "draw", lambda self, renderer: None)


def rms(one: Path, other: Path) -> float:
    pictures = [imread(path)[..., :3] for path in (one, other)]
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
    other = frame.assign(
        **{value: change(frame[value]).where(_some(frame), frame[value]) for value, change in OTHER if value in frame}
    )
    assert rms(draw(name, (other, runs), tmp_path / "now.png"), REFERENCE / f"{name}.png") > TOLERANCE

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
FACTORS = {"surface3d": 1.3, "hessian_ratio": 1.5}  # by which data must change to be seen, where that is not 1.1


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
    plain20 = frame["run_id"].str.contains("plain-20")
    by = FACTORS.get(name, 1.1)
    values = [value for value in ("loss", "error", "lambda_min", "value") if value in frame]
    other = frame.assign(**{value: frame[value].where(~plain20, frame[value] * by) for value in values})
    assert rms(draw(name, (other, runs), tmp_path / "now.png"), REFERENCE / f"{name}.png") > TOLERANCE

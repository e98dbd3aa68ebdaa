"""The ready sweep of surfaces, and what its comment says that it shows: of the results in the repository, and afresh."""

from __future__ import annotations

from pathlib import Path

import pytest

import study
from study.config.ready import find_sweep_file
from tests.helpers import RESULTS
from tests.launch.command import study as command


def shows_what_it_says(sweep: Path) -> None:
    frame = study.read_surfaces(sweep).query("split == 'train'")
    curves = study.read_curves(sweep).query("split == 'train_clean'")
    found = {}
    for (network, depth, bn), surface in frame.groupby(["network", "depth", "bn"]):
        centre = surface.query("alpha == 0 and beta == 0")["loss"].item()
        found[f"{network}-{depth} {bn}"] = centre, surface["loss"].max(), surface["loss"].min()
        if bn == "frozen":
            run = curves[curves["run_id"] == surface["run_id"].iloc[0]]
            assert centre == pytest.approx(run.sort_values("iteration")["loss"].iloc[-1], rel=1e-5)
    assert len(found) == 8
    for name in ("plain-20", "residual-20", "residual-56"):
        centre, most, least = found[f"{name} recalibrated"]
        assert centre == least < 0.3 and 2 < most < 20, name  # a bowl
        assert found[f"{name} frozen"][1] > 100 * most, name
    centre, most, least = found["plain-56 recalibrated"]
    assert most - least < 1.5 and centre > 2  # flat, at the loss of guessing
    assert found["plain-56 frozen"][1] > 1e6


def test_its_results_in_the_repository_show_what_it_says() -> None:
    shows_what_it_says(RESULTS / "surfaces_quick")


@pytest.mark.long
def test_trained_afresh_it_shows_what_it_says(tmp_path: Path) -> None:
    text = find_sweep_file("surfaces_quick.yaml").read_text()
    (tmp_path / "quick.yaml").write_text(text.replace("points: 15", "points: 3"))
    code, out, err = command(tmp_path, "sweep", "quick.yaml")
    assert code == 0, err
    assert out.count("at the centre") == 8 and "figure: figures/surfaces_quick/contours.pdf" in out
    shows_what_it_says(tmp_path / "results" / "surfaces_quick")

"""The ready sweep of all probes, and what its comment says that it shows: of the results in the repository, and afresh."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import study
from study.config.ready import find_sweep_file
from study.config.sweep import load
from tests.helpers import RESULTS
from tests.launch.command import study as command


def shows_what_it_says(sweep: Path) -> None:
    asked = {name for spec in load(find_sweep_file("probes_quick.yaml")).runs.values() for name in spec.probes}
    table = study.read_probes(sweep)
    table["net"] = table["network"] + "-" + table["depth"].astype(str)
    taken = table.groupby(["net", "iteration"])["probe"].unique().map(set)
    assert len(taken) == 12 and (taken == asked).all()

    def values(net: str, probe: str, measure: str, iteration: int) -> pd.Series:
        chosen = table[(table["net"] == net) & (table["probe"] == probe) & (table["measure"] == measure)]
        return chosen[chosen["iteration"] == iteration].sort_values("place").set_index("layer")["value"]

    norms = values("plain-56", "gradients", "norm", 0)
    assert norms.iloc[1] > 300 * norms.iloc[-1]
    norms = values("residual-56", "gradients", "norm", 0)
    assert norms.iloc[1] < 30 * norms.iloc[-2]
    assert abs(values("plain-56", "confusion", "cosine_mean", 0).item()) < 0.1
    assert values("residual-56", "confusion", "cosine_mean", 0).item() > 0.3
    running, recalibrated = (values("plain-56", "batch_norm", f"loss_{n}", 50) for n in ("running", "recalibrated"))
    assert running["train"] > 3 * recalibrated["train"]
    assert values("residual-56", "identity", "change", 100).median() < 0.5
    assert values("plain-56", "identity", "change", 100).median() > 0.8
    shares = values("residual-56", "paths", "path_share", 100)
    assert shares.iloc[2:9].sum() > 0.7 and len(shares) == 28


def test_its_results_in_the_repository_show_what_it_says() -> None:
    shows_what_it_says(RESULTS / "probes_quick")


@pytest.mark.long
def test_trained_afresh_it_shows_what_it_says(tmp_path: Path) -> None:
    code, out, err = command(tmp_path, "sweep", "probes_quick.yaml")
    assert code == 0, err
    assert "results/probes_quick/probes.parquet" in out
    shows_what_it_says(tmp_path / "results" / "probes_quick")

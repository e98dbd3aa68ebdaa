"""The README, results/README.md and ready sweeps say what the results show; docs are short and name their reader."""

import importlib.util
import re
import shutil
from functools import cache
from pathlib import Path

import pytest

import study
from study.config.ready import find_sweep_file
from study.config.sweep import load
from tests.helpers import RESULTS, long, python
from tests.launch.command import study as command

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def make():
    """`figures/make.py`, whose commands run once for all tests."""
    spec = importlib.util.spec_from_file_location("make", ROOT / "figures" / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.call = cache(module.call)
    return module


@pytest.mark.slow
def test_the_pages_match_the_results(make):
    assert make.stale() == []


def test_every_collected_sweep_is_on_the_page_and_has_figures(make):
    text = (ROOT / "results" / "README.md").read_text()
    for sweep in make.sweeps():
        assert f"## {sweep}\n" in text and f"<!-- made {sweep} -->" in text
        found = [path.name for path in (ROOT / make.FIGURES / sweep).iterdir()]
        assert {"verdict.md", "degradation.png"} <= set(found)


def test_docs_are_short_and_say_for_whom():
    pages = sorted((ROOT / "docs").glob("*.md"))
    assert sum(len(page.read_text("utf-8").splitlines()) for page in [*pages, ROOT / "README.md"]) <= 2000
    for page in pages:
        first = page.read_text("utf-8").split("\n\n")[1]
        assert first.startswith("For anyone who"), page.name


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/api.md"])
def test_the_python_examples_run(page, tmp_path):
    shutil.copytree(ROOT / "results" / "reference", tmp_path / "results")
    examples = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert examples
    for example in examples:
        python(example)


# -- what the comments of ready sweeps say that they show: in the results here, and trained afresh ---------------------


def probes(sweep):
    asked = {name for spec in load(find_sweep_file("probes_quick.yaml")).runs.values() for name in spec.probes}
    table = study.read_probes(sweep)
    table["net"] = table["network"] + "-" + table["depth"].astype(str)
    taken = table.groupby(["net", "iteration"])["probe"].unique().map(set)
    assert len(taken) == 12 and (taken == asked).all()

    def values(net, probe, measure, iteration):
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


def surfaces(sweep):
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


SHOWN = {"probes_quick": probes, "surfaces_quick": surfaces}


@pytest.mark.parametrize("name", SHOWN)
@pytest.mark.parametrize("where", ["repository", long("afresh")])
def test_a_ready_sweep_shows_what_its_comment_says(tmp_path, name, where):
    shows = SHOWN[name]
    results = RESULTS
    if where == "afresh":
        results, text = tmp_path / "results", find_sweep_file(f"{name}.yaml").read_text()
        (tmp_path / f"{name}.yaml").write_text(text.replace("points: 15", "points: 3"))
        code, _, err = command(tmp_path, "sweep", f"{name}.yaml")
        assert code == 0, err
    shows(results / name)

"""The numbers in the README and in results/README.md match the results; docs stay short and name their reader."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from study.config.ready import ready_sweeps
from study.config.sweep import load
from study.reporting import place
from study.store.layout import SweepFiles

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def make() -> ModuleType:
    """`figures/make.py`, whose commands run once for all tests."""
    spec = importlib.util.spec_from_file_location("make", ROOT / "figures" / "make.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.call = cache(module.call)
    return module


@pytest.mark.slow
def test_the_pages_match_the_results(make: ModuleType) -> None:
    assert make.stale() == []


@pytest.mark.slow
def test_a_changed_number_is_detected(make: ModuleType) -> None:
    text = (ROOT / "results" / "README.md").read_text()
    assert len(make.BLOCK.findall(text)) >= 8
    [line] = [line for line in text.splitlines() if line.startswith("| plain ") and " 56 " in line][:1]
    assert make.filled(text.replace(line, line.replace("plain ", "pla1n "))) == text


def test_every_collected_sweep_is_on_the_page_and_has_figures(make: ModuleType) -> None:
    text = (ROOT / "results" / "README.md").read_text()
    for sweep in make.sweeps():
        assert f"## {sweep}\n" in text and f"<!-- made {sweep} -->" in text
        found = [path.name for path in (ROOT / make.FIGURES / sweep).iterdir()]
        assert {"verdict.md", "degradation.png"} <= set(found)


def test_pictures_in_the_repository_are_small(make: ModuleType) -> None:
    for path in (ROOT / make.FIGURES).glob("*/*.png"):
        with Image.open(path) as image:
            assert image.mode == "P" and len(image.palette.colors) <= make.COLOURS, path


def test_docs_are_short_and_say_for_whom() -> None:
    pages = sorted((ROOT / "docs").glob("*.md"))
    assert sum(len(page.read_text("utf-8").splitlines()) for page in [*pages, ROOT / "README.md"]) <= 2000
    for page in pages:
        first = page.read_text("utf-8").split("\n\n")[1]
        assert first.startswith("For anyone who"), page.name


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/api.md"])
def test_the_python_examples_run(page: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "results" / "reference", tmp_path / "results")
    examples = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert examples
    for example in examples:
        done = subprocess.run(
            [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, example + done.stderr


def git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a clone")
def test_git_ignores_what_a_ready_sweep_writes() -> None:
    """`git status` stays clean after the commands of the README, and no committed file is overwritten."""
    tracked = git("ls-files", "results", "figures").splitlines()
    for name, path in ready_sweeps().items():
        sweep = load(path)
        results, figures = SweepFiles(Path("results"), sweep.name), Path("figures") / sweep.name
        run = results.run(next(iter(sweep.runs)))
        written = [
            results.sweep,
            results.curves,
            results.runs_table,
            run.spec,
            run.log,
            results.slurm / "x/submission.json",
        ]
        written += [
            figures / f"{figure}.{kind}" for figure in sweep.figures for kind in ("pdf", "png", "svg", "csv", "txt")
        ]
        written += [place(sweep.name)]
        asked = list(map(str, written))
        assert git("check-ignore", *asked).splitlines() == asked, name
        assert not [path for path in tracked if path.startswith((f"{results.folder}/", f"{figures}/"))], name

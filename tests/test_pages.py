"""The numbers in the README and in results/README.md match the results; docs stay short and name their reader."""

import importlib.util
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

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


def test_every_collected_sweep_is_on_the_page_and_has_figures(make: ModuleType) -> None:
    text = (ROOT / "results" / "README.md").read_text()
    for sweep in make.sweeps():
        assert f"## {sweep}\n" in text and f"<!-- made {sweep} -->" in text
        found = [path.name for path in (ROOT / make.FIGURES / sweep).iterdir()]
        assert {"verdict.md", "degradation.png"} <= set(found)


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

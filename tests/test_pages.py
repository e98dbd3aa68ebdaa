"""The numbers in the README and beside the results are those that the results have."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def make() -> ModuleType:
    """`figures/make.py`, whose commands run once for all tests: their results don't change meanwhile."""
    spec = importlib.util.spec_from_file_location("make", ROOT / "figures" / "make.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.call = cache(module.call)
    return module


def test_the_pages_say_what_the_results_have(make: ModuleType) -> None:
    assert make.stale() == []


def test_a_number_that_drifted_is_found(make: ModuleType) -> None:
    text = (ROOT / "results" / "README.md").read_text()
    assert len(make.BLOCK.findall(text)) >= 8
    [line] = [line for line in text.splitlines() if line.startswith("| plain ") and " 56 " in line][:1]
    assert make.filled(text.replace(line, line.replace("plain ", "pla1n "))) == text


def test_every_collected_sweep_has_its_place_on_the_page_and_its_figures(make: ModuleType) -> None:
    text = (ROOT / "results" / "README.md").read_text()
    for sweep in make.sweeps():
        assert f"## {sweep}\n" in text and f"<!-- made {sweep} -->" in text
        assert {"report.html", "verdict.md", "degradation.png"} <= {
            p.name for p in (ROOT / "figures" / sweep).iterdir()
        }

"""What the tests of this floor share: sweep files written to a temporary folder, and the command line."""

from __future__ import annotations

import subprocess

import pytest

from study.config import sweep
from tests.launch.command import inside


@pytest.fixture
def write(tmp_path):
    """Write a sweep file `mine.yaml`; returns its path."""

    def write(text):
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def load(write):
    """Load the text of a sweep file, with overrides."""
    return lambda text, *overrides: sweep.load(write(text), overrides)


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Run `study ...` in an empty folder with a results and a data folder of its own."""

    def study(*words):
        monkeypatch.setenv("STUDY_RESULTS", str(tmp_path / "results"))
        monkeypatch.setenv("STUDY_DATA", str(tmp_path / "data"))
        code, out, err = inside(tmp_path, *map(str, words))
        return subprocess.CompletedProcess(words, code, out, err)

    return study

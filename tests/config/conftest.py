"""Sweep files written to a temporary folder."""

import pytest

from study.config import sweep


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

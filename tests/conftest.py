"""What all tests share: no results, data or cache of the user's is ever touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Tests run side by side. Threads that spin while they wait for others take their cores from them: on a busy machine
# training with two threads took five times as long. Read when torch is imported, here and in processes that tests start.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STUDY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("STUDY_EXECUTOR", "local")  # whatever cluster this machine belongs to
    for name in ("STUDY_DATA", "STUDY_RESULTS"):
        monkeypatch.delenv(name, raising=False)


LONGEST = ("faults", "launch")
"""Folders of files that take a minute or two each: begun last, one would go on alone when all others are through."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.parent.name not in LONGEST)
    if not torch.cuda.is_available():
        for item in items:
            if "cuda" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="no CUDA device here"))

"""Shared by all tests: no result, data or cache of the user is touched, and one tiny sweep is trained once."""

import fcntl
import os
import shutil
import subprocess
import sys

import pytest

# Tests run side by side, and threads that spin while they wait steal each other's cores: training with two threads took five
# times as long. Read when torch is imported, here and in processes that tests start.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch

from study.config.use import forget

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """An empty folder, one thread (with more, sums are taken in another order), and no components of another test."""
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STUDY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("STUDY_EXECUTOR", "local")  # whatever cluster this machine belongs to
    for name in ("STUDY_DATA", "STUDY_RESULTS"):
        monkeypatch.delenv(name, raising=False)
    yield
    forget()


TINY = """
fixed: {data: digits, train_subset: 200, recipe: quick, depth: 8, probes: [responses, gradients], probe_images: 64,
  recipe.iterations: 20, recipe.evaluate_every: 10, recipe.log_every: 5}
grid: {network: [plain, residual], seed: [0, 1]}
surfaces:
  - {points: 3, of: {seed: 0}}
  - {points: 5, dims: 1, subset: 64, bn: recalibrated, bn_images: 64, of: {seed: 0}}
"""


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The results of one tiny sweep, trained once for all workers of pytest-xdist. Copy it before changing anything.

    `tiny.yaml` and `out.txt`, what the command printed, lie beside its results folder.
    """
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "trained"
    shared.mkdir(exist_ok=True)
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "done").exists():
            (shared / "tiny.yaml").write_text(TINY)
            command = [sys.executable, "-m", "study", "sweep", "tiny.yaml", "--device", "cpu", "--executor", "debug"]
            environment = {**os.environ, "STUDY_CACHE": str(shared / "cache")}
            done = subprocess.run(command, cwd=shared, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            (shared / "out.txt").write_text(done.stdout)
            (shared / "done").touch()
    return shared / "results" / "tiny"


@pytest.fixture
def copied(trained, tmp_path):
    """A folder with a copy of the tiny sweep and its file, to be changed."""
    shutil.copytree(trained.parents[1], tmp_path, dirs_exist_ok=True)
    return tmp_path


LONGEST = ("faults", "launch")
"""Folders with the slowest files, which start first so that none is left running alone at the end."""


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.parent.name not in LONGEST)
    if not torch.cuda.is_available():
        for item in items:
            if "cuda" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="no CUDA device here"))

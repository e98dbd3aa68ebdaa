from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from study.store.layout import RunFiles
from study.store.runs import checkpointed
from study.training import checkpoint

CPU = torch.device("cpu")


def written(folder, *iterations):
    files = RunFiles(folder / "run")
    for iteration in iterations:
        checkpoint.save(files, iteration, {"network": {"w": torch.full((3,), float(iteration))}})
    return files


def test_newest_checkpoint_is_loaded(tmp_path):
    state = checkpoint.load_newest(written(tmp_path, 5, 10, 200), CPU)
    assert state is not None and state["iteration"] == 200
    assert torch.equal(state["network"]["w"], torch.full((3,), 200.0))


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "garbage"])
def test_damaged_checkpoint_is_logged_and_skipped(tmp_path, damage, caplog):
    files = written(tmp_path, 5, 10)
    newest = files.checkpoints()[0]
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    damaged = {"truncate": content[: len(content) // 2], "flip": content, "empty": b"", "garbage": b"x" * 100}[damage]
    newest.write_bytes(damaged)
    with caplog.at_level(logging.WARNING):
        state = checkpoint.load_newest(files, CPU)
    assert state is not None and state["iteration"] == 5
    assert newest.name in caplog.text


def test_damaged_checkpoint_no_longer_counts(tmp_path):
    files = written(tmp_path, 5, 10)
    files.checkpoints()[0].write_bytes(b"damaged")
    checkpoint.load_newest(files, CPU)
    assert checkpointed(files) == 5
    checkpoint.save(files, 7, {})
    assert [path.name.split("-")[1] for path in files.checkpoints()] == ["00000007", "00000005"]


def test_checkpoint_of_another_run_is_not_loaded(tmp_path):
    [path] = written(tmp_path, 7).checkpoints()
    other = RunFiles(tmp_path / "other")
    other.folder.mkdir()
    path.rename(other.folder / path.name)
    assert checkpoint.load_newest(other, CPU) is None


def test_a_checkpoint_runs_no_code(tmp_path):
    import hashlib
    import pickle

    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    files = RunFiles(tmp_path / "run")
    files.folder.mkdir()
    content = pickle.dumps(Evil(), protocol=2)
    files.checkpoint(9, hashlib.sha256(content).hexdigest()[:16]).write_bytes(content)
    assert checkpoint.load_newest(files, CPU) is None
    assert not (tmp_path / "ran").exists()

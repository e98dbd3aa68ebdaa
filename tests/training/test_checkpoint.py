import logging

import torch

from study.store.layout import RunFiles
from study.store.runs import checkpointed
from study.training import checkpoint


def test_a_damaged_checkpoint_is_logged_skipped_and_counts_no_longer(tmp_path, caplog):
    """tests/faults/test_corruption.py has every kind of damage."""
    files, cpu = RunFiles(tmp_path / "run"), torch.device("cpu")
    for iteration in (5, 10):
        checkpoint.save(files, iteration, {"network": {"w": torch.full((3,), float(iteration))}})
    state = checkpoint.load_newest(files, cpu)
    assert state is not None and state["iteration"] == 10
    assert torch.equal(state["network"]["w"], torch.full((3,), 10.0))
    newest = files.checkpoints()[0]
    newest.write_bytes(newest.read_bytes()[:-1])
    with caplog.at_level(logging.WARNING):
        state = checkpoint.load_newest(files, cpu)
    assert state is not None and state["iteration"] == checkpointed(files) == 5
    assert newest.name in caplog.text
    checkpoint.save(files, 7, {})
    assert [path.name.split("-")[1] for path in files.checkpoints()] == ["00000007", "00000005"]

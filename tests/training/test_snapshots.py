"""Snapshots of the network: their content, and who may write them; `tests/measure/probes/test_schedule.py` has the rest."""

import logging

import pytest
import torch

from study.networks.network import build
from study.store.lease import LeaseLost
from study.training import checkpoint
from tests.helpers import SHORT, kept, make_spec, open_run, stopping, train_runs

CPU = torch.device("cpu")


def contents(files):
    """Every snapshot's name and bytes."""
    return {path.name: path.read_bytes() for path in files.snapshots()}


def test_snapshot_holds_the_network_of_its_iteration(tmp_path):
    spec = make_spec(**SHORT, snapshot_every=5)
    [files] = train_runs(tmp_path, spec, **stopping(10))
    at_ten = checkpoint.load_newest(files, CPU)
    first, *_, last = checkpoint.load_snapshots(files, CPU)
    assert at_ten is not None and (at_ten["iteration"], last["iteration"]) == (10, 10)
    assert set(last) == {"version", "run_id", "iteration", "network"} and last["run_id"] == files.run_id
    assert last["network"].keys() == at_ten["network"].keys()
    assert all(torch.equal(last["network"][name], at_ten["network"][name]) for name in last["network"])
    untrained = build(spec, 1, 10).state_dict()
    assert all(torch.equal(first["network"][name], untrained[name]) for name in first["network"])
    network = build(spec, 1, 10)
    missing = network.load_state_dict(last["network"], strict=False).missing_keys
    assert all(name.endswith("num_batches_tracked") for name in missing)


def test_a_damaged_snapshot_is_skipped_and_stays(tmp_path, caplog):
    [files] = train_runs(tmp_path, make_spec(**SHORT, snapshot_every=4))
    cut = files.snapshots()[1]
    cut.write_bytes(cut.read_bytes()[:100])
    with caplog.at_level(logging.WARNING):
        assert [state["iteration"] for state in checkpoint.load_snapshots(files, CPU)] == [0, 8, 12]
    assert cut.name in caplog.text and kept(files) == [0, 4, 8, 12]


def test_no_snapshot_is_written_or_removed_without_the_lease(tmp_path):
    def lost(files):
        raise LeaseLost("another has it")

    spec = make_spec(**SHORT, snapshot_every=4)
    with pytest.raises(LeaseLost):
        train_runs(tmp_path, spec, before_write=lost)
    files = open_run(tmp_path, spec)
    assert kept(files) == []
    files.snapshot(4, "0" * 16).touch()
    with pytest.raises(LeaseLost):
        train_runs(tmp_path, spec, before_write=lost)
    assert kept(files) == [4]


def test_snapshots_of_another_trajectory_are_removed(tmp_path):
    spec = make_spec(**SHORT, snapshot_every="epoch")
    [whole] = train_runs(tmp_path / "whole", spec)
    [files] = train_runs(tmp_path, spec, **stopping(5))
    early = {name: content for name, content in contents(files).items() if "-00000005-" not in name}
    for iteration in (5, 8, 9):  # another machine went on from the checkpoint, and was killed
        files.snapshot(iteration, "0" * 16).touch()
    before = {path.name: path.stat().st_ino for path in files.snapshots()}
    train_runs(tmp_path, spec)
    assert contents(files) == contents(whole)
    assert all((files.folder / name).stat().st_ino == before[name] for name in early)  # written once

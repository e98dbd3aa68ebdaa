"""When the network of a run is kept, what is in a snapshot, and that the training does not feel it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from study.config.run import RunSpec
from study.networks.network import build
from study.store.layout import RunFiles
from study.store.lease import LeaseLost
from study.store.runs import status
from study.training import checkpoint
from study.training.pack import train_pack
from study.training.session import Progress, Session
from tests.helpers import long, make_spec, open_run, points, slow, tiny_images, training_clock

CPU = torch.device("cpu")
SHORT = {
    "block": "single", "depth": 5,
    "recipe__iterations": 12, "recipe__batch_size": 16, "recipe__evaluate_every": 5, "recipe__log_every": 4,
}  # fmt: skip
EPOCHS = [0, 3, 5, 8, 10, 12]  # 16 images a step, 40 an epoch


def train(results: Path, *specs: RunSpec, **options: Any) -> list[RunFiles]:
    """Train runs as a pack; returns where they lie."""
    runs = [(spec, open_run(results, spec)) for spec in specs]
    train_pack(runs, tiny_images(), Session(**options))
    return [files for _, files in runs]


def stopping(at: int) -> dict[str, Callable[..., Any]]:
    """Options of `train` that stop it at an iteration."""
    steps = [0]
    return {"stopped": lambda: steps[0] >= at, "report": lambda p: steps.__setitem__(0, p.iteration)}


def kept(files: RunFiles) -> list[int]:
    """The iterations of a run's snapshots, one for each file."""
    return [int(path.name.split("-")[1]) for path in files.snapshots()]


def contents(files: RunFiles) -> dict[str, bytes]:
    """Every snapshot's name and bytes."""
    return {path.name: path.read_bytes() for path in files.snapshots()}


def trained(files: RunFiles) -> list[Any]:
    """Everything that training made: the curve but for the run's id, weights, BN statistics and momentum."""
    state = checkpoint.load_newest(files, CPU)
    assert state is not None
    tensors = [*state["network"].values(), *state["momentum"]]
    return [[point[1:] for point in points(files)], *(tensor.numpy().tobytes() for tensor in tensors)]


# -- when --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "every, taken", [("epoch", EPOCHS), (5, [0, 5, 10, 12]), (4, [0, 4, 8, 12]), (100, [0, 12]), (None, [])]
)
def test_the_first_the_last_and_those_in_between(tmp_path: Path, every: Any, taken: list[int]) -> None:
    [files] = train(tmp_path, make_spec(**SHORT, snapshot_every=every))
    assert kept(files) == taken and files.done.exists()


# -- what --------------------------------------------------------------------------------------------------------------


def test_a_snapshot_is_the_network_of_its_iteration_and_nothing_more(tmp_path: Path) -> None:
    spec = make_spec(**SHORT, snapshot_every=5)
    [files] = train(tmp_path, spec, **stopping(10))
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


def test_a_damaged_one_is_said_aloud_and_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    [files] = train(tmp_path, make_spec(**SHORT, snapshot_every=4))
    _, flipped, cut, _ = files.snapshots()
    content = bytearray(flipped.read_bytes())
    content[len(content) // 2] ^= 1
    flipped.write_bytes(content)
    cut.write_bytes(cut.read_bytes()[:100])
    with caplog.at_level(logging.WARNING):
        assert [state["iteration"] for state in checkpoint.load_snapshots(files, CPU)] == [0, 12]
    assert [path.name in caplog.text for path in files.snapshots()] == [False, True, True, False]
    assert kept(files) == [0, 4, 8, 12]  # and left where they are


# -- the training does not feel it -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {},
        slow({"precision": "bf16"}),
        long({"shortcut": "dropout", "order": "pre"}),
        slow({"recipe__bn_groups": 2, "block": "bottleneck", "depth": 11}),
    ],
    ids=str,
)
def test_the_training_is_the_same_bit_for_bit(tmp_path: Path, fields: dict[str, Any]) -> None:
    [bare] = train(tmp_path / "bare", make_spec(**SHORT | fields))
    for every in ("epoch", 1):  # none of which is part of the run's id
        [files] = train(tmp_path / str(every), make_spec(**SHORT | fields, snapshot_every=every))
        assert trained(files) == trained(bare)


@pytest.mark.slow
def test_lanes_of_a_pack_are_kept_each_in_its_own_time(tmp_path: Path) -> None:
    variants: list[dict[str, Any]] = [
        {"snapshot_every": "epoch"},
        {"snapshot_every": 5, "network": "plain"},
        {"seed": 1},
        {"snapshot_every": 7, "recipe__iterations": 9},
    ]
    specs = [make_spec(**SHORT | fields) for fields in variants]
    packed = train(tmp_path / "pack", *specs)
    assert [kept(files) for files in packed] == [EPOCHS, [0, 5, 10, 12], [], [0, 7, 9]]
    for spec, files in zip(specs, packed, strict=True):
        [alone] = train(tmp_path / "alone", spec)
        [bare] = train(tmp_path / "bare", spec.model_copy(update={"snapshot_every": None}))
        assert trained(files) == trained(alone) == trained(bare) and contents(files) == contents(alone)


def test_the_time_it_takes_is_not_the_training_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, sleep = checkpoint.save_snapshot, training_clock(monkeypatch)

    def slow(*arguments: Any) -> None:
        sleep(3600)
        real(*arguments)

    monkeypatch.setattr(checkpoint, "save_snapshot", slow)
    seen: list[Progress] = []
    train(tmp_path, make_spec(**SHORT, snapshot_every=2), report=seen.append)
    assert 0 < seen[-1].seconds < 3600


# -- who may write, and when -----------------------------------------------------------------------------------------------


def test_each_is_written_once_before_the_seal_and_under_the_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[Any] = []
    real = checkpoint.save_snapshot

    def noted(files: RunFiles, iteration: int, network: Any) -> None:
        assert not files.done.exists()
        events.append(iteration)
        real(files, iteration, network)

    monkeypatch.setattr(checkpoint, "save_snapshot", noted)
    train(tmp_path, make_spec(**SHORT, snapshot_every="epoch"), before_write=lambda files: events.append("asked"))
    assert [event for event in events if event != "asked"] == EPOCHS
    assert all(events[i - 1] == "asked" for i, event in enumerate(events) if event != "asked")


def test_who_lost_the_lease_writes_and_removes_none(tmp_path: Path) -> None:
    def lost(files: RunFiles) -> None:
        raise LeaseLost("another has it")

    spec = make_spec(**SHORT, snapshot_every=4)
    with pytest.raises(LeaseLost):
        train(tmp_path, spec, before_write=lost)
    files = open_run(tmp_path, spec)
    assert kept(files) == []
    files.snapshot(4, "0" * 16).touch()
    with pytest.raises(LeaseLost):
        train(tmp_path, spec, before_write=lost)
    assert kept(files) == [4]


# -- stopping and going on -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunFiles:
    """A run that nothing interrupted."""
    torch.set_num_threads(1)
    return train(tmp_path_factory.mktemp("whole"), make_spec(**SHORT, snapshot_every="epoch"))[0]


@pytest.mark.parametrize("stop_at", [0, 4, 12, long(1), long(8)])
def test_stopped_and_resumed_the_snapshots_are_the_same_byte_for_byte(
    tmp_path: Path, stop_at: int, whole: RunFiles
) -> None:
    spec = make_spec(**SHORT, snapshot_every="epoch")
    [files] = train(tmp_path, spec, **stopping(stop_at))
    assert kept(files) == [i for i in EPOCHS if i <= stop_at]
    train(tmp_path, spec)
    assert contents(files) == contents(whole) and trained(files) == trained(whole)


@pytest.mark.parametrize("checkpointed", [0, 8])
def test_what_a_killed_run_kept_after_its_checkpoint_is_kept_anew(
    tmp_path: Path, checkpointed: int, whole: RunFiles
) -> None:
    def die(progress: Progress) -> None:
        if progress.iteration == 11:
            raise InterruptedError

    spec = make_spec(**SHORT, snapshot_every="epoch")
    if checkpointed:
        train(tmp_path, spec, **stopping(checkpointed))
    with pytest.raises(InterruptedError):
        train(tmp_path, spec, report=die)
    files = open_run(tmp_path, spec)
    assert status(files).iteration == checkpointed and kept(files) == EPOCHS[:-1]
    train(tmp_path, spec)
    assert contents(files) == contents(whole) and trained(files) == trained(whole)


def test_snapshots_of_another_way_do_not_stay_beside_those_of_this_one(tmp_path: Path, whole: RunFiles) -> None:
    spec = make_spec(**SHORT, snapshot_every="epoch")
    [files] = train(tmp_path, spec, **stopping(5))
    early = {name: content for name, content in contents(files).items() if "-00000005-" not in name}
    for iteration in (5, 8, 9):  # another machine went on from the checkpoint, and was killed
        files.snapshot(iteration, "0" * 16).touch()
    before = {path.name: path.stat().st_ino for path in files.snapshots()}
    train(tmp_path, spec)
    assert contents(files) == contents(whole)
    assert all((files.folder / name).stat().st_ino == before[name] for name in early)  # written once

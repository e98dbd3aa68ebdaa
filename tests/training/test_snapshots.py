"""When the network of a run is kept, what is in a snapshot, and that the training does not feel it."""

from __future__ import annotations

import hashlib
import io
import logging
import shutil
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from study.config.run import RunSpec
from study.measure.probes.record import during
from study.networks.network import build
from study.store.layout import RunFiles
from study.store.lease import LeaseLost
from study.store.runs import status
from study.training import checkpoint, pack
from study.training.engine import Graphs
from study.training.events import next_snapshot, snapshot_at
from study.training.feeds.images import Images
from study.training.lane import Lane
from study.training.pack import Progress, train_pack
from tests.helpers import make_spec, open_run, points, tiny_images, training_clock
from tests.training.test_engine import Player

CPU = torch.device("cpu")
SHORT = {
    "block": "single", "depth": 5,
    "recipe__iterations": 12, "recipe__batch_size": 16, "recipe__evaluate_every": 5, "recipe__log_every": 4,
}  # fmt: skip
EPOCHS = [0, 3, 5, 8, 10, 12]  # 16 images a step, 40 an epoch


def train(results: Path, *specs: RunSpec, **options: Any) -> list[RunFiles]:
    """Train runs as a pack; returns where they lie."""
    runs = [(spec, open_run(results, spec)) for spec in specs]
    train_pack(runs, tiny_images(), CPU, **options)
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


@pytest.mark.parametrize("batch, images", [(16, 40), (128, 50_000), (16, 16), (64, 40), (7, 7001)])
def test_epochs_are_where_the_number_of_whole_ones_rises(batch: int, images: int) -> None:
    iterations = 1200
    expected = [i for i in range(1, iterations) if i * batch // images > (i - 1) * batch // images]
    due = [i for i in range(iterations + 1) if snapshot_at("epoch", i, iterations, batch, images)]
    assert due == [0, *expected, iterations]
    for now, following in pairwise([0, *expected]):
        assert {next_snapshot("epoch", i, batch, images) for i in range(now, following)} == {following}


@pytest.mark.parametrize(
    "every, taken", [("epoch", EPOCHS), (5, [0, 5, 10, 12]), (4, [0, 4, 8, 12]), (100, [0, 12]), (None, [])]
)
def test_the_first_the_last_and_those_in_between(tmp_path: Path, every: Any, taken: list[int]) -> None:
    [files] = train(tmp_path, make_spec(**SHORT, snapshot_every=every))
    assert kept(files) == taken and files.done.exists()


@pytest.mark.parametrize("every, expected", [("epoch", EPOCHS), (5, [0, 5, 10, 12]), (None, [0, 12])])
def test_the_host_takes_over_when_one_is_due(tmp_path: Path, every: Any, expected: list[int]) -> None:
    spec = make_spec(**SHORT | {"recipe__log_every": 12, "recipe__evaluate_every": 12}, snapshot_every=every)
    lane = Lane(spec, open_run(tmp_path, spec), Images(tiny_images(), CPU))
    lane._window = range(12)  # an epoch's window ends where a snapshot is due; here it does not
    stops = [0]
    while lane.iteration < 12:
        lane.advance(lane.prepare())
        stops.append(lane.iteration)
    assert stops == expected


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


def test_it_is_in_float32_whatever_the_precision_and_no_larger_than_it_need_be(tmp_path: Path) -> None:
    [files] = train(tmp_path, make_spec(**SHORT, snapshot_every=100, precision="bf16"))
    for state, path in zip(checkpoint.load_snapshots(files, CPU), files.snapshots(), strict=True):
        assert {tensor.dtype for tensor in state["network"].values()} == {torch.float32}
        assert all(tensor.is_contiguous() for tensor in state["network"].values())
        values = sum(tensor.numel() for tensor in state["network"].values())
        assert 4 * values < path.stat().st_size < 4 * values + 1000 * len(state["network"])


def test_the_name_has_the_digest_and_no_one_takes_it_for_a_checkpoint(tmp_path: Path) -> None:
    [files] = train(tmp_path, make_spec(**SHORT, snapshot_every=5))
    for path in files.snapshots():
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        assert path == files.snapshot(int(path.name.split("-")[1]), digest)
    assert len(files.checkpoints()) == 1 and not set(files.checkpoints()) & set(files.snapshots())
    files.done.unlink()
    for path in files.checkpoints():
        path.unlink()
    assert status(files).iteration == 0 and checkpoint.load_newest(files, CPU) is None
    assert not list(files.folder.glob(".*.tmp"))


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


def test_one_of_another_run_or_without_tensors_is_not_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    [files] = train(tmp_path, make_spec(**SHORT, snapshot_every=100))
    other = RunFiles(tmp_path / "other")
    other.folder.mkdir()
    moved = Path(shutil.copy(files.snapshots()[0], other.folder))
    assert checkpoint.load_snapshot(moved, CPU) is None and "run residual-5" in caplog.text
    buffer = io.BytesIO()
    torch.save([1, 2], buffer)
    odd = other.snapshot(7, hashlib.sha256(buffer.getvalue()).hexdigest()[:16])
    odd.write_bytes(buffer.getvalue())
    assert checkpoint.load_snapshot(odd, CPU) is None
    assert checkpoint.load_snapshot(other.snapshot(8, "0" * 16), CPU) is None


# -- the training does not feel it -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"precision": "bf16"},
        {"shortcut": "dropout", "order": "pre"},
        {"recipe__bn_groups": 2, "block": "bottleneck", "depth": 11},
    ],
    ids=lambda fields: next(iter(fields.values()), "usual"),
)
def test_the_training_is_the_same_bit_for_bit(tmp_path: Path, fields: dict[str, Any]) -> None:
    [bare] = train(tmp_path / "bare", make_spec(**SHORT | fields))
    for every in ("epoch", 1):  # none of which is part of the run's id
        [files] = train(tmp_path / str(every), make_spec(**SHORT | fields, snapshot_every=every))
        assert trained(files) == trained(bare)


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


def test_a_recorded_pack_is_kept_between_its_graphs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    specs = [make_spec(**SHORT, snapshot_every="epoch"), make_spec(**SHORT, network="plain", snapshot_every=6)]
    eager = train(tmp_path / "eager", *specs)
    monkeypatch.setattr(pack, "engine", lambda programs, tuning: Graphs(programs, 4, Player()))
    recorded = train(tmp_path / "recorded", *specs)
    for one, other in zip(eager, recorded, strict=True):
        assert trained(one) == trained(other) and contents(one) == contents(other) != {}


def test_with_a_plateau_and_with_probes_as_without(tmp_path: Path) -> None:
    fields = SHORT | {
        "recipe__schedule": "plateau", "recipe__schedule__patience": 1,
        "recipe__schedule__improvement": 0.5, "recipe__evaluate_every": 3, "recipe__log_every": 1,
        "probes": ["weights"], "probe_every": 2, "probe_images": 32,
    }  # fmt: skip
    [bare] = train(tmp_path / "bare", make_spec(**fields), probe=during)
    [files] = train(tmp_path, make_spec(**fields, snapshot_every="epoch"), probe=during)
    assert trained(files) == trained(bare) and kept(files) == EPOCHS
    assert len({point[-1] for point in points(files)}) == 3  # the rate dropped twice


def test_the_time_it_takes_is_not_the_training_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, sleep = checkpoint.save_snapshot, training_clock(monkeypatch)

    def slow(*arguments: Any) -> None:
        sleep(3600)
        real(*arguments)

    monkeypatch.setattr(checkpoint, "save_snapshot", slow)
    seen: list[Progress] = []
    train(tmp_path, make_spec(**SHORT, snapshot_every=2), report=seen.append)
    assert 0 < seen[-1].seconds < 3600


def test_a_lane_that_diverged_is_not_kept_any_more(tmp_path: Path) -> None:
    spec = make_spec(**SHORT, network="plain", recipe__learning_rate=1e30, snapshot_every=4)
    calm = make_spec(**SHORT, snapshot_every=4)
    wild, beside = train(tmp_path, spec, calm)
    assert status(wild).state == "diverged" and kept(wild) == [0] and kept(beside) == [0, 4, 8, 12]


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


@pytest.mark.parametrize("stop_at", [0, 1, 3, 4, 8, 11, 12])
def test_stopped_and_resumed_the_snapshots_are_the_same_byte_for_byte(
    tmp_path: Path, stop_at: int, whole: RunFiles
) -> None:
    spec = make_spec(**SHORT, snapshot_every="epoch")
    [files] = train(tmp_path, spec, **stopping(stop_at))
    assert kept(files) == [i for i in EPOCHS if i <= stop_at]
    train(tmp_path, spec)
    assert contents(files) == contents(whole) and trained(files) == trained(whole)


@pytest.mark.parametrize("checkpointed", [0, 4, 8])
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


def test_killed_before_the_seal_it_ends_with_the_same_snapshots(tmp_path: Path, whole: RunFiles) -> None:
    spec = make_spec(**SHORT, snapshot_every="epoch")
    [files] = train(tmp_path, spec)
    files.done.unlink()
    files.snapshots()[-1].unlink()
    train(tmp_path, spec)
    assert contents(files) == contents(whole) and files.done.exists()


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


def test_an_evaluation_that_is_cut_short_does_not_keep_twice(tmp_path: Path, whole: RunFiles) -> None:
    asked: list[int] = []

    def stopped() -> bool:
        """True in the first evaluation, at iteration 5."""
        asked.append(1)
        return len(asked) > 6

    spec = make_spec(**SHORT, snapshot_every="epoch")
    [files] = train(tmp_path, spec, stopped=stopped, probe=partial(during, stopped=stopped))
    assert status(files).iteration == 5 and kept(files) == [0, 3, 5]
    train(tmp_path, spec)
    assert contents(files) == contents(whole)

"""A lane: its curve, its end, and what it keeps; stopped anywhere, it resumes bit for bit."""

import math

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from study.errors import StudyError
from study.networks.network import build
from study.store.lease import LeaseLost
from study.store.runs import status
from study.store.tables import CURVES
from study.training import checkpoint
from study.training.feeds.images import Images
from study.training.lane import Lane
from tests.helpers import kept, make_spec, open_run, points, read_rows, slow, stopping, tiny_images, train_runs
from tests.networks.test_cures import CURES

CPU = torch.device("cpu")
SHORT = {"recipe__iterations": 12, "recipe__batch_size": 16, "recipe__evaluate_every": 5, "recipe__log_every": 4}


def curve(results, **fields):
    """The curve of a run trained alone, without a stop."""
    [files] = train_runs(results, make_spec(**SHORT | fields))
    return points(files)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The curve of the usual run."""
    torch.set_num_threads(1)  # this comes before the test's own setting
    return curve(tmp_path_factory.mktemp("whole"))


def test_curve_has_its_points_and_the_last_is_what_the_checkpoint_scores(tmp_path):
    spec = make_spec(**SHORT)
    [files] = train_runs(tmp_path, spec)
    rows = read_rows(files.curves)
    evaluated = {(split, i) for split in ("train_clean", "test") for i in (5, 10, 12)}
    assert {(row["split"], row["iteration"]) for row in rows} == evaluated | {("train", i) for i in (4, 8, 12)}
    last = rows[-1]
    assert last["epoch"] == 12 * 16 / 40 and last["lr"] == spec.recipe.learning_rate and last["seconds"] > 0
    network = build(spec, 1, 10)
    network.load_state_dict(checkpoint.load_newest(files, CPU)["network"])
    images, labels = Images(tiny_images(), CPU).at("test", torch.arange(20))
    logits = network.eval()(images)
    row = next(r for r in reversed(rows) if r["split"] == "test")
    assert row["error"] == 100 * int((logits.argmax(1) != labels).sum()) / 20
    assert row["loss"] == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-5)


@pytest.mark.parametrize(
    "stop_at, fields",
    [
        *((stop_at, {}) for stop_at in (4, 12)),
        *(slow(stop_at, {}) for stop_at in (1, 5, 11)),
        (7, {"shortcut": "dropout"}),
        (7, {"recipe__optimizer": "adam", "recipe__schedule": "cosine", "recipe__clip_norm": 0.5}),
        (7, {"recipe__mixup": 0.4, "recipe__cutmix": 1.0, "recipe__ema": 0.9, "recipe__stochastic_depth": 0.3}),
        *(slow(7, {"recipe__optimizer": name}) for name in ("adamw", "rmsprop", "adagrad", "lars")),
        slow(7, {"order": "pre", "block": "bottleneck", "depth": 11}),
        *((7, fields | {"precision": "bf16"}) for fields in CURES[:1]),
        *(slow(7, fields | {"precision": "bf16"}) for fields in CURES[1:]),
        slow(3, {"recipe__warmup": "error", "recipe__warmup__below": 95.0, "recipe__log_every": 2}),
    ],
    ids=str,
)
def test_resume_gives_equal_curves_bit_for_bit(tmp_path, whole, stop_at, fields):
    if fields:
        whole = curve(tmp_path / "whole", **fields)
    spec = make_spec(**SHORT | fields)
    train_runs(tmp_path / "parts", spec, **stopping(stop_at))
    [files] = train_runs(tmp_path / "parts", spec)
    assert status(files).state == "done" and points(files) == whole


def test_an_evaluation_that_is_cut_short_is_taken_again(tmp_path, whole):
    spec = make_spec(**SHORT)
    asked = []

    def stopped():
        """True in the first evaluation, between its training images and its test images."""
        asked.append(1)
        return len(asked) > 6  # once before each of 5 steps, and once before the training images

    [files] = train_runs(tmp_path, spec, stopped=stopped)
    assert status(files).iteration == 5
    assert not any(row["split"] == "test" for row in read_rows(files.curves))
    train_runs(tmp_path, spec)
    assert points(files) == whole


def test_diverged_lane_is_recorded_and_does_not_affect_others(tmp_path, whole):
    wild, calm = make_spec(**SHORT, network="plain", recipe__learning_rate=1e30), make_spec(**SHORT)
    files, other = train_runs(tmp_path, wild, calm)
    assert points(other) == whole
    last, before = read_rows(files.curves)[-1], points(files)
    assert status(files).state == "diverged" and math.isnan(last["loss"])
    assert last["split"] == "train" and last["iteration"] == 4
    files.done.unlink()  # as if the process had ended before the seal
    train_runs(tmp_path, wild)
    assert status(files).state == "diverged" and points(files) == before


def test_a_run_at_chance_is_stopped_and_goes_on_when_told_and_one_that_learns_is_not(tmp_path):
    spec = make_spec(**SHORT, recipe__learning_rate=1e-30)
    whole = curve(tmp_path / "whole", recipe__learning_rate=1e-30)
    for _ in range(2):
        [files] = train_runs(tmp_path, spec, stop_at_chance=0.5)
        now, last = status(files), read_rows(files.curves)[-1]
        assert now.state == "at_chance" and (last["iteration"], last["split"]) == (8, "train")  # 4 is before half
        files.done.unlink()  # as if the process had ended before the seal
    train_runs(tmp_path, spec)
    assert status(files).state == "done" and points(files) == whole
    [files] = train_runs(tmp_path, make_spec(**SHORT | {"recipe__iterations": 60}), stop_at_chance=0.5)
    assert status(files).state == "done"


PLATEAU = {
    "recipe__schedule": "plateau", "recipe__schedule__patience": 1,
    "recipe__schedule__improvement": 0.5, "recipe__evaluate_every": 3, "recipe__log_every": 1,
}  # fmt: skip


def test_plateau_lowers_the_rate_from_the_next_step_on(tmp_path):
    spec = make_spec(**SHORT | PLATEAU)
    [files] = train_runs(tmp_path, spec, images=tiny_images(train=200))  # one window for all steps
    lr = {row["iteration"]: row["lr"] for row in read_rows(files.curves) if row["split"] == "train"}
    first = spec.recipe.learning_rate
    assert [lr[i] for i in range(1, 13)] == pytest.approx([first] * 6 + [first / 10] * 3 + [first / 100] * 3)


def test_endless_warm_up_is_reported(tmp_path):
    [files] = train_runs(tmp_path, make_spec(**SHORT, recipe__warmup="error", recipe__warmup__below=0.001))
    assert "never ended" in status(files).message


def test_resume_refuses_other_images_and_keeps_the_number_of_threads(tmp_path):
    spec = make_spec(**SHORT)
    train_runs(tmp_path, spec, stopped=lambda: True)
    with pytest.raises(StudyError, match=r"images of digits have changed .*--mode force"):
        train_runs(tmp_path, spec, images=tiny_images(train=41))
    torch.set_num_threads(2)
    train_runs(tmp_path, spec)
    assert torch.get_num_threads() == 1


@pytest.mark.cuda
def test_gpu_gets_equal_samples_and_close_losses(tmp_path):
    losses = []
    for device in (CPU, torch.device("cuda")):
        spec = make_spec(**SHORT, recipe__learning_rate=0.01)
        lane = Lane(spec, open_run(tmp_path, spec), Images(tiny_images(), device))
        lane.prepare()
        images, _ = lane.images.batch(lane.program.draws(), spec.recipe.pad)
        for _ in range(10):
            lane.prepare()
            lane.program.step()
            lane.iteration += 1
        losses.append((images.cpu(), float(lane.program.loss)))
    assert torch.equal(losses[0][0], losses[1][0])
    assert losses[1][1] == pytest.approx(losses[0][1], rel=1e-3)


def test_curve_is_restored_from_the_checkpoint(tmp_path, whole):
    spec = make_spec(**SHORT)
    [files] = train_runs(tmp_path, spec, **stopping(11))
    CURVES.write(files.curves, [row | {"run_id": "x"} for row in read_rows(files.curves)])
    train_runs(tmp_path, spec)
    assert points(files) == whole


# -- snapshots ---------------------------------------------------------------------------------------------------------


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

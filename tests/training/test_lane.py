from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from study.errors import StudyError
from study.networks.network import build
from study.store.runs import status
from study.store.tables import CURVES
from study.training import checkpoint
from study.training.feeds.images import Images
from study.training.lane import Lane
from study.training.pack import train_pack
from study.training.session import Session
from tests.helpers import make_spec, open_run, points, read_rows, slow, tiny_images

CPU = torch.device("cpu")
SHORT = {"recipe__iterations": 12, "recipe__batch_size": 16, "recipe__evaluate_every": 5, "recipe__log_every": 4}


def step(lane):
    """One step, outside a pack."""
    lane.prepare()
    lane.program.step()
    lane.iteration += 1


def curve(results, **fields):
    """The curve of a run trained alone, without a stop."""
    spec = make_spec(**SHORT | fields)
    files = open_run(results, spec)
    assert train_pack([(spec, files)], tiny_images(), Session())
    return points(files)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The curve of the usual run."""
    torch.set_num_threads(1)  # this comes before `_one_thread`
    return curve(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("nesterov", [False, True])
def test_a_lane_trains_as_the_textbook_does(tmp_path, nesterov):
    spec = make_spec(
        **SHORT, recipe__optimizer__nesterov=nesterov, recipe__schedule__at=[6], recipe__learning_rate=0.05
    )
    lane = Lane(spec, open_run(tmp_path, spec), Images(tiny_images(), CPU))
    network = build(spec, 1, 10)
    optimizer = torch.optim.SGD(network.parameters(), 0.05, 0.9, weight_decay=1e-4, nesterov=nesterov, foreach=False)
    for i in range(10):
        lane.prepare()
        images, labels = lane.images.batch(lane.program.draws(), spec.recipe.pad)
        optimizer.param_groups[0]["lr"] = 0.05 if i < 6 else 0.005
        optimizer.zero_grad()
        F.cross_entropy(network(images.contiguous()), labels).backward()
        optimizer.step()
        step(lane)
    for ours, theirs in zip(lane.program.parameters, network.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=2e-3)


def test_the_points_of_the_curves(tmp_path):
    spec = make_spec(**SHORT)
    files = open_run(tmp_path, spec)
    train_pack([(spec, files)], tiny_images(), Session())
    taken = {(row["split"], row["iteration"]) for row in read_rows(files.curves)}
    evaluated = {(split, i) for split in ("train_clean", "test") for i in (5, 10, 12)}
    assert taken == evaluated | {("train", i) for i in (4, 8, 12)}
    last = read_rows(files.curves)[-1]
    assert last["epoch"] == 12 * 16 / 40 and last["lr"] == spec.recipe.learning_rate and last["seconds"] > 0


def test_the_last_point_is_what_the_checkpointed_network_scores(tmp_path):
    spec = make_spec(**SHORT)
    files = open_run(tmp_path, spec)
    data = tiny_images()
    train_pack([(spec, files)], data, Session())
    state = checkpoint.load_newest(files, CPU)
    assert state is not None
    network = build(spec, 1, 10)
    network.load_state_dict(state["network"])
    network.eval()
    images, labels = Images(data, CPU).in_order("test", torch.tensor(0), 20)
    logits = network(images)
    row = next(r for r in reversed(read_rows(files.curves)) if r["split"] == "test")
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
        slow(3, {"recipe__warmup": "error", "recipe__warmup__below": 95.0, "recipe__log_every": 2}),
    ],
    ids=str,
)
def test_stopped_and_resumed_the_curve_is_the_same_bit_for_bit(tmp_path, whole, stop_at, fields):
    if fields:
        whole = curve(tmp_path / "whole", **fields)
    spec = make_spec(**SHORT | fields)
    files = open_run(tmp_path / "parts", spec)
    steps = 0

    def stopped():
        return steps >= stop_at

    def count(progress):
        nonlocal steps
        steps = progress.iteration

    train_pack([(spec, files)], tiny_images(), Session(stopped=stopped, report=count))
    assert train_pack([(spec, files)], tiny_images(), Session())
    assert points(files) == whole


def test_an_evaluation_that_is_cut_short_is_taken_again(tmp_path, whole):
    spec = make_spec(**SHORT)
    files = open_run(tmp_path / "parts", spec)
    asked: list[int] = []

    def stopped():
        """True in the first evaluation, between its training images and its test images."""
        asked.append(1)
        return len(asked) > 6  # once before each of 5 steps, and once before the training images

    train_pack([(spec, files)], tiny_images(), Session(stopped=stopped))
    assert status(files).iteration == 5
    assert not any(row["split"] == "test" for row in read_rows(files.curves))
    assert train_pack([(spec, files)], tiny_images(), Session())
    assert points(files) == whole


def test_a_lane_in_a_pack_has_the_numbers_of_a_lane_alone(tmp_path):
    variants: list[dict[str, object]] = [
        {"network": "plain", "depth": 14},
        {"shortcut": "dropout"},
        {"recipe__iterations": 4},
    ]
    alone = [curve(tmp_path / "alone", **fields) for fields in variants]
    specs = [make_spec(**SHORT | fields) for fields in variants]
    pack = [(spec, open_run(tmp_path / "pack", spec)) for spec in specs]
    train_pack(pack, tiny_images(), Session())
    assert [points(files) for _, files in pack] == alone


def test_a_lane_that_diverges_is_recorded_and_leaves_the_others_alone(tmp_path, whole):
    wild = make_spec(**SHORT, network="plain", recipe__learning_rate=1e30)
    calm = make_spec(**SHORT)
    pack = [(spec, open_run(tmp_path / "pack", spec)) for spec in (wild, calm)]
    assert train_pack(pack, tiny_images(), Session())
    assert points(pack[1][1]) == whole
    rows = read_rows(pack[0][1].curves)
    assert status(pack[0][1]).state == "diverged" and math.isnan(rows[-1]["loss"])
    assert rows[-1]["split"] == "train" and rows[-1]["iteration"] == 4


def test_a_lane_that_diverged_and_was_not_sealed_is_diverged_when_it_goes_on(tmp_path):
    wild = make_spec(**SHORT, network="plain", recipe__learning_rate=1e30)
    files = open_run(tmp_path, wild)
    train_pack([(wild, files)], tiny_images(), Session())
    before = points(files)
    files.done.unlink()
    assert train_pack([(wild, files)], tiny_images(), Session())
    assert status(files).state == "diverged" and points(files) == before


PLATEAU = {
    "recipe__schedule": "plateau", "recipe__schedule__patience": 1,
    "recipe__schedule__improvement": 0.5, "recipe__evaluate_every": 3, "recipe__log_every": 1,
}  # fmt: skip


def test_a_plateau_lowers_the_rate_of_the_next_step_and_of_those_after(tmp_path):
    spec = make_spec(**SHORT | PLATEAU)
    files = open_run(tmp_path, spec)
    train_pack([(spec, files)], tiny_images(train=200), Session())  # one window for all steps
    lr = {row["iteration"]: row["lr"] for row in read_rows(files.curves) if row["split"] == "train"}
    first = spec.recipe.learning_rate
    assert [lr[i] for i in range(1, 13)] == pytest.approx([first] * 6 + [first / 10] * 3 + [first / 100] * 3)


def test_a_warm_up_that_never_ended_is_in_the_result(tmp_path):
    spec = make_spec(**SHORT, recipe__warmup="error", recipe__warmup__below=0.001)
    files = open_run(tmp_path, spec)
    train_pack([(spec, files)], tiny_images(), Session())
    assert "never ended" in status(files).message


def test_other_data_than_a_run_began_with_are_refused(tmp_path):
    spec = make_spec(**SHORT)
    files = open_run(tmp_path, spec)
    train_pack([(spec, files)], tiny_images(), Session(stopped=lambda: True))
    with pytest.raises(StudyError, match=r"images of digits have changed .*--mode force"):
        train_pack([(spec, files)], tiny_images(train=41), Session())


def test_a_run_goes_on_with_the_threads_it_began_with(tmp_path):
    spec = make_spec(**SHORT)
    files = open_run(tmp_path, spec)
    train_pack([(spec, files)], tiny_images(), Session(stopped=lambda: True))
    torch.set_num_threads(2)
    train_pack([(spec, files)], tiny_images(), Session())
    assert torch.get_num_threads() == 1


def test_precisions_agree_within_their_tolerance(tmp_path):
    losses = {}
    for p in ("fp32", "bf16"):
        spec = make_spec(**SHORT, precision=p)
        lane = Lane(spec, open_run(tmp_path, spec), Images(tiny_images(), CPU))
        for _ in range(6):
            step(lane)
        losses[p] = float(lane.program.loss) / 6
        assert all(parameter.dtype == torch.float32 for parameter in lane.program.parameters)
        assert lane.program.network.stem[1].running_mean.dtype == torch.float32
    assert losses["bf16"] != losses["fp32"] == pytest.approx(losses["bf16"], rel=0.15, abs=0)


def test_a_pack_of_several_precisions_is_refused(tmp_path):
    pack = [(s, open_run(tmp_path, s)) for s in (make_spec(**SHORT), make_spec(**SHORT, precision="bf16"))]
    with pytest.raises(ValueError, match="several precisions"):
        train_pack(pack, tiny_images(), Session())


@pytest.mark.cuda
def test_a_gpu_sees_the_same_samples_and_nearly_the_same_losses(tmp_path):
    losses = []
    for device in (CPU, torch.device("cuda")):
        spec = make_spec(**SHORT, recipe__learning_rate=0.01)
        lane = Lane(spec, open_run(tmp_path, spec), Images(tiny_images(), device))
        lane.prepare()
        images, _ = lane.images.batch(lane.program.draws(), spec.recipe.pad)
        for _ in range(10):
            step(lane)
        losses.append((images.cpu(), float(lane.program.loss)))
    assert torch.equal(losses[0][0], losses[1][0])
    assert losses[1][1] == pytest.approx(losses[0][1], rel=1e-3)


@pytest.mark.parametrize("damage", ["deleted", "another's"])
def test_the_curve_outlives_its_file(tmp_path, whole, damage):
    spec = make_spec(**SHORT)
    files = open_run(tmp_path / "parts", spec)
    steps = [0]
    train_pack(
        [(spec, files)],
        tiny_images(),
        Session(stopped=lambda: steps[0] >= 11, report=lambda p: steps.__setitem__(0, p.iteration)),
    )
    rows = read_rows(files.curves)
    files.curves.unlink()
    if damage != "deleted":
        CURVES.write(files.curves, [row | {"run_id": "x"} for row in rows])
    assert train_pack([(spec, files)], tiny_images(), Session())
    assert points(files) == whole

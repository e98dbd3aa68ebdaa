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
from tests.helpers import make_spec, open_run, points, read_rows, slow, stopping, tiny_images
from tests.networks.test_cures import CURES

CPU = torch.device("cpu")
SHORT = {"recipe__iterations": 12, "recipe__batch_size": 16, "recipe__evaluate_every": 5, "recipe__log_every": 4}


def curve(results, **fields):
    """The curve of a run trained alone, without a stop."""
    [files] = train(results, make_spec(**SHORT | fields))
    return points(files)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The curve of the usual run."""
    torch.set_num_threads(1)  # this comes before `_one_thread`
    return curve(tmp_path_factory.mktemp("whole"))


def train(results, *specs, data=None, **options):
    """Train runs as a pack; return their files."""
    pack = [(spec, open_run(results, spec)) for spec in specs]
    train_pack(pack, data or tiny_images(), Session(**options))
    return [files for _, files in pack]


def test_curve_has_its_points_and_the_last_is_what_the_checkpoint_scores(tmp_path):
    spec = make_spec(**SHORT)
    [files] = train(tmp_path, spec)
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
    train(tmp_path / "parts", spec, **stopping(stop_at))
    [files] = train(tmp_path / "parts", spec)
    assert status(files).state == "done" and points(files) == whole


def test_an_evaluation_that_is_cut_short_is_taken_again(tmp_path, whole):
    spec = make_spec(**SHORT)
    asked: list[int] = []

    def stopped():
        """True in the first evaluation, between its training images and its test images."""
        asked.append(1)
        return len(asked) > 6  # once before each of 5 steps, and once before the training images

    [files] = train(tmp_path, spec, stopped=stopped)
    assert status(files).iteration == 5
    assert not any(row["split"] == "test" for row in read_rows(files.curves))
    train(tmp_path, spec)
    assert points(files) == whole


def test_diverged_lane_is_recorded_and_does_not_affect_others(tmp_path, whole):
    wild, calm = make_spec(**SHORT, network="plain", recipe__learning_rate=1e30), make_spec(**SHORT)
    files, other = train(tmp_path, wild, calm)
    assert points(other) == whole
    last, before = read_rows(files.curves)[-1], points(files)
    assert status(files).state == "diverged" and math.isnan(last["loss"])
    assert last["split"] == "train" and last["iteration"] == 4
    files.done.unlink()  # as if the process had ended before the seal
    train(tmp_path, wild)
    assert status(files).state == "diverged" and points(files) == before


def test_a_run_at_chance_is_stopped_and_goes_on_when_told(tmp_path):
    spec = make_spec(**SHORT, recipe__learning_rate=1e-30)
    whole = curve(tmp_path / "whole", recipe__learning_rate=1e-30)
    for _ in range(2):
        [files] = train(tmp_path, spec, stop_at_chance=0.5)
        now, last = status(files), read_rows(files.curves)[-1]
        assert now.state == "at_chance" and (last["iteration"], last["split"]) == (8, "train")  # 4 is before half
        files.done.unlink()  # as if the process had ended before the seal
    train(tmp_path, spec)
    assert status(files).state == "done" and points(files) == whole


def test_a_run_that_learns_is_not_at_chance(tmp_path):
    [files] = train(tmp_path, make_spec(**SHORT | {"recipe__iterations": 60}), stop_at_chance=0.5)
    assert status(files).state == "done"


PLATEAU = {
    "recipe__schedule": "plateau", "recipe__schedule__patience": 1,
    "recipe__schedule__improvement": 0.5, "recipe__evaluate_every": 3, "recipe__log_every": 1,
}  # fmt: skip


def test_plateau_lowers_the_rate_from_the_next_step_on(tmp_path):
    spec = make_spec(**SHORT | PLATEAU)
    [files] = train(tmp_path, spec, data=tiny_images(train=200))  # one window for all steps
    lr = {row["iteration"]: row["lr"] for row in read_rows(files.curves) if row["split"] == "train"}
    first = spec.recipe.learning_rate
    assert [lr[i] for i in range(1, 13)] == pytest.approx([first] * 6 + [first / 10] * 3 + [first / 100] * 3)


def test_endless_warm_up_is_reported(tmp_path):
    [files] = train(tmp_path, make_spec(**SHORT, recipe__warmup="error", recipe__warmup__below=0.001))
    assert "never ended" in status(files).message


def test_resume_refuses_other_images_and_keeps_the_number_of_threads(tmp_path):
    spec = make_spec(**SHORT)
    train(tmp_path, spec, stopped=lambda: True)
    with pytest.raises(StudyError, match=r"images of digits have changed .*--mode force"):
        train(tmp_path, spec, data=tiny_images(train=41))
    torch.set_num_threads(2)
    train(tmp_path, spec)
    assert torch.get_num_threads() == 1


def test_a_pack_of_several_precisions_is_refused(tmp_path):
    with pytest.raises(ValueError, match="several precisions"):
        train(tmp_path, make_spec(**SHORT), make_spec(**SHORT, precision="bf16"))


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
    [files] = train(tmp_path, spec, **stopping(11))
    CURVES.write(files.curves, [row | {"run_id": "x"} for row in read_rows(files.curves)])
    train(tmp_path, spec)
    assert points(files) == whole

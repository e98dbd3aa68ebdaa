"""Recorded steps train as the eager reference does; when bf16 loses on a CPU, the user is told."""

import math
from collections import Counter

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from study.networks.network import build
from study.training import pack
from study.training.engine import Cuda, Eager, Graphs
from study.training.feeds.images import Images
from study.training.lane import Lane
from study.training.precision import backends, bf16_gain, slow_bf16
from study.training.program import Program
from tests.helpers import make_spec, points, read_rows, tiny_images, train_runs

CPU = torch.device("cpu")
SHORT = {
    "block": "single", "depth": 5,
    "recipe__iterations": 23, "recipe__batch_size": 16, "recipe__evaluate_every": 9, "recipe__log_every": 6,
}  # fmt: skip
DATA = tiny_images(train=520, test=20)  # one whole batch of an evaluation, and a rest


class Player:
    """A recorder without a GPU: what it records is the work itself."""

    def __init__(self):
        self.recorded = 0
        self.sides = Counter()

    def side_by_side(self, programs, work):
        self.sides[len(programs)] += 1
        for program in programs:
            work(program)

    def record(self, work):
        self.recorded += 1
        return work


@pytest.fixture
def players(monkeypatch):
    """Has packs run by `Graphs`; the recorders of the engines that were made."""
    made = []

    def make(programs, tuning):
        made.append(Player())
        return Graphs(programs, tuning.steps_per_graph, made[-1])

    monkeypatch.setattr(pack, "engine", make)
    return made


def eager(results, monkeypatch, **fields):
    """The curve of a run that is trained alone by the reference."""
    with monkeypatch.context() as patch:
        patch.setattr(pack, "engine", lambda programs, tuning: Eager(programs))
        [files] = train_runs(results, make_spec(**SHORT | fields), images=DATA)
        return points(files)


def test_recorded_pack_equals_eager_runs_alone(tmp_path, monkeypatch, players):
    variants = [
        {"recipe__schedule__at": [5, 11]},
        {"network": "plain", "depth": 14, "recipe__iterations": 17, "recipe__log_every": 4},
        {"seed": 3, "recipe__warmup": "error", "recipe__warmup__below": 99.0},
        {"network": "plain", "recipe__learning_rate": 1e30},
        {
            "recipe__optimizer": "adamw",
            "recipe__schedule": "one_cycle",
            "recipe__clip_norm": 1.0,
            "recipe__decay": "weights",
        },
        {
            "recipe__optimizer": "lars",
            "recipe__label_smoothing": 0.1,
            "recipe__mixup": 0.4,
            "recipe__cutmix": 1.0,
            "recipe__ema": 0.9,
        },
        {"seed": 1, "recipe__bn_groups": 2, "precision": "fp32", "shortcut": "dropout"},
    ]
    alone = [eager(tmp_path / "alone", monkeypatch, **v) for v in variants]
    specs = [make_spec(**SHORT | v) for v in variants]
    runs = train_runs(tmp_path / "pack", *specs, images=DATA)
    assert [points(files) for files in runs] == alone
    assert math.isnan(read_rows(runs[3].curves)[-1]["loss"])
    # One engine for all lanes; then one without the diverged lane, and one without the shortest.
    assert [max(player.sides) for player in players] == [7, 6, 5]
    # Four steps, one step; training and test images, of all lanes or some.
    assert all(player.recorded <= 5 for player in players)


def test_stopped_evaluation_returns_false(tmp_path):
    spec = make_spec(**SHORT)
    program = Program(spec, Images(DATA, CPU))
    for each in (Eager([program]), Graphs([program], 4, Player())):
        assert not each.evaluate([program], "train", lambda: True)
        assert each.evaluate([program], "train", lambda: False)


def reference(spec, steps, device=CPU):
    """Losses of a plain training loop on the same samples: torch's optimiser, and autocast for bf16."""
    lane, recipe = Lane(spec, None, Images(DATA, device)), spec.recipe  # for its samples alone
    network = build(spec, 1, 10).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        network.parameters(), recipe.learning_rate, 0.9, weight_decay=1e-4, nesterov=recipe.optimizer.nesterov
    )
    losses = []
    for step in range(steps):
        lane.prepare()
        images, labels = lane.images.batch(lane.program.draws(), recipe.pad)
        lane.program._position += 1
        lane.iteration += 1
        with torch.autocast(device.type, torch.bfloat16, enabled=spec.precision == "bf16"):
            logits = network(images)
        loss = F.cross_entropy(logits.float(), labels)
        optimizer.param_groups[0]["lr"] = recipe.learning_rate * (1 if step < 10 else 0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def stepwise(spec, steps, device=CPU, graphs=False):
    """Losses of a program's steps."""
    lane = Lane(spec, None, Images(DATA, device))  # writes nothing
    each = Graphs([lane.program], 1, Cuda([lane.program])) if graphs else Eager([lane.program])
    losses = []
    for _ in range(steps):
        lane.prepare()
        lane.program.loss.zero_()
        each.steps(1)
        lane.iteration += 1
        losses.append(float(lane.program.loss))
    assert all(parameter.dtype == torch.float32 for parameter in lane.program.parameters)
    return losses


@pytest.mark.parametrize(
    "network, precision, nesterov, rest", [("plain", "fp32", True, 1e-3), ("residual", "bf16", False, 2e-2)]
)
def test_steps_equal_a_plain_training_loop(network, precision, nesterov, rest):
    recipe = {"recipe__learning_rate": 0.02, "recipe__optimizer__nesterov": nesterov, "recipe__schedule__at": [10]}
    spec = make_spec(**SHORT, network=network, precision=precision, **recipe)
    ours, theirs = stepwise(spec, 25), reference(spec, 25)
    assert ours[:3] == pytest.approx(theirs[:3], rel=1e-6)
    assert ours == pytest.approx(theirs, rel=rest)
    assert ours[-1] < ours[0]


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("no room"), RuntimeError("CUDA error: out of memory")], ids=str
)
def test_pack_without_memory_is_halved(tmp_path, monkeypatch, error):
    alone = [eager(tmp_path / "alone", monkeypatch, seed=seed) for seed in range(3)]
    sizes = []

    def scarce(programs, tuning):
        sizes.append(len(programs))
        if len(programs) > 1:
            raise error
        return Eager(programs)

    monkeypatch.setattr(pack, "engine", scarce)
    runs = train_runs(tmp_path / "pack", *(make_spec(**SHORT, seed=seed) for seed in range(3)), images=DATA)
    assert [points(files) for files in runs] == alone and sizes == [3, 1, 2, 1, 1]


@pytest.mark.cuda
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_graphs_train_as_eager_steps_do_on_a_gpu(precision):
    spec = make_spec(**SHORT, precision=precision, recipe__learning_rate=0.02)
    cuda = torch.device("cuda")
    with backends({precision}, cuda, deterministic=True):
        assert stepwise(spec, 50, cuda, graphs=True) == stepwise(spec, 50, cuda)


@pytest.mark.cuda
def test_pack_in_graphs_equals_lanes_alone(tmp_path):
    cuda = torch.device("cuda")
    specs = [make_spec(**SHORT, network=n, depth=d) for n, d in (("plain", 8), ("residual", 14), ("residual", 8))]
    alone = [train_runs(tmp_path / "alone", spec, images=DATA, device=cuda)[0] for spec in specs]
    pack = train_runs(tmp_path / "pack", *specs, images=DATA, device=cuda)
    assert [points(files) for files in pack] == [points(files) for files in alone]


def test_warning_if_bf16_is_slower(monkeypatch):
    assert 0.005 < bf16_gain(0.2) < 200  # of single tries: 21 was seen on a busy machine
    monkeypatch.setattr("study.training.precision.bf16_gain", lambda: 0.5)
    assert "precision=fp32 would be faster" in (slow_bf16() or "")
    monkeypatch.setattr("study.training.precision.bf16_gain", lambda: 2.0)
    assert slow_bf16() is None

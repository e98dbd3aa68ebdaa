"""One run on one process and on several: the same samples, the same curves up to the order of sums."""

import multiprocessing
import socket
from pathlib import Path

import pytest
import torch

from study import data
from study.config.use import use
from study.store.runs import status
from study.training import checkpoint
from study.training.pack import train_pack
from study.training.ranks import Ranks
from study.training.session import Session, Tuning
from tests.helpers import (
    OWN_PARTS,
    PATIENCE,
    make_folder,
    make_spec,
    open_run,
    points,
    read_rows,
    stopping,
    tiny_images,
    train_runs,
)

FIELDS = {
    "recipe__iterations": 8, "recipe__batch_size": 16, "recipe__evaluate_every": 4, "recipe__log_every": 3,
    "recipe__bn_groups": 2, "recipe__learning_rate": 0.01, "snapshot_every": 3,
    "shortcut": "dropout",  # its masks follow the images, wherever they are worked on
}  # fmt: skip
STREAM = FIELDS | {
    "data": "image_stream", "data.folder": "toy", "data.image_size": 16, "recipe__pad": 0, "recipe__scales": [20, 28],
    "recipe__colour": "pca",
}  # fmt: skip
CPU = torch.device("cpu")
RANKS = multiprocessing.get_context("forkserver")
"""Forks from a process that has only imported torch, so that ranks need not import it."""
RANKS.set_forkserver_preload(["pytest", "study.data", "study.training.pack"])


def _rank(rank, size, port, results, stop_at, fields, code):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=size)
    if code:
        use(code)
    spec = make_spec(**fields)
    chosen = spec.data
    images = (
        tiny_images() if chosen.name == "digits" else data.load(chosen.name, Path(results).parent, **chosen.options)
    )
    options = stopping(stop_at)
    stopped = options.pop("stopped")
    session = Session(
        ranks=Ranks(rank, size),
        tuning=Tuning(decoders=rank),  # as different as can be
        stopped=lambda: rank == size - 1 and stopped(),  # asked of one, obeyed by all
        **options,
    )
    train_pack([(spec, open_run(Path(results), spec))], images, session)
    torch.distributed.destroy_process_group()


def train(results, size, stop_at=100, fields=FIELDS, code=""):
    """Train the run with so many ranks, and a file of the user's own; it is stopped at a step, if told so."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ranks = [
        RANKS.Process(target=_rank, args=(r, size, port, str(results), stop_at, fields, code)) for r in range(size)
    ]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(PATIENCE)
        assert process.exitcode == 0


def curve(results, fields=FIELDS):
    """Loss and error at each point of the curve."""
    rows = read_rows(open_run(results, make_spec(**fields)).curves)
    return {(row["split"], row["iteration"]): (row["loss"], row["error"]) for row in rows}


def assert_close(results, fields=FIELDS, error=5.1):
    """The runs of one process and of two have the same curve; `error` percent is an image or two on the edge."""
    one, two = (curve(results / name, fields) for name in ("one", "two"))
    assert one.keys() == two.keys() and len(one) >= 7
    for point, (loss, wrong) in one.items():
        assert two[point] == (pytest.approx(loss, rel=1e-3), pytest.approx(wrong, abs=error))


def test_two_ranks_train_as_one_and_one_resumes_their_run(tmp_path):
    train(tmp_path / "one", 1)
    train(tmp_path / "two", 2, stop_at=5)
    files = open_run(tmp_path / "two", make_spec(**FIELDS))
    assert [path.name.split("-")[1] for path in files.checkpoints()] == ["00000005"]
    train(tmp_path / "two", 1)
    assert status(files).state == "done"
    assert_close(tmp_path)
    ways = [list(checkpoint.load_snapshots(open_run(tmp_path / n, make_spec(**FIELDS)), CPU)) for n in ("one", "two")]
    # Written by the first rank alone: the other's statistics differ, and would make another file.
    assert [[state["iteration"] for state in way] for way in ways] == [[0, 3, 6, 8]] * 2
    for ours, theirs in zip(*ways, strict=True):
        for name, tensor in ours["network"].items():
            torch.testing.assert_close(theirs["network"][name], tensor, atol=1e-3, rtol=1e-2)


@pytest.mark.slow
def test_two_ranks_train_on_streamed_images_as_one(tmp_path):
    make_folder(tmp_path / "toy", train=24, test=12)
    train(tmp_path / "one", 1, fields=STREAM)
    train(tmp_path / "two", 2, fields=STREAM, stop_at=5)
    train(tmp_path / "two", 2, fields=STREAM)
    assert_close(tmp_path, STREAM, error=8.4)


def test_bn_groups_change_the_result(tmp_path):
    runs = [train_runs(tmp_path, make_spec(**FIELDS | {"recipe__bn_groups": groups}))[0] for groups in (1, 2)]
    assert len({read_rows(files.curves)[-1]["loss"] for files in runs}) == 2


def test_ranks_share_all_parts_of_a_batch():
    for size in (1, 2, 4):
        shares = [part for rank in range(size) for part in Ranks(rank, size).share(4)]
        assert shares == [0, 1, 2, 3]


# -- components of the user's own: in packs as alone, and to the bit when resumed --------------------------------------

CODE = (
    '''
import numpy as np
import torch
from torch import nn
import study


@study.block
class Ghost(study.BasicBlock):
    ratio: float = 0.5

    def __init__(self, *given):
        super().__init__(*given)
        self.drop = nn.Dropout(0.2)

    def branch(self, x):
        return self.drop(self.ratio * super().branch(x))


@study.schedule
def halves(iteration, iterations, *, every: int = 5):
    return 0.5 ** (iteration // every)


class Layer(nn.Module):
    def __init__(self, width, residual, shared):
        super().__init__()
        self.residual, self.shared, self.bn, self.drop = residual, shared, nn.BatchNorm1d(width), nn.Dropout(0.1)
        self.first = nn.Linear(width, width)

    def forward(self, x):
        y = self.drop(self.bn(self.shared(self.first(x)).relu()))
        return x + y if self.residual else y


@study.family
class Tied(nn.Module):
    """Shared, frozen, unused and uncounted tensors, dropout, and BN of vectors."""

    width: int = 12

    def __init__(self, depth, residual, channels, classes, size):
        super().__init__()
        shared = nn.Linear(self.width, self.width)
        self.stem, self.head = nn.Linear(channels * size**2, self.width), nn.Linear(self.width, classes)
        self.layers = nn.Sequential(*[Layer(self.width, residual, shared) for _ in range(depth - 2)])
        self.place = nn.Parameter(torch.linspace(-1, 1, self.width), requires_grad=False)
        self.unused = nn.Parameter(torch.ones(3))
        self.register_buffer("one", torch.ones(1), persistent=False)

    def forward(self, x):
        return self.head(self.layers(self.stem(x.view(len(x), -1)) + self.place) * self.one)


@study.data
def noise(root, *, seed: int = 7) -> study.Arrays:
    random = np.random.RandomState(seed)
    labels = np.arange(60) % 4
    images = (random.standard_normal((60, 1, 8, 8)) + labels[:, None, None, None]).astype(np.float32)
    return study.Arrays(train=(images[:40], labels[:40]), test=(images[40:], labels[40:]))
'''
    + OWN_PARTS
)
SHORT = {
    "data": {"name": "noise", "seed": 3},
    "recipe__iterations": 8, "recipe__batch_size": 16, "recipe__evaluate_every": 4, "recipe__log_every": 3,
    "recipe__bn_groups": 2, "recipe__learning_rate": 0.003, "recipe__flip": False, "snapshot_every": 3,
}  # fmt: skip
OWN = [
    {"network": "plain", "family": {"name": "tied", "width": 8}, "depth": 4},
    {"network": "residual", "family": {"name": "tied", "width": 8}, "depth": 4, "recipe__ema": 0.9},
    {"network": "residual", "family": "tied", "depth": 3, "precision": "bf16"},
    {"block": {"name": "ghost", "ratio": 0.7}, "norm": "instance", "activation": "soft"},
    {"block": "ghost", "recipe__optimizer": {"name": "sign_sgd", "beta": 0.8},
     "recipe__schedule": {"name": "halves", "every": 3}},
]  # fmt: skip


@pytest.fixture
def code(tmp_path):
    (tmp_path / "mine.py").write_text(CODE)
    use("mine.py", tmp_path)
    return str(tmp_path / "mine.py")


def pack(results, specs, **options):
    return train_runs(results, *specs, images=data.load("noise", results, seed=3), **options)


def test_a_pack_of_the_users_own_trains_and_resumes_as_each_run_alone(tmp_path, code):
    specs = [make_spec(**SHORT | fields, seed=seed) for fields in OWN for seed in (0, 1)]
    alone = [points(pack(tmp_path / "alone", [spec])[0]) for spec in specs]
    assert len({str(curve) for curve in alone}) == len(specs)
    low = [spec.precision == "bf16" for spec in specs]
    for precision in (True, False):  # a pack has one
        mine, expected = (
            [item for item, own in zip(items, low, strict=True) if own == precision] for items in (specs, alone)
        )
        assert [points(files) for files in pack(tmp_path / "whole", mine)] == expected
        pack(tmp_path / "parts", mine, **stopping(5))
        resumed = pack(tmp_path / "parts", mine)
        assert {status(files).state for files in resumed} == {"done"} and [points(f) for f in resumed] == expected


@pytest.mark.slow
@pytest.mark.parametrize("fields", OWN, ids=str)
def test_two_ranks_train_the_users_own_as_one(tmp_path, code, fields):
    train(tmp_path / "one", 1, fields=SHORT | fields, code=code)
    train(tmp_path / "two", 2, fields=SHORT | fields, code=code, stop_at=5)
    train(tmp_path / "two", 2, fields=SHORT | fields, code=code)
    assert_close(tmp_path, SHORT | fields)

"""Components of the user's own in packs and on several ranks: the same numbers as alone, and to the bit when resumed."""

import pytest

from study import data
from study.config.use import use
from study.store.runs import status
from tests.helpers import OWN_PARTS, make_spec, points, stopping, train_runs
from tests.training.test_ranks import assert_close, train

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

"""Components of the user's own of the kinds that docs/your-own.md only lists, each in a sweep."""

from pathlib import Path

import pandas as pd
import pytest

import study
from tests.helpers import OWN_PARTS
from tests.launch import command

CODE = (
    '''
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import nn
import study


@study.shortcut
class Half(study.Shortcut):
    """Half of option A."""

    share: float = 0.5

    def __init__(self, in_maps, out_maps, stride):
        super().__init__()
        self.same = in_maps == out_maps and stride == 1
        self.out_maps, self.stride = out_maps, stride

    def forward(self, x):
        if not self.same:
            x = x[:, :, :: self.stride, :: self.stride]
            x = nn.functional.pad(x, (0, 0, 0, 0, 0, self.out_maps - x.shape[1]))
        return self.share * x


@study.order
def late(layers):
    return study.Steps("CBR" * (layers - 1) + "C", "BR")


@study.initialisation
def tiny(weight, random, *, scale: float = 0.05):
    return scale * random.standard_normal(weight.shape)


@study.probe
def largest(subject):
    """The largest weight."""
    for place, (name, value) in enumerate(subject.network.named_parameters(), 1):
        yield study.Value("largest", name, place, float(value.detach().abs().max()))


@study.figure(needs="probes")
def weights(frame, runs=None, *, top: int = 3):
    figure = Figure()
    figure.subplots().plot(frame["value"][:top])
    return study.Plot(figure, frame[["value"]][:top], "Largest weights.")


@study.table
def seeds(frame, runs=None):
    return pd.DataFrame({"seeds": [frame["seed"].nunique()]})
'''
    + OWN_PARTS
)
SWEEP = """
name: mine
use: [mine.py]
fixed: {data: digits, train_subset: 200, depth: 8, seed: 0, recipe: quick, recipe.iterations: 12, recipe.evaluate_every: 12,
  recipe.optimizer: {name: sign_sgd, beta: 0.8}, recipe.learning_rate: 0.001, recipe.log_every: 4,
  probes: [largest], probe_images: 64}
blocks:
  - grid: {network: [plain, residual], norm: [batch, instance], activation: [relu, soft]}
  - fixed: {network: residual, shortcut: {name: half, share: 0.25}}
    grid: {order: [original, late]}
  - {fixed: {initialisation: tiny}, grid: {network: [plain]}}
figures: [weights]
"""


@pytest.fixture
def call(tmp_path):
    (tmp_path / "mine.py").write_text(CODE)
    (tmp_path / "mine.yaml").write_text(SWEEP)
    return lambda *words: command.inside(tmp_path, *words)


def test_every_kind_of_component_is_trained_measured_and_drawn(tmp_path: Path, call) -> None:
    code, _, err = call("sweep", "mine.yaml")
    assert code == 0, err
    runs = study.read_runs(tmp_path / "results" / "mine")
    assert len(runs) == 11 and set(runs["state"]) == {"done"}
    assert set(runs["recipe.own"]) == {"optimizer.beta: 0.8"} and "shortcut.share: 0.25" in set(runs["own"])
    probes = study.read_probes(tmp_path / "results" / "mine")
    assert set(probes["probe"]) == {"largest"} and probes["run_id"].nunique() == 11
    assert (tmp_path / "figures" / "mine" / "weights.png").exists()
    assert call("figure", "weights", "mine", "top=2", "--formats", "png", "--use", "mine.py")[0] == 0
    assert len(pd.read_csv(tmp_path / "figures" / "mine" / "weights.csv")) == 2
    assert call("table", "seeds", "mine", "--use", "mine.py")[1].split() == ["seeds", "1"]
    assert call("describe", "network=residual", "depth=8", "shortcut=half", "--use", "mine.py")[0] == 0


def test_a_figure_without_a_frame_is_no_decorator() -> None:
    with pytest.raises(study.StudyError, match="degradation: give the frame"):
        study.figure("degradation")

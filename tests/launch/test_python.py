"""A sweep, its networks and its predictions from Python."""

import pytest
import torch

import study
from study.config.use import use
from study.data import default_root, load
from study.errors import StudyError
from study.training.feeds.images import Images
from tests.launch.command import TINY, output

MINE = """
import numpy as np
from torch import nn
import study

@study.data
def stripes(root):
    images = LEVEL * np.random.RandomState(0).standard_normal((60, 1, 8, 8)).astype(np.float32)
    return study.Arrays(train=(images[:40], np.arange(40) % 2), test=(images[40:], np.arange(20) % 2))

@study.family
def linear(depth, residual, channels, classes, size):
    made = nn.Sequential(nn.Flatten(), *[nn.Linear(64, 64)] * residual, nn.Linear(64, classes))
    made.level = LEVEL
    return made
"""


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("python")
    (folder / "tiny.yaml").write_text(TINY)
    given = {"results": folder / "results", "figures": folder / "figures", "executor": "debug"}
    return folder, given, study.sweep(folder / "tiny.yaml", seed=[0, 1], **{"recipe.iterations": 40}, **given)


def test_a_sweep_is_trained_and_looked_at(mine, capsys):
    folder, given, found = mine
    assert len(found.runs) == 4 and set(found.runs["state"]) == {"done"} and found.curves["iteration"].max() == 40
    assert "digits" in str(found.verdict())
    again = study.sweep(str(folder / "tiny.yaml"), seed=[0, 1], **{"recipe.iterations": 40}, **given)
    assert again.folder == found.folder and "nothing is left to train" in capsys.readouterr().out


def test_predictions_are_those_of_the_final_evaluation(mine):
    found = mine[2]
    which = {"network": "residual", "seed": 1}
    frame = study.predictions(found.folder, **which)
    curves = found.curves
    last = curves[(curves["network"] == "residual") & (curves["seed"] == 1) & (curves["iteration"] == 40)]
    ended = last.set_index("split").loc["test"]
    assert list(frame) == ["index", "label", "prediction", "loss"] and len(frame) == 360
    assert 100 * (frame["label"] != frame["prediction"]).mean() == pytest.approx(ended["error"])
    assert frame["loss"].mean() == pytest.approx(ended["loss"], rel=1e-5)
    network = study.load_network(found.folder, **which)
    digits = load("digits", default_root(), train_subset=400)
    images, _ = Images(digits, torch.device("cpu")).at("test", torch.arange(360))
    assert not network.training and network(images).argmax(1).tolist() == frame["prediction"].tolist()
    folded = study.load_network(found.folder, fold=True, **which)
    expected = network(images).detach()
    torch.testing.assert_close(folded(images).detach(), expected, rtol=0, atol=1e-5 * float(expected.max()))
    assert not any("bn" in name for name, _ in folded.named_parameters())
    assert len(study.predictions(found.folder, split="train", **which)) == 400


def test_code_that_is_edited_between_two_calls_makes_new_runs(tmp_path):
    sweep = TINY.replace("data: digits, train_subset: 400", "data: stripes, family: linear") + "use: [mine.py]\n"
    (tmp_path / "tiny.yaml").write_text(sweep.replace("seed: [0]", "seed: [0, 1]"))
    given = {"results": tmp_path / "results", "figures": tmp_path / "figures", "executor": "debug"}
    for level in (1, 5):
        (tmp_path / "mine.py").write_text(MINE.replace("LEVEL", str(level)))
        planned = output(tmp_path, "sweep", "tiny.yaml", "--dry-run")
        assert ("its code changed" in planned) == (level == 5)
        found = study.sweep(tmp_path / "tiny.yaml", **given)
        new = found.runs[found.runs["own_code"].str.contains(use("mine.py", tmp_path).digest)]
        assert len(new) == 4 and len(found.runs) == 4 * (1 if level == 1 else 2)
        net = study.load_network(found.folder, network="plain", seed=0, own_code=new["own_code"].iloc[0])
        assert net.level == level
    assert found.curves.groupby("run_id")["loss"].last().nunique() == 8


@pytest.mark.parametrize("fields, message", [
    ({"network": "plain"}, "2 of its 4 runs have network=plain; they differ in seed"),
    ({"network": "plain", "seed": 7}, "no run has network=plain, seed=7; they differ in network, .*seed"),
    ({"layers": 8}, "unknown field 'layers'; did you mean 'depth'"), ({"split": "val", "seed": 0}, "must be train or test"),
])  # fmt: skip
def test_mistakes_name_what_would_tell_a_run_from_others(mine, fields, message):
    with pytest.raises(StudyError, match=message):
        study.predictions(mine[2].folder, **fields)


def test_a_mistake_in_a_field_starts_nothing(mine, tmp_path):
    with pytest.raises(StudyError, match="depth: 9 is not 6n"):
        study.sweep(mine[0] / "tiny.yaml", depth=9, results=tmp_path)
    assert not list(tmp_path.iterdir())

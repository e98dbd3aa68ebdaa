"""Networks trained elsewhere: the example of docs/your-own.md, mistakes, and which commands import their code."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

import study
from study.data import load
from tests.launch import command
from tests.launch.test_your_own import FILES, PAGE, inside

COMMANDS = re.findall(r"^study (.*my_net.*|.*theirs.*)$", PAGE, re.MULTILINE)
MEASURE = COMMANDS[0].split()
QUICK = ["--points", "3", "--subset", "50", "--data", "train"]


@pytest.fixture
def here(tmp_path):
    """A folder with the page's network and its weights, as DataParallel's trainers save them."""
    (tmp_path / "my_net.py").write_text(FILES["my_net.py"])
    torch.manual_seed(0)
    network = runpy.run_path(str(tmp_path / "my_net.py"))["small"]()
    state = {f"module.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3, "accuracy": 0.5}, tmp_path / "small.pt")
    return tmp_path


def test_the_pages_example_gives_a_surface_like_any_other(here):
    assert [words.split()[0] for words in COMMANDS] == ["surface", "probe", "figure", "report"]
    for words in COMMANDS:
        done = inside(*words.split(), *(QUICK if words == COMMANDS[0] else []))
        assert done.code == 0, done.err
    frame, probes = study.read_surfaces("results/theirs"), study.read_probes("results/theirs")
    assert len(frame) == 9 and set(frame["family"]) == {"small"} and set(frame["recipe"]) == {"trained elsewhere"}
    assert set(frame["network"]) == {"plain"} and set(frame["depth"]) == {2}
    assert frame["recipe.learning_rate"].isna().all()
    assert set(probes["probe"]) == {"gradients", "weights", "confusion", "batch_norm"}
    assert not {"distance", "loss_folded"} & set(probes["measure"])
    assert Path("figures/theirs/contours.png").exists() and Path("figures/theirs/report.html").exists()
    assert "only their last errors are known" in inside("figure", "degradation", "theirs").err
    # Plain PyTorch finds the same errors.
    images, network = load("digits", here), runpy.run_path("my_net.py")["small"]().eval()
    state = torch.load("small.pt", weights_only=True)["state_dict"]
    network.load_state_dict({name.removeprefix("module."): value for name, value in state.items()})
    last = study.read_curves("results/theirs").set_index("split")
    assert len(last) == 2
    for split, name in (("train_clean", "train"), ("test", "test")):
        x, labels = (torch.from_numpy(np.array(getattr(images, f"{name}_{kind}"))) for kind in ("images", "labels"))
        with torch.no_grad():
            logits = network((x.permute(0, 3, 1, 2) / 255 - 0.3) / 0.4)
        assert last["loss"][split] == pytest.approx(float(F.cross_entropy(logits, labels)), rel=1e-5)
        assert last["error"][split] == pytest.approx(100 * float((logits.argmax(1) != labels).float().mean()))


def test_networks_stand_beside_each_other_and_are_looked_at_without_their_code(here):
    """Code is imported where the command names it, from then on not even for reports."""
    text = (
        FILES["my_net.py"]
        + "\n\nclass Again(nn.Sequential):\n    def __init__(self):\n        super().__init__(*small())\n"
    )
    (here / "my_net.py").write_text(text)
    assert inside(*MEASURE, *QUICK).code == 0
    done = inside(*[word.replace(":small", ":Again") for word in MEASURE], *QUICK)
    assert done.code == 0 and "Again: plain, 2 weighted layers" in done.out, done.err
    (copy,) = (here / "results" / "theirs" / "components").iterdir()
    for path in (copy, here / "my_net.py"):
        path.write_text("raise SystemExit('imported')")
    for words in (["figure", "contours", "theirs"], ["report", "theirs"], ["verdict", "theirs"], ["status", "theirs"]):
        done = inside(*words)
        assert done.code == 0 and "imported" not in done.out + done.err, done.err
    assert set(study.read_surfaces(here / "results" / "theirs")["family"]) == {"small", "Again"}
    assert inside("figure", "depth_error", "theirs", "--formats", "svg").code == 0
    shown = [inside(*words, "theirs").out for words in (["table", "errors"], ["status"], ["verdict"])]
    shown += [(here / f"figures/theirs/{name}.txt").read_text() for name in ("contours", "depth_error")]
    for said in shown:
        assert {"small", "Again"} <= set(re.findall(r"[\w-]+", said)) and not re.search(
            r"plain[- ](\d|small|Again)", said
        ), said
    for depth in ([], ["--depth", "20"]):
        refused = inside("embed", next(iter(study.read_runs("results/theirs")["run_id"])), *depth)
        assert refused.code == 2 and " was trained elsewhere; only what `study sweep` trained is" in refused.err
    done = inside("surface", "theirs", "--points", "3")
    assert done.code == 2 and f"add --use {copy.relative_to(here)}:" in done.err
    copy.write_text(text)
    both = [f"--use={copy}:small", f"--use={copy}:Again"]
    done = inside("surface", "theirs", "--line", "--points", "2", "--subset", "50", *both)
    assert done.code == 0 and "2 of 2 surfaces to measure" in done.out, done.err


@pytest.mark.slow
def test_workers_import_the_copy(here):
    (here / "layers.py").write_text(FILES["my_net.py"])
    (here / "my_net.py").write_text("from layers import small as made\n\n\ndef small():\n    return made()\n")
    code, out, err = command.study(here, *MEASURE, *QUICK, "--workers", "2")
    assert code == 0 and "1 of 1 surfaces" in out, err
    (here / "layers.py").unlink()
    (copy,) = (here / "results" / "theirs" / "components").glob("*.py")
    words = ("surface", "theirs", "--line", "--points", "3", "--use", f"{copy}:small")
    code, out, err = command.study(here, *words, "--workers", "2")
    assert code == 0 and "1 of 1 surfaces" in out, err


CODE = "from torch import nn\nnumber = 3\n\ndef small(): return "
STATE = {"0.weight": torch.zeros(10, 64), "0.bias": torch.zeros(10)}
LINEAR = "nn.Sequential(nn.Flatten(1), nn.Linear(64, 10))"


@pytest.mark.parametrize("change, message", [
    ({"--model": "none.py:small"}, r"none.py: No such file"),
    ({"--model": "my_net.py:smal"}, r"no function or class 'smal'; did you mean 'small'"),
    ({"--model": "my_net.py:number"}, r"no function or class 'number'"),
    ({"--model": "my_net.py"}, r"--model my_net.py: write it as FILE.py:NAME"),
    ({"code": CODE + "1 / 0\n"}, r"my_net.py:small with small.pt, .*: ZeroDivisionError: division by zero$"),
    ({"code": "import nothing_like_it\n"}, r"my_net.py:1: ModuleNotFoundError"),
    ({"code": CODE + "7\n"}, r"returns 7, not a torch.nn.Module"),
    ({"code": CODE.replace("()", "(width)") + "7\n"}, r"missing 1 required positional argument: 'width'"),
    ({"code": CODE + LINEAR}, r"not the state of small: 1.weight, 1.bias, "),
    ({"code": CODE + LINEAR, "state": {"1.weight": torch.zeros(7, 64), "1.bias": torch.zeros(7)}}, r"size mismatch for 1.weight"),
    ({"code": CODE + LINEAR.replace("10", "7"), "state": {"1.weight": torch.zeros(7, 64), "1.bias": torch.zeros(7)}},
     r"on images of 1 x 8 x 8, 10 classes \(digits\): gives \(2, 7\) for 2 images"),
    ({"code": CODE + LINEAR.replace("64", "9"), "state": {"1.weight": torch.zeros(10, 9), "1.bias": torch.zeros(10)}},
     r"on images of 1 x 8 x 8, .*: RuntimeError: mat1 and mat2"),
    ({"--weights": "none.pt"}, r"--weights none.pt: No such file"),
    ({"state": nn.Linear(2, 2)}, r"not tensors alone \(it has torch.nn.modules.linear.Linear\).*save the state by torch.save"),
    ({"state": {"epoch": 3}}, r"has no state dict, at its top or under state_dict"),
    ({"--data": "digts"}, r"--data: data: no data set 'digts'; did you mean 'digits'"),
    ({"--data": "name=image_folder,folder=none"}, r"none"), ({"--data": "{name: digits"}, r"--data .*: write it as in a sweep"),
    ({"--mean": "grey"}, r"--mean, --std: write a number"),
    ({"--std": "0"}, r"--mean, --std: recipe.normalise.*greater than 0"),
    ({"--std": "1,2"}, r"recipe.normalise: 2 numbers for images of 1 channels"),
    ({"--name": "../out"}, r"--name ../out: must be text of"),
    ({"--name": None}, r"a network trained elsewhere needs --name too"),
    ({"--model": None}, r"--data digits: must be train, test or both"),
    ({"extra": ["quickstart"]}, r"name a sweep or a run, or else a network by --model"),
    ({"extra": ["--dry-run"]}, r"--dry-run"),
    ({"extra": ["--range=5:1"]}, r"range"),
])  # fmt: skip
def test_a_mistake_gives_one_line_and_leaves_nothing(here, change, message):
    if "code" in change:
        (here / "my_net.py").write_text(change["code"])
    if "state" in change or "code" in change:
        torch.save(change.get("state", STATE), here / "small.pt")
    words = dict(zip(MEASURE[1::2], MEASURE[2::2], strict=True)) | {
        k: v for k, v in change.items() if k.startswith("--")
    }
    done = inside("surface", *(w for pair in words.items() if pair[1] for w in pair), *QUICK, *change.get("extra", []))
    assert done.code == 2 and re.search(message, done.err), done.err
    assert len(done.err.strip().splitlines()) == 1 and not (here / "results").exists()

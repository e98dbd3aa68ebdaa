"""docs/your-own.md as it stands: each file written, each sweep trained, measured, drawn; and the kinds that it only lists."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest

import study
from tests.helpers import OWN_PARTS, python
from tests.launch import command

SOURCE = Path(study.__file__).parents[1]
PAGE = (SOURCE / "docs" / "your-own.md").read_text("utf-8")
FILES = dict(re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL))
SWEEPS = ["ghost", "perceptron", "stripes", "norms", "halves"]
SHORT = ["recipe.iterations=30", "recipe.evaluate_every=30", "recipe.log_every=10", "seed=0"]
PACKAGE = {
    "pyproject.toml": """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "ghosts"
version = "1.0"
[project.entry-points."study.components"]
ghosts = "ghosts.blocks"
""",
    "ghosts/__init__.py": "",
    "ghosts/blocks.py": FILES["my_block.py"].replace("return self.ratio", "return ratio_of(self)")
    + "\n\nfrom ghosts.helper import ratio_of\n",
    "ghosts/helper.py": "def ratio_of(block):\n    return block.ratio\n",
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """A folder with the wheels of this package, and of one with an entry point, as pip would unpack them."""
    base = tmp_path_factory.mktemp("wheels")
    for name, text in PACKAGE.items():
        (base / "ghosts" / name).parent.mkdir(parents=True, exist_ok=True)
        (base / "ghosts" / name).write_text(text)
    for source in (SOURCE, base / "ghosts"):
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(base / "built")]
        subprocess.run(build, cwd=source, check=True, capture_output=True)
    for wheel in (base / "built").glob("*.whl"):
        zipfile.ZipFile(wheel).extractall(base / "site")
    return base / "site"


@pytest.fixture
def installed(here, wheels, monkeypatch):
    """The page's files in a folder, and processes that import the wheels alone."""
    monkeypatch.setenv("PYTHONPATH", str(wheels))
    assert python("import study; print(study.__file__)").startswith(str(wheels))
    return here


def call(*words):
    """`study WORDS` in a process of its own, in the working directory."""
    return command.study(Path.cwd(), *words)


def inside(*words):
    """The same in this process."""
    return command.inside(Path.cwd(), *words)


def test_the_page_has_what_it_promises():
    assert {f"{name}.yaml" for name in SWEEPS} <= FILES.keys()
    assert all(len(text.splitlines()) <= 15 for text in FILES.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", SWEEPS)
def test_each_example_trains_on_workers_and_is_compared(installed, name):
    code, _, err = call("sweep", f"{name}.yaml", *SHORT, "--workers", "2")
    assert code == 0, err
    runs = study.read_runs(installed / "results" / name)
    assert set(runs["state"]) == {"done"} and runs["point_id"].nunique() == len(runs)
    for words in (["verdict", name], ["table", "errors", name], ["report", name], ["figure", "degradation", name]):
        code, _, err = call(*words)
        assert code == 0, err


@pytest.mark.slow
def test_a_block_of_an_installed_package_trains_on_workers(installed, wheels):
    (installed / "ghost.yaml").write_text(FILES["ghost.yaml"].replace("my_block.py", "ghosts"))
    code, _, err = call("sweep", "ghost.yaml", "depth=8", *SHORT, "--workers", "2")
    assert code == 0, err
    runs = study.read_runs(installed / "results" / "ghost")
    assert set(runs["state"]) == {"done"} and set(runs["block"]) == {"basic", "ghost"}
    assert "nothing is left to train" in call("sweep", "ghost.yaml", "depth=8", *SHORT)[1]
    with (wheels / "ghosts" / "helper.py").open("a") as file:
        file.write("# edited\n")
    plan = call("sweep", "ghost.yaml", "depth=8", "--dry-run", *SHORT)[1]
    assert "block ghost: its code changed" in plan and plan.count("start ") == 2


@pytest.mark.slow
def test_a_block_of_the_users_own_in_every_verb(here):
    """Trained, resumed with nothing to do, probed, and measured around; results read without its code."""
    trained = inside("sweep", "ghost.yaml", "depth=8", *SHORT)
    assert trained.code == 0, trained.err
    assert "nothing is left to train" in inside("sweep", "ghost.yaml", "depth=8", *SHORT).out
    assert inside("probe", "ghost.yaml", "--probes", "weights,responses").code == 0
    measured = inside("surface", "ghost.yaml", "--points", "3", "--subset", "50")
    assert measured.code == 0, measured.err
    runs = study.read_runs(here / "results" / "ghost")
    assert set(runs["block"]) == {"basic", "ghost"} and set(runs["own"].dropna()) == {"block.ratio: 0.5"}
    (copy,) = (here / "results" / "ghost" / "components").iterdir()
    assert copy.read_text() == FILES["my_block.py"]
    (here / "my_block.py").unlink()
    for words in (["status", "ghost"], ["verdict", "ghost"], ["table", "errors", "ghost"], ["report", "ghost"]):
        code, _, err = call(*words)
        assert code == 0 and "Traceback" not in err, err
    assert "ghost" in call("table", "errors", "ghost")[1]
    recalibrated = ("surface", "ghost", "--points", "3", "--bn", "recalibrated", "--subset", "50")
    code, _, err = call(*recalibrated)
    assert code == 2 and "no block 'ghost'" in err and "Traceback" not in err
    assert call(*recalibrated, "--use", str(copy))[0] == 0


def test_copies_in_a_strangers_results_are_not_run(here):
    """A results folder may come from anywhere: what it calls a copy of the user's code is compared with the code."""
    assert inside("sweep", "ghost.yaml", "depth=8", "block=ghost", "network=plain", *SHORT).code == 0
    (copy,) = (here / "results" / "ghost" / "components").iterdir()
    copy.write_text("raise SystemExit('a stranger's code ran')")
    code, out, err = inside("sweep", "ghost.yaml", "depth=8", "block=ghost", "network=residual", *SHORT)
    assert code == 0 and "stranger" not in out + err and copy.read_text() == FILES["my_block.py"]


BESIDE = {
    "my_block.py": FILES["my_block.py"].replace("return self.ratio", "return scale.of(self)")
    + "\nfrom rates import scale\nimport torch\n",
    "rates/scale.py": "import rates.late as late\n\ndef of(block):\n    return late.times() * block.ratio\n",
    "rates/late.py": "def times():\n    import number\n    return number.ONE\n",
    "number.py": "ONE = 1\n",
    "torch.py": "raise SystemExit('a file of the name of an installed package ran')\n",
}
"""A block that imports modules beside it, one of them when it is first called."""


def test_changed_code_is_another_network(here):
    words = ("sweep", "ghost.yaml", "depth=8", "block=ghost", *SHORT)
    assert inside(*words).code == 0
    (here / "rates").mkdir()
    for name, text in BESIDE.items():
        (here / name).write_text(text)
    (here / "elsewhere").mkdir()
    done = command.inside(here / "elsewhere", words[0], "../ghost.yaml", *words[2:], "--results", "../results")
    assert done.code == 0 and "its code changed" in done.out, done.err
    runs = study.read_runs(here / "results" / "ghost")
    assert runs["own_code"].nunique() == 2 and runs["point_id"].nunique() == 4
    curves = study.read_curves(here / "results" / "ghost")
    assert len(pd.DataFrame(study.table("errors", curves))) == 4
    assert curves.groupby(["network", "iteration", "split"])["loss"].nunique().eq(1).all()  # it computes the same
    for name in BESIDE:
        (here / name).write_text(f"{BESIDE[name]}# edited\n")
        plan = inside(*words, "--dry-run").out
        assert (plan.count("start "), "its code changed" in plan) == (
            (0, False) if name == "torch.py" else (2, True)
        ), name
        (here / name).write_text(BESIDE[name])
    (here / "number.py").write_text("1 / 0\n")
    done = inside(*words)
    assert done.code == 2 and done.err.endswith(
        "block ghost: ZeroDivisionError: division by zero (number.py:1, plain-8)\n"
    )


@pytest.mark.slow
def test_a_family_has_its_name_everywhere_and_what_it_lacks_is_left_out(here):
    surfaces = "surfaces: [{points: 3, subset: 50}, {points: 3, subset: 50, bn: recalibrated}]\n"
    (here / "perceptron.yaml").write_text(FILES["perceptron.yaml"] + surfaces)
    words = ("sweep", "perceptron.yaml", "depth=4,6", "norm=batch,group", *SHORT)
    note = "family perceptron: no effect of norm, unless it is made of study's blocks"
    assert note in inside(*words, "--dry-run").out
    done = inside(*words[:3], *SHORT)
    assert done.code == 0 and not done.err, done.err
    assert "note: 4 surfaces left out: bn needs BN, and there is none in plain perceptron-4, " in done.out
    assert "4 surfaces: 4 done" in " ".join(call("status", "perceptron")[1].split())
    drawn = call("figure", "degradation", "perceptron", "--formats", "svg")
    assert drawn[0] == 0, drawn[2]
    shown = [done.out, call("status", "perceptron")[1], call("verdict", "perceptron")[1]]
    shown += [call("table", "errors", "perceptron")[1], (here / "figures/perceptron/degradation.txt").read_text()]
    assert call("report", "perceptron")[0] == 0
    shown.append((here / "figures" / "perceptron" / "report.html").read_text("utf-8"))
    for text in shown:
        assert "plain perceptron" in text and "residual perceptron" in text and "ResNet-" not in text
    run = next(iter(study.read_runs(here / "results" / "perceptron")["run_id"]))
    stretched = inside("embed", run, "--depth", "64", "--use", "my_family.py")
    assert stretched.code == 2 and "a perceptron has no blocks of unchanged shape to insert" in stretched.err
    alone = inside("surface", "perceptron", "--points", "3", "--bn", "recalibrated", "--use", "my_family.py")
    assert alone.code == 2 and alone.err.startswith("study: bn: recalibrated needs BN, and there is none in plain perc")


ARRAYS = "import numpy as np\n    x, y = np.zeros((9, 8, 8, 1), np.uint8), np.arange(9) % 2\n    return study.Arrays"
MISTAKES = [
    ("family", "def f(depth):\n    pass", r"family f: TypeError: f\(\) takes 1 positional argument but 5 were given"),
    ("family", "def f(*given):\n    assert given[0] > 9, 'no'", r"family f: AssertionError: no \(mine.py:5, residual f-8\)"),
    ("family", "def f(*given):\n    raise SystemExit('no')", "family f: SystemExit: no"),
    ("family", "def f(*given):\n    return None", "family f: TypeError: returns None, not a torch.nn.Module"),
    ("family", "def f(*given):\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))", r"for 2 images, not \(2, 10\)"),
    ("family", "def f(*given):\n    return nn.Sequential(nn.Flatten(), nn.AdaptiveAvgPool1d(10))", "has no parameter to train"),
    ("block", "class f(study.BasicBlock):\n    def branch(self, x):\n        return super().branch(x[:, :3])",
     r"block f: RuntimeError: .*\(mine.py:6, ResNet-8\)"),
    ("data", f"def f(root):\n    {ARRAYS}((x, y[1:]), (x, y))", r"f: 9 training images need as many integers as labels"),
    ("data", f"def f(root):\n    {ARRAYS}((x, y), (x, 1 + y))", "f: labels must be 0 to 1 in both splits"),
    ("data", f"def f(root):\n    {ARRAYS}(([[1, 2], [3]], y), None)", "f: .*inhomogeneous shape"),
    ("data", "def f(root):\n    raise SystemExit(0)", r"data f: SystemExit: 0 \(mine.py:5\)$"),
    ("data", "def f(root):\n    return nn", r"data f: must return study.Arrays\(.*, not a module$"),
    ("recipe.schedule", "def f(iteration, iterations):\n    return None", "schedule f: TypeError: unsupported operand"),
    ("recipe.optimizer", "class f(study.Optimizer):\n    rate: float = 1.0", "optimizer f: NotImplementedError"),
    ("initialisation", "def f(weight, random):\n    return [1, 2]", "initialisation f: RuntimeError: The size of tensor"),
    ("activation", "def f():\n    return 3", "activation f: TypeError: int is not a Module"),
    ("order", "def f(layers):\n    return 'CBR'", "order f: AttributeError: 'str' object has no attribute"),
]  # fmt: skip


@pytest.mark.parametrize("field, code, message", MISTAKES)
def test_mistakes_in_code_are_told_before_anything_starts(here, field, code, message):
    kind = field.removeprefix("recipe.")
    (here / "mine.py").write_text(f"import study\nfrom torch import nn\n@study.{kind}\n{code}\n")
    fixed = {"data": "digits", "recipe": "quick", "depth": 8, "network": "residual", "seed": 0, field: "f"}
    (here / "mine.yaml").write_text(f"use: [mine.py]\nfixed: {json.dumps(fixed)}\n")
    done = inside("sweep", "mine.yaml")
    assert done.code == 2 and re.search(message, done.err) and "Traceback" not in done.err, done.err
    assert len(done.err.strip().splitlines()) == 1 and not (here / "results").exists()


# -- every kind of component -------------------------------------------------------------------------------------------

OTHERS = (
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
OF_OTHERS = """
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


def test_every_kind_of_component_is_trained_measured_and_drawn(tmp_path):
    def said(*words):
        return command.output(tmp_path, *words)

    (tmp_path / "mine.py").write_text(OTHERS)
    (tmp_path / "mine.yaml").write_text(OF_OTHERS)
    said("sweep", "mine.yaml")
    runs = study.read_runs(tmp_path / "results" / "mine")
    assert len(runs) == 11 and set(runs["state"]) == {"done"}
    assert set(runs["recipe.own"]) == {"optimizer.beta: 0.8"} and "shortcut.share: 0.25" in set(runs["own"])
    probes = study.read_probes(tmp_path / "results" / "mine")
    assert set(probes["probe"]) == {"largest"} and probes["run_id"].nunique() == 11
    assert (tmp_path / "figures" / "mine" / "weights.png").exists()
    said("figure", "weights", "mine", "top=2", "--formats", "png", "--use", "mine.py")
    assert len(pd.read_csv(tmp_path / "figures" / "mine" / "weights.csv")) == 2
    assert said("table", "seeds", "mine", "--use", "mine.py").split() == ["seeds", "1"]
    said("describe", "network=residual", "depth=8", "shortcut=half", "--use", "mine.py")


def test_a_figure_without_a_frame_is_no_decorator():
    with pytest.raises(study.StudyError, match="degradation: give the frame"):
        study.figure("degradation")

"""Small specs, runs and comparisons that several tests need."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from study.config.identity import run_id
from study.config.run import RunSpec
from study.config.sweep import Value, resolve
from study.data import ImageSet
from study.data.images import image_set
from study.store import runs as store
from study.store.files import digest, read_lines
from study.store.layout import RunFiles, TaskFiles
from study.store.tables import CURVES, Row, read_table
from study.training.pack import train_pack
from study.training.session import Session

PATIENCE = 900.0
"""Seconds to wait for an event that must come: long enough for any machine, so only a hang fails."""

RESULTS = Path(__file__).parent.parent / "results" / "reference"
"""The results in the repository."""

QUICK = {"network": "residual", "depth": 8, "data": "digits", "recipe": "quick", "seed": 0}

SHORT = {
    "block": "single", "depth": 5,
    "recipe__iterations": 12, "recipe__batch_size": 16, "recipe__evaluate_every": 5, "recipe__log_every": 4,
}  # fmt: skip
"""A run of a second, on `tiny_images`: 16 images a step, 40 an epoch."""


def long(*values: Any) -> Any:
    """Parameters of a case for `pytest -m long` only."""
    return pytest.param(*values, marks=pytest.mark.long)


def slow(*values: Any) -> Any:
    """Parameters of a case that `pytest -m slow` alone has: another one like it is always run."""
    return pytest.param(*values, marks=pytest.mark.slow)


def make_spec(**fields: Any) -> RunSpec:
    """A run spec: ResNet-8 on digits unless told otherwise; `recipe__iterations=5` sets a field of the recipe."""
    named = {key.replace("__", "."): value for key, value in fields.items()}
    return resolve({key: Value(value, "test") for key, value in (QUICK | named).items()})


def open_run(results: Path, spec: RunSpec, sweep: str = "test") -> RunFiles:
    """A run folder with its spec in it."""
    files = RunFiles(results / sweep / "runs" / run_id(spec))
    store.write_spec(files, spec)
    return files


def seal_run(files: RunFiles, outcome: str = "finished", iteration: int = 60, **facts: Any) -> None:
    """Seal a run, with a curve of one point if it has none."""
    row = {"run_id": files.run_id, "iteration": iteration, "epoch": 1.0, "split": "test", "loss": 0.5, "error": 12.5}
    if not files.curves.exists():
        CURVES.write(files.curves, [row | {"lr": 0.1, "seconds": 2.0}])
    sealed = {files.curves.name: digest(files.curves.read_bytes())}
    store.write_done(files, sealed, outcome=outcome, iteration=iteration, **facts)


def attempts(files: TaskFiles) -> list[dict[str, Any]]:
    """The attempts at a run, oldest first: the record of each start, with `start`, and of its end, with `end` if it has one."""
    found: list[dict[str, Any]] = []
    for line in read_lines(files.attempts):
        if line["event"] == "start":
            found.append({"end": None, "outcome": None, **line, "start": line["time"]})
        elif line["event"] == "end":
            found[-1] |= {**line, "end": line["time"]}
    return found


def tiny_images(train: int = 40, test: int = 20, size: int = 8, channels: int = 1, classes: int = 10) -> ImageSet:
    """A small data set of noise."""
    random = np.random.RandomState(7)
    images = random.randint(0, 256, (train + test, size, size, channels)).astype(np.uint8)
    labels = np.arange(train + test, dtype=np.int64) % classes
    names = tuple(map(str, range(classes)))
    return image_set("noise", (images[:train], labels[:train]), (images[train:], labels[train:]), names)


def make_folder(path: Path, train: int = 12, test: int = 6, classes: int = 3, held_out: str = "test") -> Path:
    """A folder of JPEGs of various sizes, from 40x30 up: a gradient of the class's colour under noise."""
    random = np.random.RandomState(11)
    for split, count in (("train", train), (held_out, test)):
        for i in range(count):
            width, height = random.randint(40, 90), random.randint(30, 60)
            slope = np.linspace(0, 160, width)[None, :, None] * np.eye(3)[i % 3]
            image = np.clip(slope + random.randint(0, 80, (height, width, 3)), 0, 255).astype(np.uint8)
            file = path / split / f"class{i % classes}" / f"{i}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(file, quality=90)
    return path


def random_bn(network):
    """BN parameters and statistics other than those of the start, so that each of them matters."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(std=0.1)
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.5, 1.5)


def randomise(network):
    """Draw weights of He's variance, by torch: a seed's own take seconds for a hundred million; and BN at random."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
                module.weight.normal_(std=(2 / module.weight[0].numel()) ** 0.5)
                if module.bias is not None:
                    module.bias.normal_(std=0.1)
            elif isinstance(module, torch.nn.BatchNorm2d):
                module.reset_running_stats()
    random_bn(network)
    return network


def read_rows(path: Path) -> list[Row]:
    """The curve of a run as rows, in the order of writing."""
    rows: list[Row] = read_table(path).to_pylist()
    return rows


def python(code: str, *words: object, **env: str) -> str:
    """What Python code prints in a process of its own, which must end well; `env` has variables besides those here."""
    command = [sys.executable, "-B", "-c", code, *map(str, words)]
    done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def kept(files: RunFiles) -> list[int]:
    """The iterations of a run's snapshots."""
    return [int(path.name.split("-")[1]) for path in files.snapshots()]


def points(files: RunFiles) -> list[tuple[Any, ...]]:
    """The curve of a run, sorted and without seconds: equal bit for bit in every training of it."""
    rows = read_rows(files.curves)
    keys = [key for key in rows[0] if key != "seconds"] if rows else []
    return sorted(tuple(repr(row[key]) for key in keys) for row in rows)


def train_runs(results: Path, *specs: RunSpec, images: ImageSet | None = None, **options: Any) -> list[RunFiles]:
    """Train runs as a pack, on noise unless told otherwise; `options` are those of a `Session`. Returns their files."""
    runs = [(spec, open_run(results, spec)) for spec in specs]
    train_pack(runs, images or tiny_images(), Session(**options))
    return [files for _, files in runs]


def stopping(at: int) -> dict[str, Any]:
    """Options of a `Session` that stop it after an iteration."""
    taken = [0]
    return {"stopped": lambda: taken[0] >= at, "report": lambda progress: taken.__setitem__(0, progress.iteration)}


OWN_PARTS = """

@study.norm
def instance(maps, *, eps: float = 1e-3):
    return nn.InstanceNorm2d(maps, eps=eps, affine=True)


@study.activation
def soft():
    return nn.Softplus()


@study.optimizer
class SignSgd(study.Optimizer):
    keeps = ("momentum",)
    beta: float = 0.9

    def update(self, parameters, gradients, state, rate, decay):
        torch._foreach_lerp_(state["momentum"], gradients, 1 - self.beta)
        torch._foreach_sub_(parameters, [rate * m.sign() for m in state["momentum"]])
"""
"""A norm, an activation and an optimizer of the user's own, for a file that has imported `study`, `torch` and `nn`."""

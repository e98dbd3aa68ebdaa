"""How long a sweep will take, before it starts."""

import re
import socket

import pytest

from study.launch.attempt.provenance import cpu_model
from study.store import runs as store
from study.store.tables import CURVES
from tests.helpers import make_spec, open_run, seal_run
from tests.launch.command import inside, output, sweep_file

SWEEP = """
fixed: {data: digits, train_subset: 400, recipe: quick, depth: 8,
  recipe.iterations: 60, recipe.evaluate_every: 25, recipe.log_every: 10}
grid: {network: [plain, residual], seed: [1, 2, 3]}
"""
LOCAL = (
    "sweep", "tiny.yaml", "--dry-run", "--executor", "local", "--device", "cpu", "--workers", "2", "--threads", "1",
)  # fmt: skip
HERE = {"executor": "local", "host": socket.gethostname(), "cpu": cpu_model(), "device": "cpu", "threads": 1}
SPEEDS = {"plain": (2.0, 8.0), "residual": (3.0, 10.0)}
"""Seconds of a step and of an evaluation: 144 s and 210 s for a run."""


def trained_before(folder, attempt, outcome="finished", **fields):
    """A run of each network with the speeds above, another seed, and other fields without effect on them."""
    for network, (step, evaluation) in SPEEDS.items():
        neutral = {"recipe__learning_rate": 0.3, "recipe__log_every": 10, "recipe__evaluate_every": 20}
        usual = {"network": network, "train_subset": 400, "recipe__iterations": 40, "recipe__schedule": "constant"}
        spec = make_spec(**(usual | neutral | fields))
        files = open_run(folder / "results", spec, "before")
        store.start_attempt(files, attempt)
        row = {"run_id": files.run_id, "epoch": 1.0, "loss": 1.0, "error": 50.0, "lr": 0.1}
        rows = [
            row | {"iteration": i, "split": split, "seconds": step * i + evaluation * ((i - 1) // 20)}
            for i in range(10, 41, 10)
            for split in (("train", "train_clean", "test") if i % 20 == 0 else ("train",))
        ]
        CURVES.write(files.curves, rows)
        if outcome:
            seal_run(files, outcome, 40, seconds=40 * step + 2 * evaluation)


def told(folder, *words, code=0):
    """What a dry run says about time; or an error."""
    sweep_file(folder, SWEEP)
    found, out, err = inside(folder, *words)
    assert found == code, err
    return err if code else re.findall("^time: (.*)", out, re.MULTILINE)[0]


@pytest.mark.parametrize("outcome", ["finished", "diverged", None])
def test_earlier_runs_of_the_same_networks_tell_the_time(outcome, tmp_path):
    trained_before(tmp_path, HERE, outcome)
    # 3 runs each of 60 steps and 3 evaluations, two at a time: 210 + 210 + 144 against 210 + 144 + 144 s.
    assert told(tmp_path, *LOCAL) == "about 9.4 min with 2 workers, from 2 earlier runs"
    assert told(tmp_path, *LOCAL, "network=plain", "seed=1") == "about 2.4 min with 1 worker, from 1 earlier run"
    rarely = ("recipe.iterations=3000", "recipe.evaluate_every=3000")
    assert "about 2.5 h" in told(tmp_path, *LOCAL, "seed=1", "network=residual", *rarely)


@pytest.mark.parametrize("attempt, field", [
    *((attempt, {}) for attempt in ({"host": "other"}, {"threads": 2}, {"cpu": "other"}, {"device": "NVIDIA H100"})),
    *(({}, field) for field in ({"recipe__batch_size": 32}, {"train_subset": 300}, {"depth": 14}, {"norm": "group"})),
])  # fmt: skip
def test_runs_on_other_machines_or_of_other_networks_tell_nothing(attempt, field, tmp_path):
    trained_before(tmp_path, HERE | attempt, **field)
    unknown = "unknown: not every network has an earlier run here; add --measure to time the others"
    assert told(tmp_path, *LOCAL) == unknown


def test_jobs_on_a_cluster_are_forecast_from_earlier_jobs(tmp_path):
    (tmp_path / "cluster.yaml").write_text("{max_parallel: 4, runs_per_gpu: 2, gpus: 1}")
    words = ("sweep", "tiny.yaml", "--dry-run", "--executor", "slurm", "--profile", "cluster.yaml")
    assert "within a job, add --measure --executor local" in told(tmp_path, *words)
    trained_before(tmp_path, HERE | {"executor": "slurm", "host": "node7", "device": "NVIDIA H100"})
    known = "about 5.9 min in 3 jobs at once, once they start, from 2 earlier runs on NVIDIA H100"
    assert told(tmp_path, *words) == known
    err = told(tmp_path, *words, "--measure", code=2)
    assert "within a job" in err and len(err.splitlines()) == 1


def test_measuring_is_for_a_dry_run(tmp_path):
    err = told(tmp_path, "sweep", "tiny.yaml", "--measure", code=2)
    assert "--dry-run" in err and len(err.splitlines()) == 1 and not (tmp_path / "results").exists()


@pytest.mark.slow
def test_a_measurement_tells_the_time_and_writes_nothing(tmp_path):
    words = told(tmp_path, *LOCAL, "--measure")
    assert re.fullmatch(r"about [0-9.]+ s with 2 workers, from timing the networks", words)
    assert {path.name for path in tmp_path.iterdir()} <= {"tiny.yaml", "cache"}


@pytest.mark.slow
def test_a_sweep_tells_the_time_before_it_trains_if_earlier_runs_tell_it(tmp_path):
    words = ("sweep", sweep_file(tmp_path, SWEEP), "network=plain", "--device", "cpu")
    assert "time:" not in output(tmp_path, *words, "seed=1")
    said = output(tmp_path, *words, "seed=2")
    assert "time: about 1 s with 1 worker, from 1 earlier run\n" in said
    assert said.index(" to train, ") < said.index("time: ") < said.index("done in ")

"""Many processes at once: none loses what it wrote, and of those that want one run one has it.

Twenty processes, or 200 as long tests. `benchmarks/load.py` has the time and memory of many runs.
"""

import multiprocessing
import subprocess
import sys

import pytest

from study.config.identity import run_id
from study.config.sweep import Sweep
from study.launch.attempt.provenance import describe
from study.store import lease, process
from study.store import runs as store
from study.store.collect import collect
from study.store.files import append_line, examine_lines, write_json
from study.store.layout import SweepFiles
from study.store.sweeps import write_sweep
from study.store.tables import CURVES, read_table
from tests.helpers import attempts, long, make_spec, open_run
from tests.store.test_collect import ROW

writers = pytest.mark.parametrize("writers", [20, long(200)])
PARTS = (10, 20, 40)
"""The iterations at which those of the test with curves write one: so many rows."""
FORK = multiprocessing.get_context("fork")


def together(work, writers):
    """Have so many processes do this at the same moment, each with its number; returns what each of them had to say.

    None ends before all have answered: a lease is held while its process lives.
    """
    gate, answers = FORK.Barrier(writers), FORK.SimpleQueue()

    def body(number):
        gate.wait(120)
        try:
            answers.put((number, work(number)))
        except BaseException as error:
            answers.put((number, error))
        gate.wait(300)

    processes = [FORK.Process(target=body, args=(number,)) for number in range(writers)]
    for one in processes:
        one.start()
    found = dict(answers.get() for _ in processes)
    for one in processes:
        one.join()
    for answer in found.values():
        if isinstance(answer, BaseException):
            raise answer
    return [found[number] for number in range(writers)]


@writers
def test_concurrent_appends_lose_no_line(writers, tmp_path):
    path = tmp_path / "a-run" / "attempts.jsonl"
    path.parent.mkdir()

    def append(number):
        for turn in range(5):
            append_line(path, {"writer": number, "turn": turn, "long": "x" * 3000})  # lines lie across pages

    together(append, writers)
    lines, lost = examine_lines(path)
    assert lost == 0
    assert sorted((line["writer"], line["turn"]) for line in lines) == [
        (w, t) for w in range(writers) for t in range(5)
    ]


@writers
def test_one_of_many_claimants_gets_the_lease(writers, tmp_path):
    files = open_run(tmp_path / "results", make_spec())
    assert sum(together(lambda number: _held(files), writers)) == 1
    assert sorted(path.name for path in files.folder.iterdir()) == ["lease", "spec.json"]


@writers
def test_one_of_many_claimants_takes_over_a_dead_lease(writers, tmp_path):
    files = open_run(tmp_path / "results", make_spec())
    dead = subprocess.Popen([sys.executable, "-c", ""])
    lives = process.identity() | {"pid": dead.pid, "started": process.started(dead.pid)}
    dead.wait()
    write_json(files.lease, {"token": "of the dead", "time": 0.0, **lives})
    assert sum(together(lambda number: _held(files), writers)) == 1
    assert sorted(path.name for path in files.folder.iterdir()) == ["lease", "spec.json"]


def curve(name, until):
    """The rows of a run that has come so far."""
    return [ROW | {"run_id": name, "iteration": i, "loss": 1 / i} for i in range(1, until + 1)]


@pytest.mark.slow
@writers
def test_collecting_while_runs_are_sealed_loses_nothing(writers, tmp_path):
    told = [(run_id(spec), spec) for spec in (make_spec(seed=seed) for seed in range(writers))]
    sweep = Sweep("many", "", dict(told), ())
    files = SweepFiles(tmp_path / "results", sweep.name)
    write_sweep(files, sweep)

    def train(number):
        """As a worker does, or for the last number: collect until there is nothing more to come."""
        collected = 0
        while number == writers:
            through = all(files.run(name).done.exists() for name in sweep.runs)
            collect(files)
            found = read_table(files.curves).group_by("run_id").aggregate([("iteration", "count")]).to_pydict()
            assert set(found["iteration_count"]) <= {*PARTS}
            collected += 1
            if through:
                return collected
        name, spec = told[number]
        run = files.run(name)
        store.write_spec(run, spec)
        held = lease.claim(run)
        store.start_attempt(run, describe("cpu", "local", 1))
        for until in PARTS:
            sealed = CURVES.write(run.curves, curve(name, until))
            held.beat(iteration=until)
        store.write_done(run, {run.curves.name: sealed}, outcome="finished", iteration=until, error=9.5, seconds=1.0)
        store.end_attempt(run, "done", until)
        held.release()
        return 0

    assert sum(together(train, writers + 1)) > 1
    collect(files)
    assert CURVES.read(files.curves) == CURVES.collect(CURVES.of(curve(name, PARTS[-1])) for name in sweep.runs)
    assert all([row["outcome"] for row in attempts(files.run(name))] == ["done"] for name in sweep.runs)
    left = {path.name for name in sweep.runs for path in files.run(name).folder.iterdir()}
    assert left == {"spec.json", "curves.parquet", "attempts.jsonl", "done.json"}


def _held(files):
    """Whether this process got the lease, which it does not give back."""
    return lease.claim(files) is not None

"""Housekeeping that is killed at any moment, or meets a sweep in training: nothing is lost, and the same call completes it."""

import os
import re
import shutil
import signal

import pytest

import study
from study.store import runs as store
from study.store.find import all_runs, sweep_names
from study.store.layout import SweepFiles
from tests import helpers
from tests.faults import whole
from tests.faults.layer import CHANGES, Action
from tests.faults.test_two_at_once import LONGER, in_training
from tests.launch.command import inside, output, wait_for

MOMENTS = 20
VERBS = {
    "merge": ["merge", "there"],
    "mv": ["mv", "tiny", "new"],
    "rm sweep": ["rm", "tiny"],
    "rm run": ["rm", "plain"],
    "prune": ["prune", "--all"],
}


@pytest.fixture(scope="module")
def two(trained, tmp_path_factory):
    """Results with the trained sweep, and another that shares its residual run and a surface."""
    folder = tmp_path_factory.mktemp("two")
    shutil.copytree(trained, folder, dirs_exist_ok=True)
    said = whole.sweep(folder, "network=residual", "name=other")
    assert said.code == 0, said
    return folder


def prepare(folder, two, verb):
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(two / "results", folder / ("there" if verb == "merge" else "results"))
    (folder / "figures" / "tiny").mkdir(parents=True)
    (folder / "figures" / "tiny" / "report.html").write_text("drawn")


def tree(folder):
    """Every file but void leases, which the next process removes; the seal of the tables, which has inodes, without content."""
    files = {name: content for name, content in helpers.tree(folder).items() if not name.endswith("lease")}
    return {name: b"" if name.endswith("collected.json") else content for name, content in files.items()}


def lost(folder, two, verb):
    """What is missing or wrong after a kill, as a line each."""
    results = folder / "results"
    for name in sweep_names(results):
        for _, run in study.read_runs(results / name).iterrows():
            if run["state"] != "done" and verb != "merge":
                yield f"{run['run_id']} in {name} is {run['state']}"
    for run_id, run in all_runs(results).items():
        if store.status(run).state != "done":
            yield f"{run_id} is half there"
    kept = {"rm sweep": "residual", "rm run": "residual", "merge": "no run"}.get(verb, "")
    here = set(all_runs(results))
    yield from (f"{name} is gone" for name in all_runs(two / "results") if name.startswith(kept) and name not in here)
    if verb == "merge" and tree(folder / "there") != tree(two / "results"):
        yield "the source was changed"


def collected(folder):
    for name in sweep_names(folder / "results"):
        output(folder, "collect", name)
    return tree(folder)


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_housekeeping_killed_at_twenty_moments_loses_nothing(warm, folder, two, verb):
    prepare(folder, two, verb)
    warm.layer.arm(kinds=CHANGES)
    assert warm.run(folder, *VERBS[verb]).code == 0
    operations = len(warm.layer.operations())
    whole = collected(folder)
    assert operations >= MOMENTS and not list(lost(folder, two, verb))
    for moment in range(MOMENTS):
        prepare(folder, two, verb)
        at = 1 + moment * (operations - 1) // (MOMENTS - 1)
        warm.layer.arm(Action.TEAR if moment % 2 else Action.STOP, at, kinds=CHANGES)
        with warm.started(folder, *VERBS[verb]) as fork:
            wait_for(lambda fork=fork: warm.layer.struck or fork.over())
            fork.kill()
        where = f"killed at {at} of {operations}: {warm.layer.where()}"
        warm.layer.arm()
        assert fork.ended().code == -signal.SIGKILL and not list(lost(folder, two, verb)), where
        again = warm.run(folder, *VERBS[verb])
        assert again.code == 0 or (verb[:2] in ("mv", "rm") and re.search("no sweep (or run )?'", again.err)), (
            where,
            again,
        )
        after = collected(folder)
        assert after.keys() ^ whole.keys() == set() and after == whole, where


@pytest.mark.slow
def test_a_sweep_in_training_is_not_removed_and_others_are_merged_beside_it(warm, folder, two):
    whole.sweep_file(folder, LONGER)
    elsewhere = folder / "there" / whole.NAME
    shutil.copytree(two / "results" / "tiny", elsewhere)
    words = ("sweep", "tiny.yaml", "--executor", "debug", "--threads", "1", "--checkpoint-seconds", "0.05")
    with warm.started(folder, *words) as training:
        wait_for(lambda: in_training(folder))
        os.kill(training.pid, signal.SIGSTOP)
        for verb in (["rm", "tiny"], ["mv", "tiny", "new"]):
            code, _, err = inside(folder, *verb)
            assert code == 2 and len(err.splitlines()) == 1 and f"by process {training.pid}; " in err
        os.kill(training.pid, signal.SIGCONT)
        code, out, err = inside(folder, "merge", "there")
        assert code == 0 and "tiny: 3 copied" in out, out + err
        assert training.ended().code == 0
    assert inside(folder, "collect", "tiny")[0] == 0
    runs = study.read_runs(SweepFiles(folder / "results", "tiny").folder)
    assert len(runs) == 4 and set(runs["state"]) == {"done"}
    assert len(study.read_curves(folder / "results" / "tiny")["run_id"].unique()) == 4

"""The state of a task, what to do about it, and which runs are trained together. All of it is pure."""

import itertools

import pytest

from study.config.identity import run_id
from study.config.sweep import load
from study.launch.plan.runs import cost, missing_measurements, packs
from study.launch.plan.state import decide, plan
from study.launch.slurm.queue import Job
from study.launch.slurm.submissions import Place
from study.launch.sweep import plan_sweep
from study.store.runs import ENDED, LOST, RunStatus
from tests.helpers import make_spec

DISK = {
    state: RunStatus(state, state, iteration=40, message="why")
    for state in ("done", *LOST, "failed", "running", "interrupted", "pending")
}
VERBS = {
    "missing": {"failed": "leave", "interrupted": "resume", **dict.fromkeys(ENDED, "keep")},
    "retry": {"failed": "retry", "interrupted": "resume", **dict.fromkeys(ENDED, "keep")},
    "force": {"failed": "redo", "interrupted": "redo", **dict.fromkeys(ENDED, "redo")},
}


@pytest.mark.parametrize("mode", VERBS)
def test_the_verb_of_each_state(mode):
    expected = VERBS[mode] | {"running": "wait", "pending": "start"}
    actions = plan(map(decide, DISK.values()), mode)
    assert {action.run_id: action.verb for action in actions} == expected
    assert [action.run_id for action in actions] == list(DISK)


def place(state, folder, waiting=True):
    return Place(Job("17_3", "study-tiny-0", state, ""), waiting, folder / "log")


def test_the_disk_decides_before_the_queue_and_queued_tasks_wait_in_every_mode(tmp_path):
    waiting, lost = place("PENDING", tmp_path), place("UNKNOWN", tmp_path, waiting=False)
    queued = {state: decide(now, waiting) for state, now in DISK.items()}
    assert {state for state, task in queued.items() if task.state == "queued"} == {"failed", "interrupted", "pending"}
    assert queued["failed"].message == "job 17_3, pending; failed before: why"
    gone = {state: decide(now, lost) for state, now in DISK.items()}
    assert {state for state, task in gone.items() if task.state == "unknown"} == {"interrupted", "pending"}
    assert decide(DISK["pending"], trouble="no controller").message == "no controller"
    assert decide(DISK["done"], trouble="no controller").state == "done"
    (tmp_path / "log").write_text("some\nit ended badly\n")
    cancelled = decide(DISK["interrupted"], place("CANCELLED", tmp_path, waiting=False))
    assert (cancelled.state, cancelled.message) == ("interrupted", "job 17_3, cancelled: it ended badly; why")
    for mode in VERBS:
        [action] = plan([decide(DISK["pending"], place("PENDING", tmp_path))], mode)
        assert action.verb == "wait" and action.reason == "job 17_3, pending"


@pytest.mark.parametrize("mode, verbs", [
    ("missing", {"failed": "leave", **dict.fromkeys(ENDED, "keep")}),
    ("retry", dict.fromkeys(ENDED, "keep")),
    ("force", {}),
])  # fmt: skip
def test_of_a_completing_job_what_is_finished_counts_and_the_rest_is_not_submitted_yet(mode, verbs, tmp_path):
    tasks = [decide(now, place("COMPLETING", tmp_path)) for now in DISK.values()]
    assert {task.disk.state: task.state for task in tasks} == {state: state for state in DISK}
    actions = {action.disk.state: action for action in plan(tasks, mode)}
    assert {state: action.verb for state, action in actions.items()} == dict.fromkeys(DISK, "wait") | verbs
    assert actions["interrupted"].reason == actions["pending"].reason == "job 17_3, ending"


@pytest.mark.parametrize(
    "had, asked, lacks",
    [
        ({}, {}, ""),
        ({"probes": ["weights", "paths"]}, {"probes": "weights"}, ""),
        (
            {"probes": "weights"},
            {"probes": ["weights", "paths"]},
            "not measured by paths in training; `study probe",
        ),
        ({}, {"probes": "weights", "probe_every": 5}, "not measured by weights in training"),
        (
            {"probes": "weights", "probe_every": 5},
            {"probes": "weights", "probe_every": 7},
            "probe_every was 5, not 7; ",
        ),
        ({"snapshot_every": 5}, {"snapshot_every": "epoch"}, "snapshot_every was 5, not epoch; "),
        ({}, {"snapshot_every": 10}, "snapshot_every was off, not 10; "),
        ({"snapshot_every": 5}, {}, ""),
    ],
    ids=str,
)
def test_a_plan_lists_measurements_that_finished_runs_lack(had, asked, lacks):
    words = missing_measurements(make_spec(**had), make_spec(**asked))
    assert words.startswith(lacks) and words.endswith("--mode force trains it again") == bool(words) == bool(lacks)
    assert words.count(" was ") == lacks.count(" was ")


def test_the_longest_runs_come_first_and_workers_get_equal_shares():
    specs = {run_id(s): s for s in (make_spec(depth=d) for d in (8, 56, 20))}
    assert [specs[chunk[0]].depth for chunk in packs(list(specs), specs)] == [56, 20, 8]
    small, large = (make_spec(data="image_folder", data__folder="mine", data__image_size=size) for size in (32, 64))
    assert cost(large) / cost(small) == pytest.approx(4, rel=0.01)
    specs = {
        run_id(s): s for s in (make_spec(network=n, depth=d) for n in ("plain", "residual") for d in (8, 20, 32, 56))
    }
    chunks = packs(list(specs), specs, size=16, workers=2)
    loads = [sum(cost(specs[r]) for r in chunk) for chunk in chunks]
    assert len(chunks) == 2 and max(loads) < 1.1 * min(loads)
    assert sorted(itertools.chain(*chunks)) == sorted(specs)
    assert [len(chunk) for chunk in packs(list(specs), specs, size=16)] == [8]
    assert len(packs(list(specs)[:1], specs, size=16, workers=4)) == 1


def test_a_pack_holds_runs_of_one_data_set_and_precision_and_streams_are_alone():
    variants = ({}, {"precision": "bf16"}, {"train_subset": 100}, {"data": "cifar10"})
    specs = {run_id(s): s for s in (make_spec(seed=i, **v) for v, i in itertools.product(variants, range(5)))}
    chunks = packs(list(specs), specs, size=3)
    assert sorted(len(chunk) for chunk in chunks) == [2] * 4 + [3] * 4
    for chunk in chunks:
        assert len({(specs[r].data, specs[r].precision, specs[r].train_subset) for r in chunk}) == 1
    assert sorted(itertools.chain(*chunks)) == sorted(specs)
    stream = {"data": "image_stream", "data.folder": "mine", "recipe__pad": 0}
    specs = {run_id(spec): spec for spec in (make_spec(**stream, seed=seed) for seed in range(3))}
    assert [len(pack) for pack in packs(list(specs), specs, 16)] == [1, 1, 1]


BY_SEED = """
fixed: {data: digits, recipe: quick}
blocks:
  - grid: {network: [plain], depth: [8], seed: [0, 1, 2]}
  - grid: {network: [residual], depth: [8], seed: [3, 4]}
  - grid: {network: [residual], depth: [14], seed: [1, 0]}
"""


@pytest.mark.parametrize("size", [1, 16])
def test_every_network_has_its_first_seed_before_any_has_a_second(size, tmp_path):
    (tmp_path / "mine.yaml").write_text(BY_SEED)
    first = {("plain", 8, 0), ("residual", 8, 3), ("residual", 14, 0)}
    second, third = {("plain", 8, 1), ("residual", 8, 4), ("residual", 14, 1)}, {("plain", 8, 2)}
    planned = plan_sweep(load(tmp_path / "mine.yaml"), tmp_path, seeds_first=True)
    specs = [planned.sweep.runs[run_id] for pack in planned.packs(size) for run_id in pack]
    order = [(spec.network, spec.depth, spec.seed) for spec in specs]
    assert set(order[:3]) == first and set(order[3:6]) == second and set(order[6:]) == third

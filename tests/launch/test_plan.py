from __future__ import annotations

import itertools

import pytest

from study.config.identity import run_id
from study.launch.plan.runs import cost, packs, plan
from study.store.runs import RunStatus
from tests.helpers import make_spec

DISK = {
    state: RunStatus(state, state, iteration=40, message="why")  # type: ignore[arg-type]
    for state in ("done", "diverged", "failed", "running", "interrupted", "pending")
}
VERBS = {
    "missing": {"failed": "leave", "interrupted": "resume", "done": "keep", "diverged": "keep"},
    "retry": {"failed": "retry", "interrupted": "resume", "done": "keep", "diverged": "keep"},
    "force": {"failed": "redo", "interrupted": "redo", "done": "redo", "diverged": "redo"},
}


@pytest.mark.parametrize("mode", VERBS)
def test_the_verb_of_each_state(mode: str) -> None:
    expected = VERBS[mode] | {"running": "wait", "pending": "start"}
    actions = plan(DISK, DISK, mode=mode)  # type: ignore[arg-type]
    assert {action.run_id: action.verb for action in actions} == expected
    assert [action.run_id for action in actions] == list(DISK)


def test_what_a_scheduler_holds_is_waited_for_in_every_mode() -> None:
    for mode in VERBS:
        [action] = plan(["pending"], DISK, {"pending": "job 17_3"}, mode)  # type: ignore[arg-type]
        assert action.verb == "wait" and action.reason == "job 17_3"


def test_a_result_on_disk_is_kept_though_its_job_is_not_gone_yet() -> None:
    [action] = plan(["done"], DISK, {"done": "job 17_3, completing"})
    assert action.verb == "keep"


def test_runs_that_the_sweep_does_not_name_are_left_alone() -> None:
    assert len(plan(["done"], DISK)) == 1


def test_the_longest_runs_come_first() -> None:
    specs = {run_id(s): s for s in (make_spec(depth=d) for d in (8, 56, 20))}
    assert [specs[chunk[0]].depth for chunk in packs(list(specs), specs)] == [56, 20, 8]
    assert cost(make_spec(depth=56)) > 2 * cost(make_spec(depth=20))


def test_a_pack_holds_runs_of_one_data_set_and_precision() -> None:
    variants = ({}, {"precision": "bf16"}, {"train_subset": 100}, {"data": "cifar10"})
    specs = {run_id(s): s for s in (make_spec(seed=i, **v) for v, i in itertools.product(variants, range(5)))}
    chunks = packs(list(specs), specs, size=3)
    assert sorted(len(chunk) for chunk in chunks) == [2] * 4 + [3] * 4
    for chunk in chunks:
        assert len({(specs[r].data, specs[r].precision, specs[r].train_subset) for r in chunk}) == 1
    assert sorted(itertools.chain(*chunks)) == sorted(specs)


def test_a_run_that_decodes_its_images_as_it_goes_is_alone() -> None:
    stream = {"data": "image_stream", "data.folder": "mine", "recipe__pad": 0}
    specs = {run_id(spec): spec for spec in (make_spec(**stream, seed=seed) for seed in range(3))}
    assert [len(pack) for pack in packs(list(specs), specs, 16)] == [1, 1, 1]


def test_what_a_run_costs_grows_with_its_images() -> None:
    small, large = (make_spec(data="image_folder", data__folder="mine", data__image_size=size) for size in (32, 64))
    assert cost(large) / cost(small) == pytest.approx(4, rel=0.01)
    assert cost(make_spec(data="cifar10")) == cost(small)


def test_packs_are_dealt_so_that_workers_have_as_much_to_do_as_one_another() -> None:
    specs = {
        run_id(s): s for s in (make_spec(network=n, depth=d) for n in ("plain", "residual") for d in (8, 20, 32, 56))
    }
    chunks = packs(list(specs), specs, size=16, workers=2)
    loads = [sum(cost(specs[r]) for r in chunk) for chunk in chunks]
    assert len(chunks) == 2 and max(loads) < 1.1 * min(loads)
    assert sorted(itertools.chain(*chunks)) == sorted(specs)
    assert [len(chunk) for chunk in packs(list(specs), specs, size=16)] == [8]
    assert len(packs(list(specs)[:1], specs, size=16, workers=4)) == 1

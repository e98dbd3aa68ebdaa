"""Runs that start from other runs: they are held back until these are done, and refused where these will never be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from study.config import stretching
from study.config.identity import point_id
from study.config.run import RunSpec
from study.errors import StudyError
from study.launch.plan.runs import WORK, Action
from study.store import runs as store
from study.store.find import all_runs, run_of_point
from study.store.runs import RunStatus


def settle(
    actions: Sequence[Action], specs: Mapping[str, RunSpec], disk: Mapping[str, RunStatus], results: Path
) -> list[Action]:
    """The actions, with `hold` for those that would begin a run before the one that it starts from is done.

    `disk` has the states of the sweep's own runs. One that has a checkpoint needs what it started from no more.

    Raises
    ------
    StudyError
        A line a run that can never begin: what it starts from is neither at hand nor in the sweep, has diverged, or
        can't be stretched so.
    """
    if not any(spec.start_from for spec in specs.values()):
        return list(actions)
    wrong: dict[str, None] = {}
    settled = []
    own = {(point_id(specs[action.run_id]), specs[action.run_id].seed): action for action in actions}
    for action in actions:
        spec = specs[action.run_id]
        begins = action.verb in WORK and (action.verb == "redo" or disk[action.run_id].iteration == 0)
        if begins and spec.start_from is not None:
            try:
                source = own.get((spec.start_from, spec.seed))
                why = _own(spec, source, specs, disk) if source else _elsewhere(spec, results)
            except StudyError as error:
                wrong[f"{spec.title} seed {spec.seed}: start_from: {error}"] = None
                continue
            if why:
                action = replace(
                    action, verb="hold", reason=f"starts from {spec.start_from} seed {spec.seed}, which {why}"
                )
        settled.append(action)
    if wrong:
        raise StudyError(*wrong)
    return settled


def _own(spec: RunSpec, source: Action, specs: Mapping[str, RunSpec], disk: Mapping[str, RunStatus]) -> str:
    """Why a run has to wait for one of its own sweep; empty when it need not."""
    stretching.check(specs[source.run_id], spec)
    state = disk[source.run_id].state
    if source.verb in WORK or state not in ("done", "diverged", "failed"):
        return "is not trained yet"
    return "" if state == "done" else f"has {state}"


def _elsewhere(spec: RunSpec, results: Path) -> str:
    """Why a run has to wait for one of another sweep; empty when it need not."""
    files = run_of_point(results, spec.start_from or "", spec.seed)
    if files is None:
        hint = ", ".join(_of_seed(results, spec.seed))
        there = f"; of that seed there is {hint}" if hint else ""
        raise StudyError(f"no run {spec.start_from} with seed {spec.seed} under {results}/{there}")
    stretching.check(store.read_spec(files), spec)
    state = store.status(files).state
    if state in ("diverged", "failed"):
        raise StudyError(f"{spec.start_from} with seed {spec.seed} has {state}, so nothing can start from it")
    return "" if state == "done" else "is not trained yet"


def _of_seed(results: Path, seed: int, most: int = 3) -> Iterator[str]:
    """Points that were trained with a seed: what might have been meant."""
    for files in list(all_runs(results, f"*-s{seed}-*").values())[:most]:
        with suppress(StudyError):  # of another version, or damaged
            yield point_id(store.read_spec(files))

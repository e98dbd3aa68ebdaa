"""Runs that start from other runs: they are held back until these are done, and are refused where these will never be there."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from study.errors import StudyError, nearest
from study.launch.plan import WORK, Action
from study.spec import stretching
from study.spec.run import RunSpec
from study.spec.sweep import Sweep
from study.store import runs as store
from study.store.layout import SweepFiles


def hold_back(actions: Sequence[Action], origins: Mapping[str, str], done: Collection[str]) -> list[Action]:
    """The actions, but with `hold` for those that would train a run before the one it starts from is done.

    `origins` maps a run id to the run id that it starts from.
    """
    return [
        replace(action, verb="hold", reason=f"starts from {origins[action.run_id]}, which is not trained yet")
        if action.verb in WORK and origins.get(action.run_id, "") not in ("", *done)
        else action
        for action in actions
    ]


def origins(sweep: Sweep) -> dict[str, str]:
    """Which run each run of a sweep starts from; runs that start from their seed are left out."""
    return {run_id: spec.start_from for run_id, spec in sweep.runs.items() if spec.start_from is not None}


def check(sweep: Sweep, files: SweepFiles) -> None:
    """Whether every run that another starts from is at hand or in the sweep, and can be stretched so.

    Raises
    ------
    StudyError
        A line a run that can never start.
    """
    wrong = []
    for run_id, origin in origins(sweep).items():
        spec = sweep.runs[run_id]
        try:
            stretching.check(_spec(sweep, files, origin), spec)
        except StudyError as error:
            wrong.append(f"{spec.title} seed {spec.seed}: start_from: {error}")
    if wrong:
        raise StudyError("\n".join(dict.fromkeys(wrong)))


def _spec(sweep: Sweep, files: SweepFiles, run_id: str) -> RunSpec:
    if run_id in sweep.runs:
        return sweep.runs[run_id]
    run = files.run(run_id)
    if not run.spec.exists():
        known = [path.parent.name for path in files.results.glob("*/runs/*/spec.json")]
        raise StudyError(f"no run '{run_id}' under {files.results}/{nearest(run_id, known) if known else ''}")
    return store.read_spec(run)

"""What `study sweep` does: plan, train or submit, measure surfaces, and show the results."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from study.cli.execute import execute, measure, print_plan, submit
from study.cli.options import complain, print_lines, working
from study.config import Mode
from study.config.differences import Named, named
from study.config.remarks import remarks, unused
from study.config.run import RunSpec
from study.config.surface import Surface
from study.config.sweep import Sweep
from study.errors import StudyError, printable
from study.launch.columns import hanging, room
from study.launch.forecast import forecast
from study.launch.local.pool import pool
from study.launch.local.terminal import runs_shown
from study.launch.machine import Machine
from study.launch.plan.state import Verb, count
from study.launch.plan.surface import of_sweep
from study.launch.slurm.profile import Profile
from study.launch.slurm.submissions import adopt_orphans
from study.launch.surface import with_bn
from study.launch.sweep import Planned, check, choose_executor, compared, open_packs, record
from study.store.collect import collect
from study.store.read import read_frame
from study.store.runs import ENDED
from study.text import counted

if TYPE_CHECKING:
    import pandas as pd


def run(planned: Planned, machine: Machine, profile: Profile, mode: Mode, figures: Path) -> int:
    """Do what is planned, and show the results; returns the exit code."""
    machine = replace(machine, executor=choose_executor(machine.executor))
    if machine.executor == "slurm" and math.isfinite(machine.deadline):
        raise StudyError(
            "--max-hours stops this command, and jobs go on without it: limit them by time and max_requeues in the profile"
        )
    surfaces, left_out = with_bn(planned.sweep.surfaces, planned.sweep.whole, machine.data_root)
    planned = replace(planned, sweep=replace(planned.sweep, surfaces=surfaces))
    if planned.work:
        check(planned, machine, profile)
    _print_remarks(planned)
    planned, said = compared(planned, machine.data_root)
    print_lines([*said, *left_out])
    if earlier := record(planned):
        also = f"note: {planned.sweep.name} also has {counted(earlier, 'run')} of earlier calls"
        apart = f"`name=...` keeps calls apart; to leave earlier ones out, remove {planned.files.sweep} first"
        print_lines([f"{also}, and its tables and figures show them. {apart}"])
    if machine.executor == "slurm":
        adopt_orphans(planned.files.results)
    if planned.work:
        if not _train(planned, machine, profile):
            return 130
    else:
        print_lines([_nothing_to_do(planned)])
        if count(planned.actions, "hold"):
            return 1
    code = _surfaces(planned, machine, profile, mode)
    if code == 130 or code is None or (planned.work and machine.executor == "slurm"):
        return 130 if code == 130 else 0
    return max(code, _show_results(planned, figures))


def dry(planned: Planned, machine: Machine, profile: Profile, measure: bool) -> None:
    """Print what would be done, and how long that takes; `measure` the speed of networks if it is unknown."""
    machine = replace(machine, executor=choose_executor(machine.executor))
    if measure and machine.executor == "slurm":
        raise StudyError(
            "--measure times this machine, and the jobs run on others: use it within a job, with --executor local"
        )
    _print_plan(*compared(planned, machine.data_root))
    if planned.work:
        if measure:
            check(planned, machine, profile)
        with working("reading earlier runs") as told:
            line = forecast(planned, machine, profile, told if measure else None)
        how = "within a job, add --measure --executor local" if machine.executor == "slurm" else "add --measure"
        unknown = f"unknown: not every network has an earlier run here; {how} to time the others"
        print_lines([f"time: {line or unknown}"])


def _surfaces(planned: Planned, machine: Machine, profile: Profile, mode: Mode) -> int | None:
    """Measure the surfaces that the sweep names, if their runs are trained; as `study.cli.execute.measure`."""
    if not (chosen := _chosen_surfaces(planned.sweep)):
        return 0
    request = of_sweep(planned.files, chosen, planned.sweep.whole)
    # A run that starts over takes its surfaces with it.
    try:
        return measure(request, machine, profile, "retry" if mode == "retry" else "missing")
    except StudyError as error:  # the runs' own results are shown all the same
        complain(*error.args)
        return 2


def _chosen_surfaces(sweep: Sweep) -> dict[str, Surface]:
    return {name: surface for name, surface in sweep.surfaces.items() if surface.run in sweep.runs}


def _train(planned: Planned, machine: Machine, profile: Profile) -> bool:
    """Train the runs, or submit them; False when interrupted."""
    work, files = planned.work, planned.files
    part = f"{len(work)} of {len(planned.actions)} runs"
    with working("reading earlier runs"):
        line = forecast(planned, machine, profile)
    told = [f"time: {line}"] if line else []
    if machine.executor == "slurm":
        print_lines(told)
        submit(files, open_packs(planned, profile.runs_per_gpu), profile, machine, "runs", part)
        return True
    mine = pool(machine, len(planned.sweep.runs))
    print_lines([f"{files.name}: {part} to train, into {files.folder}/", *told])
    packs = open_packs(planned, mine.pack_size, len(mine.devices))
    shown, ready = runs_shown(work, planned.sweep.runs), count(planned.actions, "keep")
    complete = execute(files, packs, mine, machine, shown, ready, "runs", "trained")
    collect(files, afresh=False)
    return complete


def _print_plan(planned: Planned, said: list[str]) -> None:
    runs, work = planned.sweep.runs, planned.work
    told = dict(zip(runs, named(runs.values()), strict=True))
    print_plan(
        [
            {
                "action": action.verb,
                "run": told[action.run_id].label,
                "data": runs[action.run_id].dataset,
                "recipe": _recipe(runs[action.run_id], told[action.run_id]),
                "id": action.run_id,
                "reason": action.reason,
            }
            for action in planned.actions
        ]
    )
    print_lines(said)
    number, whole = len(_chosen_surfaces(planned.sweep)), len(planned.sweep.whole)
    surfaces = f", {number} surfaces (see `study surface`)" if number else ""
    part = "" if len(planned.actions) == whole else f"{len(planned.actions)} of "
    todo = f"{len(work)} to train{surfaces}"
    print_lines([f"{planned.sweep.name}: {part}{counted(whole, 'run')}, {todo}; nothing was done"])
    _print_remarks(planned)


def _print_remarks(planned: Planned) -> None:
    """Print what finished runs lack, and settings without effect in the runs to train."""
    lacking = Counter(planned.lacking.values())
    print_lines(f"note: {counted(number, 'finished run')}: {words}" for words, number in lacking.items())
    said: Counter[tuple[str, str]] = Counter()
    for spec in planned.work.values():
        if told := remarks(spec):
            said[_recipe(spec, *named([spec])), "; ".join(told)] += 1
    print_lines(
        f"note: {recipe} ({number} of {len(planned.work)} runs): {text}" for (recipe, text), number in said.items()
    )
    print_lines(f"note: {line}" for line in unused(planned.work.values()))


def _recipe(spec: RunSpec, told: Named) -> str:
    """`he2015_cifar learning_rate=0.03`: the recipe's name and its changed fields, but for those in the run's name."""
    return " ".join([spec.recipe.name, *(f"{name}={value}" for name, value in told.changes.items())])


def _nothing_to_do(planned: Planned) -> str:
    verbs: dict[Verb, str] = {
        "keep": "finished",
        "wait": "in the queue",
        "hold": "waiting for the runs they start from",
        "leave": "failed (--mode retry tries again)",
    }
    ending = "in jobs that are ending (rerun this when they have ended)"
    counts = Counter(
        "in training" if one.disk.state == "running" else ending if one.reason.endswith(", ending") else verbs[one.verb]
        for one in planned.actions
    )
    words = [f"{counts.pop('finished', 0)} of {len(planned.actions)} runs are finished"]
    words += [f"{number} {what}" for what, number in counts.items()]
    return (
        f"{planned.sweep.name}: nothing is left to train; {', '.join(words)}; see `study status {planned.sweep.name}`"
    )


def _show_results(planned: Planned, figures: Path) -> int:
    """Print the final errors, the verdict's first answers, and the paths of tables and figures; returns the exit code."""
    from study.plotting.every import refresh

    with working("collecting the results") as told:
        collected = collect(planned.files, afresh=False)
        curves, runs = read_frame("curves", [planned.files.folder])
        lines = [f"{path.stem}: {path}" for path in collected]
        summary = ""
        if not curves.empty:
            told("comparing the networks")
            summary = _summary(curves, runs, planned.sweep.name)
            told("drawing the figures")
            lines += refresh(planned.files, planned.sweep.figures, figures / planned.sweep.name)
    print(summary)
    runs = runs[runs["run_id"].isin(list(planned.sweep.runs))]  # the summary is of the whole sweep
    failed = runs[runs["state"] == "failed"]
    print_lines(printable(f"failed: {run['run_id']}: {run['message']}") for _, run in failed.iterrows())
    others = runs[(runs["state"] != "failed") & (runs["message"] != "")]
    print_lines(printable(f"note: {run['run_id']}: {run['message']}") for _, run in others.iterrows())
    print_lines(lines)
    if planned.work and (left := int((~runs["state"].isin([*ENDED, "failed"])).sum())):
        busy = int((runs["state"] == "running").sum())  # this command's own workers have ended
        by = f", {busy} of them in training by another process" if busy else ""
        print(f"note: {left} runs are unfinished{by}; rerun to continue")
        return 1
    return 1 if len(failed) else 0


def _summary(curves: pd.DataFrame, runs: pd.DataFrame, name: str) -> str:
    """The final errors, and the answers to the verdict's first two questions, or which cures mend it."""
    from study.plotting.tables.errors import final_errors
    from study.plotting.tables.render import render
    from study.stats.cures import headline
    from study.stats.verdict import verdict

    found = verdict(curves, runs)
    if not found.cures.empty:
        lines = (hanging("", headline(here), room()) for _, here in found.cures.groupby("condition", sort=False))
        ways = f"`study verdict {name}` names them; `study table cures {name}` has their errors."
        return "\n".join(["", *lines, hanging("", ways, room()), ""])
    errors = final_errors(curves, runs).drop(columns=["train_clean_median", "test_median"])  # to fit a terminal
    table = render(errors, "text")
    paragraphs = [part.splitlines() for part in str(found).split("\n\n")]
    answers = [
        takewhile(lambda line: not line.startswith(" "), part) for part in paragraphs if part[0][:2] in ("1.", "2.")
    ]
    told = [hanging("", " ".join(answer), room()) for answer in answers[:2]]
    return "\n".join(["", table, *told, f"`study verdict {name}` has the comparisons.", ""])

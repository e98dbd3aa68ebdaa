"""The verbs that keep a results folder in order. As in `study.cli.app`, heavy imports are inside the verbs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from study.cli.options import DryRun, Results, What, WhatIfAny, complete_sweep, print_lines, sweep_files, working
from study.errors import StudyError, printable
from study.store.layout import SweepFiles
from study.text import counted, listed

if TYPE_CHECKING:
    from study.store.layout import RunFiles


def du(
    sweep: Annotated[
        str | None, typer.Argument(metavar="SWEEP", help="its runs", autocompletion=complete_sweep)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print bytes, an object per sweep or run")] = False,
    *,
    results: Results,
) -> None:
    """Show the disk space of each sweep, or of each run of one."""
    from rich.filesize import decimal

    from study.launch.columns import room, table
    from study.store.housekeeping import KINDS, usage

    found = None if sweep is None else _named(sweep, results)
    if found and not isinstance(found, SweepFiles):
        raise StudyError(f"{sweep}: is a run; name its sweep")
    folder = found.folder if found else results
    if not folder.is_dir():
        raise StudyError(f"{folder}/: no such folder; start a sweep with `study sweep FILE`")
    with working("adding up"):
        kinds_of = usage(folder, by_run=sweep is not None)
    counts = {
        name: {kind: kinds[kind] for kind in KINDS} | {"total": kinds.total()} for name, kinds in kinds_of.items()
    }
    counts = dict(sorted(counts.items(), key=lambda item: -item[1]["total"]))
    if as_json:
        print(json.dumps([{"name": name} | row for name, row in counts.items()], indent=1))
        return
    counts["total"] = {kind: sum(row[kind] for row in counts.values()) for kind in (*KINDS, "total")}
    shown = [
        {"name": printable(name), **{kind: decimal(n) for kind, n in row.items()}, "": ""}
        for name, row in counts.items()
    ]
    print(table(shown, room(), ("other", "snapshots", "surfaces"), (*KINDS, "total")), end="")


def prune(
    what: WhatIfAny = None,
    everything: Annotated[
        bool, typer.Option("--all", help="also those that unfinished runs and surfaces need")
    ] = False,
    dry_run: DryRun = False,
    *,
    results: Results,
) -> None:
    """Remove the checkpoints of finished runs.

    Of all sweeps, if none is named. Curves, tables, figures and all measurements stay. The networks are gone: nothing more can be
    measured on these runs.
    """
    from study.store.find import all_runs
    from study.store.housekeeping import needed
    from study.store.housekeeping import prune as work

    root = _finished(what, results, dry_run)
    runs = list(all_runs(root).values()) if what is None else _runs(_named(what, results))
    with working("looking for checkpoints"):
        print_lines(work(runs, {} if everything else needed(root), _queued(root), dry_run))


def rm(
    what: What,
    failed: Annotated[bool, typer.Option("--failed", help="remove the failed runs alone")] = False,
    dry_run: DryRun = False,
    *,
    results: Results,
) -> None:
    """Remove a sweep, or a run with its surfaces. Figures stay.

    A run that another sweep names too moves there when a sweep is removed. There is no way back: try --dry-run first.
    """
    from study.store.housekeeping import remove_runs, remove_sweep
    from study.store.runs import status

    root = _finished(what, results, dry_run)
    found = _named(what, results)
    with working("removing"):
        runs = [run for run in _runs(found) if not failed or status(run).state == "failed"]
        if isinstance(found, SweepFiles) and not failed:
            print_lines(remove_sweep(found, _queued(root), dry_run))
        elif runs:
            print_lines(remove_runs(runs, _queued(root), dry_run))
        else:
            print(f"{what}: no run has failed; nothing to remove")


def mv(
    old: Annotated[str, typer.Argument(metavar="OLD", help="a sweep", autocompletion=complete_sweep)],
    new: Annotated[str, typer.Argument(metavar="NEW", help="its new name")],
    dry_run: DryRun = False,
    *,
    results: Results,
) -> None:
    """Rename a sweep. Figures and reports keep its old name; draw them again."""
    from study.store.housekeeping import rename

    root = _finished(old, results, dry_run)
    with working("renaming"):
        print_lines(rename(sweep_files(old, results), new, _queued(root), dry_run))


def merge(
    folders: Annotated[list[str], typer.Argument(metavar="RESULTS", help="results folders, or sweeps in them")],
    dry_run: DryRun = False,
    *,
    results: Results,
) -> None:
    """Copy missing runs and surfaces from other results folders.

    Each is verified by its checksums. One that is finished there and not here replaces it; where both are finished and differ,
    both stay, and the exit code is 1.
    """
    from collections import Counter

    from study.store.merge import merge as work
    from study.store.merge import sources
    from study.text import user_path

    sweeps = [sweep for folder in folders for sweep in sources(user_path(folder), results)]
    wrong, _ = False, _finished(None, results, dry_run)
    with working("reading") as told:
        for sweep in sweeps:
            fates: Counter[str] = Counter()
            try:
                for fate in work(sweep, results, dry_run):
                    told(f"{sweep.name}: {fate.name}")
                    fates[fate.what] += 1
                    wrong = wrong or fate.what not in ("copied", "here already")
                    print_lines([printable(f"{fate.what}: {fate.name}: {fate.why}")] if fate.why else [])
            except StudyError as error:
                wrong = True
                print_lines([f"left out: {error}"])
            counts = listed(f"{number:,} {what}" for what, number in fates.items())
            print_lines([f"{printable(sweep.name)}: {counts or 'nothing'}{' (nothing was done)' * dry_run}"])
    raise typer.Exit(1 if wrong else 0)


def diff(
    one: Annotated[str, typer.Argument(metavar="A", help="a sweep, a run or a sweep file")],
    other: Annotated[str, typer.Argument(metavar="B", help="the same")],
    *,
    results: Results,
) -> None:
    """Show the fields in which two sweeps, runs or sweep files differ."""
    from study.config.differences import apart
    from study.launch.columns import room, table

    first, second = (_specs(name, results) for name in (one, other))
    found = [("", one, other), *apart(first.values(), second.values())]
    rows = [{"field": name, "a": printable(a), "b": printable(b)} for name, a, b in found]
    print(table(rows, room(), (), heads=False), end="")
    both, sides = (
        first.keys() & second.keys(),
        ((one, first.keys() - second.keys()), (other, second.keys() - first.keys())),
    )
    alone = ", ".join(f"{counted(len(runs), 'run')} in {printable(name)} alone" for name, runs in sides)
    print_lines([f"{'' if rows[1:] else 'no field differs; '}{counted(len(both), 'run')} in both, {alone}"])


# -- what the arguments name ----------------------------------------------------------------------------------------------


def _finished(name: str | None, results: Path, dry_run: bool) -> Path:
    """The results folder that a name is looked up in, after removing what a killed command left there."""
    from study.store.files import sweep_away_temporaries

    root = results if name is None else sweep_files(name, results).results
    if not dry_run:
        sweep_away_temporaries(root)
    return root


def _named(name: str, results: Path) -> SweepFiles | RunFiles:
    """A sweep, or else the one run whose id begins so."""
    from study.store.find import one_run, sweep_names

    files = sweep_files(name, results)
    return files if files.name in sweep_names(files.results) else one_run(files)


def _runs(found: SweepFiles | RunFiles) -> list[RunFiles]:
    from study.store.sweeps import read_sweep

    if not isinstance(found, SweepFiles):
        return [found]
    return [found.run(name) for name in read_sweep(found)["runs"]] if found.sweep.exists() else []


def _specs(name: str, results: Path) -> Mapping[str, Mapping[str, Any]]:
    """The specs of the runs that a sweep file, a sweep or a run's id names."""
    from study.config.ready import find_sweep_file
    from study.config.sweep import load
    from study.store.runs import stored_spec
    from study.store.sweeps import read_sweep

    if name.endswith((".yaml", ".yml")):
        return {key: spec.model_dump(mode="json") for key, spec in load(find_sweep_file(name)).whole.items()}
    found = _named(name, results)
    return read_sweep(found)["runs"] if isinstance(found, SweepFiles) else {found.run_id: stored_spec(found)}


def _queued(results: Path) -> dict[str, str]:
    from study.launch.slurm.submissions import places

    todo = {True: "try again when it has ended", False: "`study cancel` it first"}
    return {task: f"{place}; {todo[place.ending]}" for task, place in places(results).items() if place.waiting}

"""The verbs that watch runs and end jobs. As in `study.cli.app`, heavy imports are inside the verbs."""

from __future__ import annotations

import json
import time
from typing import Annotated

import typer

from study.cli.options import Results, SweepName, What, sweep_files, working
from study.errors import printable


def status(
    sweep: SweepName,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="refresh until Ctrl-C")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print one object per run, then one per surface")] = False,
    *,
    results: Results,
) -> None:
    """Show state, iteration, error, speed and time left of each run."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from study.launch.columns import NO_LIMIT, room
    from study.launch.status import picture, report, surfaces

    files = sweep_files(sweep, results)
    if as_json:
        print(json.dumps([*report(files), *surfaces(files)], indent=1))
        return

    def now(lines: int = NO_LIMIT) -> Text:
        records = [report(files), surfaces(files)]
        pictures = [picture(part, room(), lines // 2 if records[1] else lines) for part in records if part]
        return Text("\n\n").join(pictures)

    console = Console()
    if not watch:
        console.print(now(), no_wrap=True, overflow="ignore", crop=False)
        return
    with Live(console=console, auto_refresh=False, screen=console.is_terminal) as live:
        while True:
            live.update(now(console.height - 8), refresh=True)
            time.sleep(2)


def logs(
    run: Annotated[str, typer.Argument(metavar="RUN", help="run id, or a unique prefix of it")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="keep printing until Ctrl-C")] = False,
    *,
    results: Results,
) -> None:
    """Print the log of a run across all its attempts."""
    from study.launch.status import follow_log
    from study.store.find import find_run

    for text in follow_log(find_run(results, run), follow):
        print("\n".join(map(printable, text.split("\n"))), end="", flush=True)


def cancel(what: What, *, results: Results) -> None:
    """Cancel the SLURM jobs of a sweep or run; they checkpoint first."""
    from study.launch.slurm.submissions import cancel as cancel_jobs

    for line in cancel_jobs(results, what):
        print(line)


def collect(sweep: SweepName, *, results: Results) -> None:
    """Collect the results of a sweep into Parquet files."""
    from study.store.collect import collect as gather

    with working("collecting the results"):
        paths = gather(sweep_files(sweep, results))
    print(*paths, sep="\n")

"""Verbs for figures, tables, verdict and report. As in `study.cli.app`, heavy imports are inside the verbs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from study.cli.options import Results, SweepName, Use, at_home, complete_sweep, print_lines, sweep_files, working
from study.errors import StudyError

if TYPE_CHECKING:
    import pandas as pd

Sweeps = Annotated[list[str], typer.Argument(metavar="SWEEP", help="names or files", autocompletion=complete_sweep)]
StyleName = Annotated[str, typer.Option("--style", help="paper, or talk (larger text and lines)")]
Width = Annotated[
    str | None, typer.Option("--width", metavar="column|page|INCHES", help="printed width [default: the figure's own]")
]
Bare = Annotated[bool, typer.Option("--bare", help="leave headers and notes to the caption, for a paper")]
Out = Annotated[Path | None, typer.Option(callback=at_home, help="folder [default: figures/<sweep>]")]
Formats = Annotated[str, typer.Option("--formats", help="comma-separated: pdf, png, svg")]


def _complete_figure(incomplete: str) -> list[str]:
    from study.config.registry import FIGURES

    return [name for name in FIGURES if name.startswith(incomplete)]


def _frames(sweeps: list[str], results: Path, needs: str = "curves") -> tuple[pd.DataFrame, pd.DataFrame | None]:
    from study.store.read import read_frame

    return read_frame(needs, [sweep_files(name, results).folder for name in sweeps])


def _look(width: str | None, bare: bool) -> dict[str, str | bool]:
    return {key: value for key, value in (("width", width), ("bare", bare)) if value}


def figure(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="see `study list figures`", autocompletion=_complete_figure)
    ],
    sweeps: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SWEEP [OPTION=VALUE]",
            help="sweeps, then figure options such as of=error seed=1",
            autocompletion=complete_sweep,
        ),
    ] = None,
    style: StyleName = "paper",
    width: Width = None,
    bare: Bare = False,
    formats: Formats = "pdf,png,svg",
    out: Out = None,
    *,
    use: Use = None,
    results: Results,
) -> None:
    """Draw one figure, with its caption and its data as CSV."""
    from study.config.yaml import scalar
    from study.plotting import check, save

    words = [word.partition("=") for word in sweeps or ()]
    said = {key: text for key, equals, text in words if equals}
    options = {"style": style, **_look(width, bare)} | {
        key: text if key == "style" else scalar(text) for key, text in said.items()
    }
    named = [word for word, equals, _ in words if not equals]
    needs = check(name, options).needs
    if not named:
        raise StudyError("name at least one sweep")
    folder = out or Path("figures") / sweep_files(named[0], results).name
    with working(f"drawing {name}"):
        frame, runs = _frames(named, results, needs)
        paths = save(name, frame, runs, folder, formats=tuple(formats.split(",")), sweeps=named, **options)
    print(*paths, sep="\n")


def figures(
    sweeps: Sweeps,
    style: StyleName = "paper",
    width: Width = None,
    bare: Bare = False,
    formats: Formats = "pdf,png,svg",
    out: Out = None,
    *,
    use: Use = None,
    results: Results,
) -> None:
    """Draw every figure that the data allow, and list the others."""
    from study.plotting.every import draw_all

    named = [sweep_files(name, results) for name in sweeps]
    folder = out or Path("figures") / named[0].name
    with working("drawing figures"):
        folders = [files.folder for files in named]
        for line in draw_all(folders, folder, tuple(formats.split(",")), style=style, **_look(width, bare)):
            print_lines([line])


def report(
    sweep: SweepName,
    out: Annotated[
        Path | None, typer.Option(callback=at_home, help="file [default: figures/<sweep>/report.html]")
    ] = None,
    *,
    use: Use = None,
    results: Results,
) -> None:
    """Write all results of a sweep as one HTML page."""
    from study.reporting import place, write

    files = sweep_files(sweep, results)
    path = out or place(files.name)
    if path.is_dir():
        raise StudyError(f"{path} is a folder; give --out a file name")
    with working("reading the results") as told:
        line = write(files, path, told)
    print(line)


def table(
    name: Annotated[str, typer.Argument(metavar="NAME", help="see `study list tables`")],
    sweeps: Sweeps,
    fmt: Annotated[str, typer.Option("--format", help="text, md, latex, html or csv")] = "text",
    *,
    use: Use = None,
    results: Results,
) -> None:
    """Print a table as text, Markdown, LaTeX or CSV."""
    from study.plotting import check_table
    from study.plotting import table as make
    from study.plotting.tables.render import render

    with working("reading the results"):
        text = render(make(name, *_frames(sweeps, results, check_table(name).needs)), fmt)
    print(text, end="")


def verdict(
    sweeps: Sweeps,
    fmt: Annotated[str, typer.Option("--format", help="text, md, html or json")] = "text",
    pair: Annotated[
        str | None, typer.Option(metavar="FIELD=A,B", help="compare two components instead: block=basic,ghost")
    ] = None,
    *,
    results: Results,
) -> None:
    """Report whether depth hurts and whether shortcuts mend it.

    Paired significance tests of the training error; docs/statistics.md has the definitions.
    """
    from study.stats import pairing
    from study.stats import verdict as verdicts

    with working("comparing the networks"):
        frames = _frames(sweeps, results)
        if pair is None:
            text = verdicts.render(verdicts.verdict(*frames), fmt)
        else:
            text = pairing.render(pairing.compare(*frames, pair), fmt)
    print(text, end="")


def export(
    sweep: SweepName,
    fmt: Annotated[
        Literal["vts", "csv", "tensorboard", "xarray"],
        typer.Option("--format", help="vts: 2-D surfaces for ParaView; the others: curves, runs and probes"),
    ] = "vts",
    split: Annotated[str, typer.Option(help="height of a .vts file: loss on train or test")] = "train",
    out: Out = None,
    *,
    results: Results,
) -> None:
    """Write surfaces, curves and probes for other programs."""
    from study.plotting.surfaces.export import export_all
    from study.reporting.export import export as write
    from study.store.read import read_surfaces

    files = sweep_files(sweep, results)
    folder = out or Path("figures") / files.name
    with working("reading the results") as told:
        if fmt == "vts" and (surfaces := read_surfaces(files.folder)).empty:
            raise StudyError(f"{files.name} has no measured surface to write as .vts; --format csv writes its curves")
        lines = export_all(surfaces, folder, split) if fmt == "vts" else write(files.folder, folder, fmt)
        for line in lines:
            told(f"wrote {line}")
            print_lines([line])

"""A sweep as one HTML page: a pure function from frames and pictures to text. Equal input gives equal text.

Names, messages and layers come from files of strangers. In the page's HTML they pass through Jinja's escaping, in its data
through `embedded`, and the scripts put them in place as text alone; the page's policy lets no other script run, and nothing
be fetched.
"""

from __future__ import annotations

import gzip
import json
from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from study.config.registry import TABLES
from study.errors import StudyError
from study.plotting import table as make_table
from study.plotting.tables.render import Layout, laid_out, render
from study.reporting import curves, surface
from study.reporting import payload as runs
from study.reporting.album import Picture, Undrawn
from study.reporting.evidence import Evidence
from study.stats import report
from study.stats.verdict import verdict
from study.version import VERSION

HERE = Path(__file__).parent
SCRIPTS = ("report.js", "curves.js", "surface.js", "runs.js")
PLAIN = 64_000
"""Bytes of a CSV beyond which it is compressed."""


class Table(NamedTuple):
    """A registered table, for people, and its CSV."""

    name: str
    summary: str
    layout: Layout
    csv: bytes


def page(found: Evidence, pictures: Sequence[Picture | Undrawn]) -> str:
    """The page.

    Parameters
    ----------
    pictures
        As `study.reporting.album.pictures` gives them.

    Raises
    ------
    StudyError
        A frame that lacks columns, or surfaces without plotly.
    """
    lines, planned = found.read("curves")[0], found.runs
    surfaces = surface.payload(found.read("surfaces")[0])
    data: dict[str, Any] = {"name": found.name, "curves": None, "surfaces": surfaces}
    data["runs"] = runs.payload(lines, planned)
    nothing = ""
    try:
        data["curves"] = curves.payload(lines, planned)
    except StudyError as error:  # of runs that were not evaluated yet
        nothing = str(error)
    tables, unmade = _tables(found)
    script = "\n".join((HERE / name).read_text("utf-8") for name in SCRIPTS)
    library = plotly() if surfaces else ""
    return _environment().get_template("template.html.j2").render(
        name=found.name,
        description=found.description,
        state=runs.state_line(planned),
        facts=runs.facts(planned),
        verdict=_verdict(found),
        data=data,
        nothing=nothing,
        pictures=[one for one in pictures if isinstance(one, Picture)],
        undrawn=[one for one in pictures if isinstance(one, Undrawn)],
        tables=tables,
        unmade=unmade,
        script=Markup(script),
        style=Markup((HERE / "report.css").read_text("utf-8")),
        policy=_policy([script, library] if library else [script]),
        library=Markup(packed(library)) if library else "",
        version=VERSION,
    )  # fmt: skip


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters |= {"embedded": embedded, "data_uri": data_uri, "csv_link": csv_link}
    return made


def _policy(scripts: Sequence[str]) -> str:
    """The content security policy: the page's own scripts by their hashes, its pictures, and nothing else."""
    hashes = " ".join(f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "  # plotly styles inline
        "base-uri 'none'; form-action 'none'"
    )


def embedded(data: Any) -> Markup:
    """JSON that is safe within `<script type="application/json">`: it holds no `<`, so it can end nothing."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026"))


def data_uri(content: bytes, kind: str) -> str:
    """The content as an address of its own."""
    return f"data:{kind};base64,{b64encode(content).decode()}"


class Link(NamedTuple):
    """A file to save: its address, its name, and what is written on the link."""

    uri: str
    file: str
    text: str


def csv_link(content: bytes, name: str) -> Link:
    """The link to a CSV; compressed where it is large, which pandas reads as it is."""
    if len(content) <= PLAIN:
        return Link(data_uri(content, "text/csv"), f"{name}.csv", f"CSV, {_size(content)}")
    small = gzip.compress(content, mtime=0)
    return Link(data_uri(small, "application/gzip"), f"{name}.csv.gz", f"CSV, gzip, {_size(small)}")


def _size(content: bytes) -> str:
    return f"{max(1, round(len(content) / 1000)):,} kB"


@cache
def packed(script: str) -> str:
    """A large script as the page unpacks it, in under half the room."""
    return b64encode(gzip.compress(script.encode(), mtime=0)).decode()


def plotly() -> str:
    """The text of plotly.js."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise StudyError("plotly draws the surfaces of a report, and is not installed: pip install plotly") from None
    text: str = get_plotlyjs()
    return text


def _verdict(found: Evidence) -> Markup:
    """The verdict, or the reason why there is none."""
    try:
        return Markup(report.render(verdict(*found.read("curves")), "html"))
    except StudyError as error:
        return Markup('<p class="note">{}</p>').format(error)


def _tables(found: Evidence) -> tuple[list[Table], list[Undrawn]]:
    made: list[Table] = []
    unmade = []
    for name, entry in TABLES.items():
        try:
            table = make_table(name, *found.read(entry.needs))
        except StudyError as error:
            unmade.append(Undrawn(name, str(error)))
        else:
            made.append(Table(name, entry.summary, laid_out(table), render(table, "csv").encode()))
    return made, unmade

"""A sweep as one HTML page: a pure function from frames and pictures to text. Equal input gives equal text.

Names, messages and layers may come from strangers' files. Jinja escapes them in the page's HTML and `embedded` in its data;
the scripts insert them as text. The page's content security policy lets no other script run, and nothing be fetched.
"""

from __future__ import annotations

import gzip
import json
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from study.config.registry import TABLES
from study.errors import StudyError
from study.plotting import table as make_table
from study.plotting.tables.render import laid_out, render
from study.reporting import curves, runs, surfaces
from study.reporting.evidence import FIRST, Evidence, Picture
from study.stats.verdict import render as worded
from study.stats.verdict import verdict
from study.version import VERSION

HERE = Path(__file__).parent
SCRIPTS = ("page.js", "plots.js")
PLAIN = 64_000
"""Bytes of a CSV beyond which it is compressed."""
MOST_BYTES = 4_000_000
"""Of a Parquet file; a larger one is not embedded."""
KINDS = {
    "pdf": "application/pdf", "csv": "text/csv", "tex": "text/x-tex", "parquet": "application/vnd.apache.parquet",
    "csv.gz": "application/gzip",
}  # fmt: skip
Made = TypeVar("Made")


def page(found: Evidence, pictures: Mapping[str, Picture | str]) -> str:
    """Render the page; `pictures` as from `study.reporting.evidence.pictures`."""
    lines, planned = found.read("curves")[0], found.runs
    data = {
        "curves": _or_why(lambda: curves.payload(lines, planned)),
        "surfaces": surfaces.payload(found.read("surfaces")[0]),
    }
    undrawn = [data["curves"]] if isinstance(data["curves"], str) else []
    script = "\n".join((HERE / name).read_text("utf-8") for name in SCRIPTS)
    library = plotly() if data["surfaces"] or not undrawn else ""
    drawn = {name: one for name, one in pictures.items() if isinstance(one, Picture)}
    return _environment().get_template("page.html.j2").render(
        found=found,
        state=runs.state_line(planned),
        facts=runs.facts(planned),
        runs=runs.listed(lines, planned),
        verdict=_or_why(lambda: Markup(worded(verdict(lines, planned), "html"))),
        data=data | {"curves": None if undrawn else data["curves"]},
        parquet=[*_parquet(lines, "curves", ["run_id", "iteration", "split"]), *_parquet(planned, "runs", ["run_id"])],
        nothing=undrawn,
        first=[drawn[name] for name in FIRST if name in drawn],
        pictures=[one for name, one in drawn.items() if name not in FIRST],
        undrawn=[(name, one) for name, one in pictures.items() if name not in drawn],
        tables={name: _or_why(partial(_table, found, name)) for name in TABLES},
        summaries={name: entry.summary for name, entry in TABLES.items()},
        script=Markup(script),
        style=Markup((HERE / "page.css").read_text("utf-8")),
        policy=_policy([script, library] if library else [script]),
        library=Markup(packed(library)) if library else "",
        version=VERSION,
    )  # fmt: skip


def _or_why(make: Callable[[], Made]) -> Made | str:
    """What is made, or the reason why the data do not suffice."""
    try:
        return make()
    except StudyError as error:
        return str(error)


def _table(found: Evidence, name: str) -> dict[str, Any]:
    table = make_table(name, *found.read(TABLES[name].needs))
    files = [link(render(table, fmt).encode(), name, kind) for fmt, kind in (("csv", "csv"), ("latex", "tex"))]
    return {"layout": laid_out(table), "files": files}


def _parquet(frame: pd.DataFrame, name: str, key: list[str]) -> list[Link]:
    """The download of a frame, if it is not too large."""
    file = BytesIO()
    frame.sort_values(key, ignore_index=True).to_parquet(file)
    return [link(file.getvalue(), name, "parquet")] if file.tell() <= MOST_BYTES else []


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters |= {"embedded": embedded, "data_uri": data_uri, "title": _title}
    made.globals |= {"link": link}
    return made


def _policy(scripts: Sequence[str]) -> str:
    """The content security policy: the page's own scripts by their hashes, its pictures, and nothing else."""
    hashes = " ".join(f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "  # plotly styles inline
        "base-uri 'none'; form-action 'none'"
    )


def embedded(data: Any) -> Markup:
    """JSON that is safe within `<script type="application/json">`: without `<` it cannot end the element."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026"))


def data_uri(content: bytes, kind: str) -> str:
    """The content as a data URI."""
    return f"data:{kind};base64,{b64encode(content).decode()}"


def _title(summary: str) -> str:
    """A summary as a heading."""
    return summary[0].upper() + summary[1:]


class Link(NamedTuple):
    """A download: its URI, its file name, and the text of the link."""

    uri: str
    file: str
    text: str


def link(content: bytes, name: str, kind: str) -> Link:
    """The download of a file of one of `KINDS`; a large CSV is compressed."""
    if kind == "csv" and len(content) > PLAIN:
        content, kind = gzip.compress(content, mtime=0), "csv.gz"
    size = f"{max(1, round(len(content) / 1000)):,} kB"
    return Link(data_uri(content, KINDS[kind]), f"{name}.{kind}", f"{name}.{kind}, {size}")


@cache
def packed(script: str) -> str:
    """A large script, compressed to less than half."""
    return b64encode(gzip.compress(script.encode(), mtime=0)).decode()


def plotly() -> str:
    """The text of plotly.js."""
    from plotly.offline import get_plotlyjs

    text: str = get_plotlyjs()
    return text

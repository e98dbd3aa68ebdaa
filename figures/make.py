"""Regenerate what the repository shows of its results: figures, verdicts, and the numbers in its pages.

    python figures/make.py [SWEEP...]  # figures/reference/ from results/reference/, then the numbers in PAGES
    python figures/make.py --pages     # the numbers only
    python figures/make.py --check     # exit status 1 if the numbers are out of date

In a page, the lines between `<!-- study table errors quickstart --format md --results results/reference -->` and
`<!-- end -->` are the output of that command; the line after `<!-- made quickstart -->` names the machine and time of a sweep.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

import study

ROOT = Path(__file__).parent.parent
RESULTS, FIGURES = "results/reference", "figures/reference"
"""No command writes there by default."""
COLOURS = 128
"""Of a picture."""
LARGEST = 500_000
"""Bytes of a picture, or of a CSV: those of planes only repeat the results."""
PAGES = ("README.md", "results/README.md")
BLOCK = re.compile(r"(?<=<!-- )(study (?:table|verdict) [\w./ -]+|made [\w-]+)( -->\n).*?(?=<!-- end -->)", re.DOTALL)


def sweeps() -> list[str]:
    """The sweeps whose results are in the repository."""
    return sorted(path.parent.name for path in (ROOT / RESULTS).glob("*/curves.parquet"))


def call(*words: str) -> str:
    """The output of `study WORDS`. Exits if it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "study", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"study {shlex.join(words)}: {done.stderr}")
    return done.stdout


def draw(sweep: str) -> None:
    """Draw all figures of a sweep, and write its verdict."""
    folder = ROOT / FIGURES / sweep
    where = (sweep, "--results", RESULTS)
    call("figures", *where, "--formats", "pdf,png", "--out", str(folder))
    for path in folder.glob("*.png"):
        shrink(path)
        if path.stat().st_size > LARGEST:
            for form in folder.glob(f"{path.stem}.*"):
                form.unlink()
    for path in folder.glob("*.csv"):
        if path.stat().st_size > LARGEST:
            path.unlink()
    (folder / "verdict.md").write_text(call("verdict", *where, "--format", "md"))


def shrink(path: Path) -> None:
    """Reduce a PNG to `COLOURS` colours: a third of the bytes, with no visible difference."""
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        told = PngInfo()  # how the picture was made
        for key, text in image.text.items():
            told.add_text(key, text)
        small.save(path, optimize=True, dpi=image.info["dpi"], pnginfo=told)


def made(sweep: str) -> str:
    """One line with the machine and the time of a sweep."""
    runs = study.read_runs(ROOT / RESULTS / sweep)

    def of(column: str) -> str:
        return ", ".join(sorted(set(runs[column].dropna().map(str))))

    wall, trained = ((runs["finished"].max() - runs["started"].min()).total_seconds(), runs["seconds"].sum())
    took, training = (str(timedelta(seconds=round(seconds))) for seconds in (wall, trained))
    return (
        f"{len(runs)} runs, {training} of training in {took} on {of('device')}; {of('cpu')}, {of('threads')} threads a run, "
        f"torch {of('torch')}, Python {of('python')}.\n"
    )


def filled(text: str) -> str:
    """A page with up-to-date numbers."""

    def block(found: re.Match[str]) -> str:
        verb, *words = shlex.split(found[1])
        if verb == "made":
            content = made(*words)
        elif words[0] == "verdict":
            content = "".join(
                f"> {one['headline']}\n" for one in json.loads(call(*words, "--format", "json"))["findings"]
            )
        else:
            content = call(*words)
        return f"{found[1]}{found[2]}{content}"

    return BLOCK.sub(block, text)


def stale() -> list[str]:
    """The pages whose numbers are out of date."""
    return [name for name in PAGES if filled(text := (ROOT / name).read_text()) != text]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweeps", nargs="*", metavar="SWEEP", help="default: all")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--pages", action="store_true", help="draw nothing")
    what.add_argument("--check", action="store_true", help="write nothing")
    told = parser.parse_args()
    if told.check:
        found = stale()
        sys.exit(f"out of date: {', '.join(found)}; run python figures/make.py --pages" if found else 0)
    for sweep in [] if told.pages else told.sweeps or sweeps():
        print(sweep, flush=True)
        draw(sweep)
    for name in PAGES:
        (ROOT / name).write_text(filled((ROOT / name).read_text()))


if __name__ == "__main__":
    main()

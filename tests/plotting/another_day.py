"""Draws figures a day later, for a caller with loud settings: `another_day.py FOLDER NAME=FORMAT,FORMAT...`.

It reads `FOLDER/NAME.frames` for each name, and prints which heavy modules `import study.plotting` loads, and whether torch
was imported in the end.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import study.plotting


def main(folder: str, *wanted: str) -> None:
    print("imported:", [name for name in ("pandas", "matplotlib", "torch") if name in sys.modules])
    import matplotlib
    import pandas as pd

    from study.plotting.tables.errors import final_errors

    real = time.time
    time.time = lambda: real() + 86_400
    loud = {"lines.linewidth": 7.0, "font.size": 20.0, "axes.facecolor": "red", "savefig.dpi": 20.0}
    matplotlib.rcParams.update(loud)
    before = dict(matplotlib.rcParams)
    for name, formats in (one.split("=") for one in wanted):
        frame, runs = pd.read_pickle(Path(folder, f"{name}.frames"))
        study.plotting.save(name, frame, runs, Path(folder), formats=formats.split(","))
        assert dict(matplotlib.rcParams) == before, f"{name} leaves settings behind"
    final_errors(*pd.read_pickle(Path(folder, "errors.frames")))
    print("torch:", "torch" in sys.modules)


if __name__ == "__main__":
    main(*sys.argv[1:])

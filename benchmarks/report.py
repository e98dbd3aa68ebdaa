"""Time to write the report of 100 runs, and to open it in headless Chromium (Debian's chromium and chromium-driver).

    python -m benchmarks.report [--runs 100]

Opening is measured from the request to the drawn curves, and from scrolling to the surfaces to their being drawn, with software
rendering. Medians of five.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from study.reporting.evidence import pictures
from study.reporting.page import page
from tests.plotting.conftest import study
from tests.plotting.planes import four
from tests.reporting.chromium import Browser, started
from tests.reporting.sweeps import found

OPENINGS = 5
DRAWN = "return document.getElementById('main').dataset.ready && performance.now()"
READY = "return document.getElementById('main').dataset.ready == 'surfaces'"
SHOW = "document.getElementById('surface-panels').scrollIntoView({ block: 'center', behavior: 'instant' })"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    count = parser.parse_args().runs
    curves, runs = study(depths=(20, 32, 44, 56, 110), seeds=count // 10)
    evidence = found(curves, runs, four(shape=(51, 51)))
    began = time.perf_counter()
    drawings = pictures(evidence)
    drawn = time.perf_counter()
    text = page(evidence, drawings)
    print(f"{len(runs)} runs, {len(curves):,} points of curves, 4 surfaces of 51 x 51")
    print(f"figures drawn          {drawn - began:6.2f} s")
    print(f"page made              {time.perf_counter() - drawn:6.2f} s, {len(text) / 1e6:.1f} MB")
    with tempfile.TemporaryDirectory() as name, started() as browser:
        path = Path(name) / "report.html"
        path.write_text(text, "utf-8")
        opened, surfaces = zip(*(opening(browser, path) for _ in range(OPENINGS)), strict=True)
    print(f"opened, curves drawn   {statistics.median(opened):6.2f} s")
    print(f"surfaces drawn         {statistics.median(surfaces):6.2f} s after they come into sight")


def opening(browser: Browser, path: Path) -> tuple[float, float]:
    """Seconds until the curves are drawn, and until the surfaces are."""
    browser.open(path)
    curves = browser.wait(DRAWN) / 1000
    began = time.perf_counter()
    browser.run(SHOW)
    browser.wait(READY, 120)
    return curves, time.perf_counter() - began


if __name__ == "__main__":
    main()

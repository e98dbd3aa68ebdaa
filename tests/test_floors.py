"""Only the floors that train import torch, and the front door says what there is (import-linter holds the floors)."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import study

PACKAGE = Path(study.__file__).parent
IMPORTS = [
    "import study, study.cli.app",
    "import study.config.sweep, study.config.schema",
    "import study.store.collect, study.store.runs",
    "import study.networks.shape",
    "import study.launch.sweep, study.launch.status, study.launch.local.terminal, study.cli.catalogue",
    "import study.launch.slurm.submit, study.launch.slurm.cancel, study.launch.slurm.profile",
    "import study.stats.verdict, study.stats.report",
    "import study.plotting.curves.degradation, study.plotting.curves.depth_error, study.plotting.tables.errors",
    "import study.plotting.surfaces.contours, study.plotting.surfaces.line1d, study.plotting.surfaces.export",
    "import study.plotting.surfaces.relief, study.plotting.surfaces.trajectory, study.plotting.surfaces.hessian_ratio",
    "import study.plotting.probes.spectrum, study.plotting.probes.responses",
    "import study.reporting.page, study.reporting.write, study.launch.status",
]
EACH_ALONE = """
import json, os, sys, traceback
import jinja2, matplotlib.figure, matplotlib.style, numpy, pandas, pyarrow.parquet, pydantic, rich.console, scipy.stats, typer
assert not any(name.partition('.')[0] == 'study' for name in sys.modules)
for statement in sys.argv[1:]:
    child = os.fork()
    if not child:
        wrong = ''
        try:
            exec(statement)
            wrong = ' '.join({'torch', 'torchvision'} & set(sys.modules))
        except BaseException:
            wrong = traceback.format_exc()
        print(json.dumps([statement, wrong]), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""
"""What is not ours is imported once. Each statement then has a process of its own, in which nothing of ours was imported."""


@pytest.fixture(scope="module")
def wrong() -> dict[str, str]:
    """Of each of `IMPORTS` what is wrong with it, or nothing."""
    command = [sys.executable, "-c", EACH_ALONE, *IMPORTS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(line) for line in done.stdout.splitlines())


@pytest.mark.parametrize("statement", IMPORTS)
def test_what_plans_looks_and_draws_imports_no_torch(statement: str, wrong: dict[str, str]) -> None:
    assert wrong[statement] == ""


def test_public_names_are_listed_and_typed() -> None:
    code = "import study, sys; print(' '.join(dir(study)), '|', ' '.join(m for m in ('torch', 'pandas') if m in sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    listed, heavy = out.split("|")
    assert {*study.__all__, "__version__"} <= set(listed.split()) and not heavy.strip()
    assert all(getattr(study, name) is not None for name in study.__all__)
    # A type checker follows the imports, which it alone sees, and believes a package that says it is typed.
    assert set(study.__all__) <= set(imported(PACKAGE / "__init__.py"))
    assert (PACKAGE / "py.typed").exists()


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names)

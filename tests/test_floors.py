"""Only the floors that train import torch; the package lists its public names (import-linter checks the floors)."""

import ast
from pathlib import Path

import study
from tests.helpers import python

PACKAGE = Path(study.__file__).parent
IMPORTS = [
    "import study, study.cli.app",
    "import study.config.sweep, study.config.schema",
    "import study.store.collect, study.store.runs, study.store.housekeeping, study.store.merge",
    "import study.networks.shape",
    "import study.launch.sweep, study.launch.status, study.launch.local.terminal, study.cli.catalogue",
    "import study.launch.slurm.submit, study.launch.slurm.submissions, study.launch.slurm.profile",
    "import study.stats.verdict",
    "import study.plotting.curves.degradation, study.plotting.curves.depth_error, study.plotting.tables.errors",
    "import study.plotting.surfaces.contours, study.plotting.surfaces.line1d, study.plotting.surfaces.export",
    "import study.plotting.surfaces.relief, study.plotting.surfaces.trajectory, study.plotting.surfaces.hessian_ratio",
    "import study.plotting.probes.spectrum, study.plotting.probes.responses",
    "import study.reporting.export, study.launch.status",
]
ONE_BY_ONE = """
import sys
for statement in sys.argv[1:]:
    exec(statement)
    if heavy := {'torch', 'torchvision'} & set(sys.modules):
        sys.exit(f'{statement}: imports {heavy}')
"""


def test_planning_looking_and_drawing_import_no_torch():
    python(ONE_BY_ONE, *IMPORTS)


def test_public_names_are_listed_and_typed():
    code = "import study, sys; print(' '.join(dir(study)), '|', ' '.join(m for m in ('torch', 'pandas') if m in sys.modules))"
    listed, heavy = python(code).split("|")
    assert {*study.__all__, "__version__"} <= set(listed.split()) and not heavy.strip()
    assert all(getattr(study, name) is not None for name in study.__all__)
    # Type checkers see the imports under TYPE_CHECKING, and trust a package with py.typed.
    assert set(study.__all__) <= set(imported(PACKAGE / "__init__.py"))
    assert (PACKAGE / "py.typed").exists()


def imported(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names)

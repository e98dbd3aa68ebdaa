"""Degradation studies: does depth hurt, and do shortcuts mend it?

import study
curves = study.read_curves("results/quickstart")
study.figure("degradation", curves)
print(study.verdict(curves))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from study.version import VERSION

__version__ = VERSION

__all__ = [
    "StudyError", "figure", "read_attempts", "read_curves", "read_probes", "read_runs", "read_surfaces",
    "report", "table", "verdict",
]  # fmt: skip

if TYPE_CHECKING:
    from study.errors import StudyError
    from study.plotting import figure, table
    from study.reporting import report
    from study.stats.verdict import verdict
    from study.store.read import read_attempts, read_curves, read_probes, read_runs, read_surfaces

_HOMES = {
    "StudyError": "study.errors",
    "figure": "study.plotting",
    "table": "study.plotting",
    "report": "study.reporting",
    "verdict": "study.stats.verdict",
    "read_attempts": "study.store.read",
    "read_curves": "study.store.read",
    "read_probes": "study.store.read",
    "read_runs": "study.store.read",
    "read_surfaces": "study.store.read",
}


def __getattr__(name: str) -> Any:
    # Late, so that `import study` and `study --help` are fast.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'study' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Degradation studies: does depth hurt, and do shortcuts mend it?

import study
curves = study.read_curves("results/quickstart")
study.figure("degradation", curves)
print(study.verdict(curves))

Components of your own (docs/your-own.md) begin with a decorator, such as `@study.block`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from study.version import VERSION

__version__ = VERSION

if TYPE_CHECKING:
    from study import data
    from study.cli.python import load_network, predictions, sweep
    from study.config.own import (
        activation,
        block,
        family,
        initialisation,
        norm,
        optimizer,
        order,
        probe,
        schedule,
        shortcut,
    )
    from study.data.arrays import Arrays
    from study.errors import StudyError
    from study.measure.probes.subject import Subject, Value
    from study.networks.blocks import BasicBlock, Block, Bottleneck
    from study.networks.orders import Steps
    from study.networks.shortcuts import Shortcut
    from study.plotting import figure, table
    from study.plotting.base.page import Plot
    from study.reporting import report
    from study.stats.verdict import verdict
    from study.store.read import read_curves, read_probes, read_runs, read_surfaces
    from study.training.optimizer import Optimizer

_NAMES = {
    "study.cli.python": "load_network predictions sweep",
    "study.config.own": "activation block data family initialisation norm optimizer order probe schedule shortcut",
    "study.data.arrays": "Arrays",
    "study.errors": "StudyError",
    "study.networks.blocks": "BasicBlock Block Bottleneck",
    "study.networks.orders": "Steps",
    "study.networks.shortcuts": "Shortcut",
    "study.measure.probes.subject": "Subject Value",
    "study.training.optimizer": "Optimizer",
    "study.plotting": "figure table",
    "study.plotting.base.page": "Plot",
    "study.reporting": "report",
    "study.stats.verdict": "verdict",
    "study.store.read": "read_curves read_probes read_runs read_surfaces",
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names.split()}

__all__ = [
    "Arrays", "BasicBlock", "Block", "Bottleneck", "Optimizer", "Plot", "Shortcut", "Steps", "StudyError", "Subject", "Value",
    "activation", "block",
    "data", "family", "figure", "initialisation", "load_network", "norm", "optimizer", "order", "predictions", "probe",
    "read_curves", "read_probes", "read_runs", "read_surfaces", "report", "schedule", "shortcut", "sweep", "table", "verdict",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    # Late, so that `import study` and `study --help` are fast.
    if name == "data":
        return import_module("study.data")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'study' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

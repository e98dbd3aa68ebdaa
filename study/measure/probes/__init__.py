"""What is measured of a network beyond its error: `measure`, on a training or a trained one.

A probe is a function `(subject: Subject) -> Iterator[Value]`, one file here and one line in
`study.config.registry.PROBES`. Its docstring says what it measures, in which unit, after whom, and at what cost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import replace
from typing import NamedTuple

from study.config.registry import PROBES
from study.measure.probes.subject import Stopped, Subject, Value
from study.networks.layers import BatchNorm
from study.networks.network import Network
from study.training.precision import backends
from study.training.session import never

__all__ = ["Measured", "Stopped", "Subject", "Value", "measure"]


class Measured(NamedTuple):
    """The values of one probe."""

    probe: str
    seconds: float
    values: list[Value]
    lacking: str = ""
    """What the network lacks for it, if nothing was measured."""


def lacking(name: str, network: Network) -> str:
    """What a network lacks for a probe; empty if it can be measured."""
    needs = PROBES[name].needs
    if needs == "blocks" and not any(True for _ in network.blocks()):
        return "the network has no blocks"
    if needs == "BN" and not any(isinstance(module, BatchNorm) for module in network.modules()):
        return "the network has no BN"
    return ""


def measure(names: Iterable[str], subject: Subject, stopped: Callable[[], bool] = never) -> Iterator[Measured]:
    """Measure a network with each of these probes; end early, without the current probe, when `stopped` returns True.

    Each probe has a copy of the network to itself, in evaluation mode, and computes in float32 with sums in a fixed
    order, whatever the precision of the training.
    """
    for name in names:
        if why := lacking(name, subject.network):
            yield Measured(name, 0.0, [], why)
            continue
        began, values = time.perf_counter(), []
        own = replace(subject, network=deepcopy(subject.network).eval(), stopped=stopped)
        with backends({"fp32"}, subject.images.device, deterministic=True):
            if stopped():
                return
            try:
                for value in PROBES[name].load()(own):
                    values.append(value)
                    if stopped():
                        return
            except Stopped:
                return
        yield Measured(name, time.perf_counter() - began, values)

"""The norm of each layer's weights, and their distance from initialisation."""

from __future__ import annotations

from collections.abc import Iterator

from study.measure.probes.gradients import norms
from study.measure.probes.subject import Subject, Value, weighted


def measure(subject: Subject) -> Iterator[Value]:
    """`norm`: ||w||, the L2 norm of a layer's weights; `distance`: ||w - w_0||, from the seed's initial weights.

    A run that starts from another (`start_from`), or was trained elsewhere, has no `distance`. Biases and BN's scales are
    left out. The scale of a convolution before BN does not change what the network computes, but the larger the weights,
    the smaller the effective learning rate.

    `layer` as in `study.measure.probes.gradients`. Cost: no pass; the network is built once more.
    """
    names = [name for name, _ in weighted(subject.network)]
    weights = [layer.weight for _, layer in weighted(subject.network)]
    measures = {"norm": norms(weights)}
    if subject.spec.start_from is None and not subject.spec.elsewhere:
        begun = [layer.weight for _, layer in weighted(subject.initial())]
        measures["distance"] = norms([now - then for now, then in zip(weights, begun, strict=True)])
    for measured, values in measures.items():
        for place, (name, value) in enumerate(zip(names, values.tolist(), strict=True), 1):
            yield Value(measured, name, place, value, 0)

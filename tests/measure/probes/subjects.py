"""Networks to be measured, and what was measured of them."""

from typing import Any

import torch

from study.measure.probes import Subject, Value, measure
from study.networks.network import build
from study.training.feeds.images import Images
from tests.helpers import make_spec, random_bn, tiny_images

CPU = torch.device("cpu")


def make(count: int = 32, **fields: Any) -> Subject:
    """A network of its seed, with random BN so that each parameter and statistic matters; in batches of 16."""
    spec = make_spec(**{"recipe__batch_size": 16} | fields)
    torch.manual_seed(0)
    network = build(spec, 1, 10)
    random_bn(network)
    return Subject.of(spec, network.state_dict(), Images(tiny_images(), CPU), count)


def images_of(subject: Subject) -> torch.Tensor:
    """All images that a probe looks at, in float64."""
    return torch.cat([images for images, _ in subject.batches()]).double()


def values(probe: str, subject: Subject) -> list[Value]:
    """What a probe measures."""
    [taken] = measure([probe], subject)
    assert taken.probe == probe and taken.seconds > 0
    return taken.values


def table(probe: str, subject: Subject, measured: str) -> dict[str, float]:
    """One measure of a probe, by layer, in the order of their places."""
    found = [value for value in values(probe, subject) if value.measure == measured]
    assert [value.place for value in found] == sorted(value.place for value in found)
    return {value.layer: value.value for value in found}

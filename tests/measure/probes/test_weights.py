import numpy as np
import pytest
import torch

from study.networks.network import build
from tests.measure.probes.subjects import make, table


def test_norms_and_distances_from_the_start():
    subject = make(shortcut="B")
    assert set(table("weights", subject, "distance").values()) == {0.0}
    with torch.no_grad():
        subject.network.stages[1][0].conv2.weight += 0.25
        subject.network.head.weight *= 3
    begun = dict(build(subject.spec, 1, 10).named_parameters())
    now = dict(subject.network.named_parameters())
    norms, distances = table("weights", subject, "norm"), table("weights", subject, "distance")
    assert list(norms) == [name.removesuffix(".weight") for name, w in now.items() if w.ndim > 1]
    for name, norm in norms.items():
        weight, start = (d[f"{name}.weight"].detach().double().numpy() for d in (now, begun))
        assert norm == pytest.approx(np.sqrt((weight**2).sum()), rel=1e-6)
        assert distances[name] == pytest.approx(np.sqrt(((weight - start) ** 2).sum()), rel=1e-6)
    assert distances["stages.1.0.conv2"] == pytest.approx(0.25 * np.sqrt(32 * 32 * 9), rel=1e-6)

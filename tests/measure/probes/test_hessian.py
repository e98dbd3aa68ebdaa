"""The probe of the Hessian: its measures, that they are of the subject's images, and that a stop is heard."""

from collections import defaultdict

import numpy as np
import pytest
import torch

from tests.helpers import long
from tests.measure.probes.subjects import make, values


def by_measure(found):
    table = defaultdict(list)
    for value in found:
        table[value.measure].append(value)
    return table


@pytest.mark.slow
@pytest.mark.parametrize("network", [long("plain"), "residual"])
def test_measures_of_the_hessian_are_consistent(network):
    subject = make(16, network=network, block="single", depth=5)  # some 400 products: small, and in one batch
    before = {name: value.clone() for name, value in subject.network.state_dict().items()}
    found = by_measure(values("hessian", subject))
    assert all(torch.equal(value, before[name]) for name, value in subject.network.state_dict().items())
    assert {name: [value.place for value in rows] for name, rows in found.items()} == {
        "largest": [1, 2, 3, 4, 5],
        "smallest": [1, 2],
        "ratio": [0],
        "trace": [0],
        "trace_error": [0],
        "density_node": list(range(1, 61)),
        "density_weight": list(range(1, 61)),
    }
    number = {name: np.array([value.value for value in rows]) for name, rows in found.items()}
    assert (np.diff(number["largest"]) <= 0).all() and (np.diff(number["smallest"]) >= 0).all()
    assert number["smallest"][0] < 0 < number["largest"][0]
    assert number["ratio"][0] == pytest.approx(-number["smallest"][0] / number["largest"][0])
    nodes, weights = number["density_node"], number["density_weight"]
    assert weights.sum() == pytest.approx(1) and (weights >= 0).all()
    assert nodes[:30].max() == pytest.approx(number["largest"][0], rel=1e-3)
    assert nodes.min() >= number["smallest"][0] * 1.001
    # Two estimates of the trace, of which the second has two samples.
    size = sum(weight.numel() for weight in subject.network.parameters())
    assert abs(number["trace"][0] - size * (weights @ nodes)) < 6 * number["trace_error"][0]
    assert {value.layer for rows in found.values() for value in rows} == {""}

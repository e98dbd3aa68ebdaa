"""Gradient confusion, against gradients taken one by one."""

from itertools import combinations

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from study.measure.probes.confusion import measure
from tests.measure.probes.test_paths import subject


def test_cosines_equal_those_of_single_gradients():
    tested = subject(recipe__batch_size=10)
    gradients = []
    for images, labels in tested.batches():
        tested.network.train().zero_grad()
        F.cross_entropy(tested.network(images), labels).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in tested.network.parameters()]).double())
    assert len(gradients) == 4  # of 40 images
    expected = [float(F.cosine_similarity(a, b, dim=0)) for a, b in combinations(gradients, 2)]
    found = list(measure(tested))
    assert [v.value for v in found if v.measure == "cosine"] == pytest.approx(expected, rel=1e-4)
    whole = {v.measure: v.value for v in found if v.place == 0}
    assert whole["cosine_min"] == pytest.approx(min(expected), rel=1e-4)
    assert whole["cosine_mean"] == pytest.approx(sum(expected) / 6, rel=1e-4)
    inner = min(float(a @ b) for a, b in combinations(gradients, 2))
    assert whole["confusion"] == pytest.approx(max(0.0, -inner), rel=1e-4)


def test_one_batch_gives_no_values():
    assert list(measure(subject(recipe__batch_size=40))) == []

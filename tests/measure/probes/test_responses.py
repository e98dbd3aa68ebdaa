"""The spread of each 3x3 layer's responses, against formulas."""

import math

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from study.measure.probes.responses import Spread
from tests.measure.probes.subjects import images_of, make, table, values


def normalised(x, bn):
    return F.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias, eps=1e-5)


def std(x):
    return float(((x - x.mean()) ** 2).mean().sqrt().detach())


@pytest.mark.parametrize("order", ["original", "bn_after_add", "relu_before_add", "relu_only_pre", "pre"])
def test_response_is_taken_after_bn_and_before_relu_or_addition(order):
    subject = make(order=order)
    found = table("responses", subject, "std")
    network = subject.network.double()
    block = network.stages[0][0]
    stem = normalised(F.conv2d(images_of(subject), network.stem[0].weight, padding=1), network.stem[1])
    first = F.conv2d(F.relu(stem), block.conv1.weight, padding=1)
    # In full pre-activation the BN after the first convolution is the second one's.
    first = normalised(first, block.bn2 if order == "pre" else block.bn1)
    second = F.conv2d(F.relu(first), block.conv2.weight, padding=1)
    if order not in ("pre", "bn_after_add"):  # there nothing follows before the addition
        second = normalised(second, block.bn2)
    assert list(found)[:3] == ["stem.0", "stages.0.0.conv1", "stages.0.0.conv2"] and len(found) == 7
    assert list(found.values())[:3] == pytest.approx([std(stem), std(first), std(second)], rel=1e-5)


def test_bottleneck_has_responses_of_its_3x3_layers():
    bottleneck = make(block="bottleneck", depth=11, shortcut="B")
    assert [value.layer for value in values("responses", bottleneck)] == [
        "stem.0", "stages.0.0.conv2", "stages.1.0.conv2", "stages.2.0.conv2",
    ]  # fmt: skip


def test_spread_is_exact_far_from_zero_and_keeps_nan():
    spread = Spread()
    x = 1000 + torch.randn(4000, generator=torch.Generator().manual_seed(0))
    for part in x.split(1500):
        spread.take(part)
    assert spread.std == pytest.approx(float(x.double().std(correction=0)), rel=1e-6)
    spread.take(torch.tensor([math.inf]))
    assert math.isnan(spread.std)
    constant = Spread()
    constant.take(torch.full((7,), 0.1))
    assert constant.std == pytest.approx(0, abs=1e-8)

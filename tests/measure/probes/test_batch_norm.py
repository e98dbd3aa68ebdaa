"""BN's running, recalibrated and folded statistics side by side."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from study.config.registry import ORDERS
from study.measure.probes.batch_norm import fold, measure, parts, recalibrate
from tests.measure.probes.test_paths import subject


def named(found):
    return {(v.measure, v.layer): v.value for v in found}


@pytest.mark.parametrize(
    "fields",
    [
        *({"order": order} for order in ORDERS),
        {"shortcut": "B"},
        {"shortcut": "projection", "order": "pre"},
        {"network": "plain", "family": "vgg", "depth": 11, "family.head": "cifar"},
    ],
    ids=str,
)
def test_folded_networks_compute_the_same_with_fewer_bn(fields):
    tested = subject(**fields)
    images, _ = next(tested.batches())
    with torch.no_grad():
        expected = tested.network.eval()(images)
        before = sum(isinstance(m, nn.BatchNorm2d) for m in tested.network.modules())
        folded = fold(tested.network)
        torch.testing.assert_close(folded(images), expected, rtol=1e-4, atol=1e-4)
    after = sum(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    # In full pre-activation every other BN follows an addition; after the addition BN can't be folded either.
    assert after == {"pre": 6, "bn_after_add": 6}.get(fields.get("order"), 0) < before


def test_recalibrated_statistics_are_the_means_of_the_batches():
    tested = subject()
    with torch.no_grad():
        first = [tested.network.stem[0](images) for images, _ in tested.batches()]
        means = torch.stack([x.mean((0, 2, 3)) for x in first]).mean(0)
        variances = torch.stack([x.var((0, 2, 3)) for x in first]).mean(0)
    network = recalibrate(tested.network, parts(tested))
    assert not network.training
    torch.testing.assert_close(network.stem[1].running_mean, means)
    torch.testing.assert_close(network.stem[1].running_var, variances)


def test_the_three_agree_where_the_averages_are_right():
    tested = subject()
    recalibrate(tested.network, parts(tested))
    found = named(measure(tested))
    for split in ("train", "test"):
        for name in ("recalibrated", "folded"):
            assert found[f"loss_{name}", split] == pytest.approx(found["loss_running", split], rel=1e-3)
    assert 0 < found["folded_difference", ""] < 1e-3


def test_running_losses_are_those_of_evaluation_mode_and_stale_averages_show():
    torch.manual_seed(0)
    tested = subject()
    found = named(measure(tested))
    losses = [
        F.cross_entropy(tested.network.eval()(images), labels).item() for images, labels in tested.batches("test")
    ]
    assert found["loss_running", "test"] == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert found["loss_recalibrated", "train"] != pytest.approx(found["loss_running", "train"], rel=1e-2)

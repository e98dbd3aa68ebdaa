"""BN's running, recalibrated and folded statistics side by side."""

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from study.measure.probes.batch_norm import measure, parts, recalibrate
from tests.measure.probes.test_paths import subject


def named(found):
    return {(v.measure, v.layer): v.value for v in found}


def test_recalibrated_statistics_are_means_over_batches():
    tested = subject()
    with torch.no_grad():
        first = [tested.network.stem[0](images) for images, _ in tested.batches()]
        means = torch.stack([x.mean((0, 2, 3)) for x in first]).mean(0)
        variances = torch.stack([x.var((0, 2, 3)) for x in first]).mean(0)
    network = recalibrate(tested.network, parts(tested))
    assert not network.training
    torch.testing.assert_close(network.stem[1].running_mean, means)
    torch.testing.assert_close(network.stem[1].running_var, variances)


def test_running_loss_is_that_of_evaluation_mode():
    torch.manual_seed(0)
    tested = subject()
    found = named(measure(tested))
    with torch.no_grad():
        images, labels = tested.images.at("test", torch.arange(20))
        expected = F.cross_entropy(tested.network.eval()(images), labels).item()
    assert found["loss_running", "test"] == pytest.approx(expected, rel=1e-5)
    assert found["loss_recalibrated", "train"] != pytest.approx(found["loss_running", "train"], rel=1e-2)

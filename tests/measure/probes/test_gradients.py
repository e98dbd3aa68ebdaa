"""The gradient of each layer, against the training's own and against plain autograd."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from tests.measure.probes.subjects import make, table


def test_norm_is_the_mean_over_batches_and_relative_to_weights():
    subject = make(count=40, network="plain")
    norms, relative = table("gradients", subject, "norm"), table("gradients", subject, "relative")
    network = subject.network.double().train()
    layers = {name: m for name, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    assert list(norms) == list(layers) == list(relative)
    taken = []
    for images, labels in subject.batches():
        loss = F.cross_entropy(network(images.double()), labels)
        taken.append(torch.autograd.grad(loss, [layer.weight for layer in layers.values()]))
    assert len(taken) == 2  # of the 40 images two whole batches of 16
    for place, (name, layer) in enumerate(layers.items()):
        mean = sum(float(gradients[place].norm()) for gradients in taken) / 2
        assert norms[name] == pytest.approx(mean, rel=1e-4)
        assert relative[name] == pytest.approx(mean / float(layer.weight.detach().norm()), rel=1e-4)


def test_the_layers_of_shortcuts_and_gates_are_named():
    assert "stages.1.0.shortcut.0" in table("gradients", make(shortcut="B"), "norm")
    assert "stages.0.0.shortcut.gate" in table("gradients", make(shortcut="exclusive_gate"), "norm")

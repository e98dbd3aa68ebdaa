"""The gradient of each layer, against the training's own and against plain autograd."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from study.training.feeds.samples import Draws
from study.training.program import Program
from tests.measure.probes.subjects import make, table


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("fields", [{}, {"network": "plain", "depth": 14}, {"order": "pre", "shortcut": "C"}])
def test_it_is_the_gradient_of_a_step_of_training(groups: int, fields: dict[str, object]) -> None:
    subject = make(count=16, recipe__pad=0, recipe__bn_groups=groups, **fields)
    program = Program(subject.spec, subject.images)
    program.restore(
        {
            "network": subject.network.state_dict(),
            "momentum": program.momentum,
            "loss": torch.zeros(()),
            "wrong": torch.zeros(()),
        }
    )
    # The images of the probe's only batch, as a step of training would draw them.
    image = torch.from_numpy(np.random.RandomState(0).permutation(40)[:16])
    nothing = torch.zeros(16, dtype=torch.int64)
    draws = Draws(image, nothing, nothing, nothing.bool(), nothing)
    program._set_mode(training=True)
    size = 16 // groups
    parts = [program._gradients(Draws(*(p[g * size : (g + 1) * size] for p in draws)), g) for g in range(groups)]
    mean = dict(zip(program._names, [sum(part) / groups for part in zip(*parts, strict=True)], strict=True))
    found = table("gradients", subject, "norm")
    expected = {name: float(mean[f"{name}.weight"].norm()) for name in found}
    assert found == pytest.approx(expected, rel=1e-4)


def test_the_norm_is_the_mean_over_mini_batches_and_relative_to_the_weights() -> None:
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


def test_the_layers_of_shortcuts_and_gates_are_named() -> None:
    assert "stages.1.0.shortcut.0" in table("gradients", make(shortcut="B"), "norm")
    assert "stages.0.0.shortcut.gate" in table("gradients", make(shortcut="exclusive_gate"), "norm")

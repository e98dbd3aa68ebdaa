"""Depth and shortcuts of a network, from its graph alone, against what is known of networks."""

import pytest
import torch
from torchvision import models

from study.networks.graph import depth_and_sum
from study.networks.network import build
from tests.helpers import make_spec


@pytest.mark.parametrize("fields", [
    {"network": "plain"}, {"shortcut": "A", "depth": 20}, {"shortcut": "B"}, {"shortcut": "exclusive_gate"},
    {"block": "bottleneck", "depth": 11, "shortcut": "C"}, {"network": "plain", "family": "vgg", "depth": 11},
])  # fmt: skip
def test_built_in_networks(fields):
    spec, images = make_spec(**fields), torch.zeros(2, 3, 32, 32, requires_grad=True)
    logits = build(spec, 3, 10).eval()(images)
    assert depth_and_sum(images, logits) == (spec.depth, spec.network == "residual")


@pytest.mark.parametrize("name, depth, residual", [
    ("alexnet", 8, False), ("resnet18", 18, True), ("densenet121", 121, False), ("mobilenet_v2", 53, True),
])  # fmt: skip
def test_networks_of_torchvision(name, depth, residual):
    images = torch.zeros(1, 3, 64, 64, requires_grad=True)
    assert depth_and_sum(images, models.get_model(name).eval()(images)) == (depth, residual)

"""The basic block, against its formula, and its plain twin."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from study.networks.blocks import BasicBlock
from study.networks.shortcuts import option_a, option_b


def branch(block, x):
    """BN(conv(ReLU(BN(conv(x))))) in training mode, from the block's parameters alone."""

    def normalised(x, bn):
        return F.batch_norm(x, None, None, bn.weight, bn.bias, training=True, eps=1e-5)

    out = F.relu(normalised(F.conv2d(x, block.conv1.weight, stride=block.conv1.stride, padding=1), block.bn1))
    return normalised(F.conv2d(out, block.conv2.weight, padding=1), block.bn2)


def make(in_maps, maps, stride, shortcut):
    block = BasicBlock(in_maps, maps, stride, shortcut).double()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.normal_()
    return block


@pytest.mark.parametrize("in_maps, maps, stride", [(4, 4, 1), (4, 8, 2)])
@pytest.mark.parametrize("option", [option_a, option_b])
def test_a_residual_block_adds_its_shortcut_before_the_last_relu(in_maps, maps, stride, option):
    block, x = make(in_maps, maps, stride, option(in_maps, maps, stride)), torch.randn(3, in_maps, 7, 7).double()
    expected = F.relu(branch(block, x) + block.shortcut(x))
    torch.testing.assert_close(block(x.clone()), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("in_maps, maps, stride", [(4, 4, 1), (4, 8, 2)])
def test_a_plain_block_is_the_same_without_the_addition(in_maps, maps, stride):
    residual, x = make(in_maps, maps, stride, option_a(in_maps, maps, stride)), torch.randn(3, in_maps, 7, 7).double()
    plain = BasicBlock(in_maps, maps, stride, None).double()
    plain.load_state_dict(residual.state_dict())
    torch.testing.assert_close(plain(x.clone()), F.relu(branch(residual, x)), rtol=0, atol=1e-12)
    assert not torch.allclose(plain(x.clone()), residual(x.clone()))

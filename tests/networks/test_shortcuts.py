"""Shortcuts of He et al. 2015, section 3.3."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from study.networks.shortcuts import ZeroPad, option_a, option_b, option_c


def test_zero_pad_takes_every_second_pixel_and_adds_maps_of_zeros():
    x = torch.arange(2 * 3 * 5 * 4, dtype=torch.float32).reshape(2, 3, 5, 4)
    out = ZeroPad(3, 8, 2)(x)
    assert out.shape == (2, 8, 3, 2)
    assert torch.equal(out[:, :3], x[:, :, [0, 2, 4]][..., [0, 2]])
    assert not out[:, 3:].any()


@pytest.mark.parametrize("option", [option_a, option_b])
def test_a_and_b_are_the_identity_where_the_shape_stays(option):
    x = torch.randn(2, 4, 5, 5)
    shortcut = option(4, 4, 1)
    assert shortcut(x) is x
    assert not list(shortcut.parameters())


@pytest.mark.parametrize(
    "option, maps, stride, kind",
    [
        (option_a, 8, 2, ZeroPad),
        (option_a, 8, 1, ZeroPad),
        (option_a, 4, 2, ZeroPad),
        (option_b, 8, 2, nn.Sequential),
        (option_b, 4, 2, nn.Sequential),
        (option_c, 8, 2, nn.Sequential),
        (option_c, 4, 1, nn.Sequential),
    ],
)
@pytest.mark.parametrize("size", [7, 8])
def test_where_the_shape_changes_it_follows_the_block(option, maps, stride, kind, size):
    shortcut = option(4, maps, stride)
    assert isinstance(shortcut, kind)
    expected = nn.Conv2d(4, maps, 3, stride, padding=1)(torch.randn(2, 4, size, size)).shape
    assert shortcut(torch.randn(2, 4, size, size)).shape == expected


def test_a_has_no_parameters_and_a_projection_is_a_1x1_convolution_with_bn():
    assert not list(option_a(4, 8, 2).parameters())
    conv, bn = option_b(4, 8, 2)
    assert (conv.kernel_size, conv.stride, conv.bias) == ((1, 1), (2, 2), None)
    assert bn.num_features == 8

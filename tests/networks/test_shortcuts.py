"""Shortcuts of He et al. 2015, section 3.3, and of He et al. 2016, section 3."""

import pytest
import torch
from torch import nn

from study.networks.shortcuts import (
    Dropout,
    ExclusiveGate,
    Scaled,
    ShortcutGate,
    ZeroPad,
    dropout_mask,
    option_a,
    option_b,
    option_c,
)


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
def test_shortcut_output_has_the_shape_of_the_branch(option, maps, stride, kind, size):
    shortcut = option(4, maps, stride)
    assert isinstance(shortcut, kind)
    expected = nn.Conv2d(4, maps, 3, stride, padding=1)(torch.randn(2, 4, size, size)).shape
    assert shortcut(torch.randn(2, 4, size, size)).shape == expected


@pytest.mark.parametrize("maps, stride", [(4, 1), (8, 2)])
def test_constant_scaling_scales_both(maps, stride):
    x, branch = torch.randn(2, 4, 6, 6), torch.randn(2, maps, 6 // stride, 6 // stride)
    expected = 0.25 * option_a(4, maps, stride)(x) + 0.75 * branch
    torch.testing.assert_close(Scaled(4, maps, stride, 0.25, 0.75).join(x, branch.clone()), expected)


@pytest.mark.parametrize("maps, stride", [(4, 1), (8, 2)])
@pytest.mark.parametrize("kind, scales_the_branch", [(ShortcutGate, False), (ExclusiveGate, True)])
def test_gates_weight_shortcut_and_branch(maps, stride, kind, scales_the_branch):
    shortcut = kind(4, maps, stride, -1.5)
    with torch.no_grad():
        shortcut.gate.bias.fill_(shortcut.gate.initial_bias)
    x, branch = torch.randn(2, 4, 6, 6), torch.randn(2, maps, 6 // stride, 6 // stride)
    weight = shortcut.gate.weight[:, :, 0, 0]
    g = torch.sigmoid(torch.einsum("om,nmhw->nohw", weight, x[:, :, ::stride, ::stride]) - 1.5)
    carried = (1 - g) * option_a(4, maps, stride)(x)
    torch.testing.assert_close(shortcut(x), carried)
    torch.testing.assert_close(shortcut.join(x, branch.clone()), carried + (g if scales_the_branch else 1) * branch)


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_dropout_keeps_its_share_and_the_mean(share):
    shortcut = Dropout(16, 16, 1, share)
    shortcut.keys = torch.randint(0, 2**31 - 1, (64,), generator=torch.Generator().manual_seed(0))
    out = shortcut(torch.ones(64, 16, 8, 8))
    assert set(out.unique().tolist()) == {0.0, torch.tensor(1 / (1 - share)).item()}
    n = out.numel()
    assert abs(float((out > 0).float().mean()) - (1 - share)) < 5 * (share * (1 - share) / n) ** 0.5
    assert shortcut.eval()(torch.ones(1, 16, 8, 8)).eq(1).all()


def mixed(x):
    """The hash "lowbias32" on Python's numbers."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1)):
        x = ((x ^ (x >> shift)) * factor) & 0xFFFFFFFF
    return x


def test_dropout_mask_is_a_hash_of_key_layer_and_position():
    keys, salt, dropout = [1, 2**31 - 2], 0x5EED, 0.3
    mask = dropout_mask(torch.tensor(keys), salt, (2, 3, 4), dropout)
    for n, key in enumerate(keys):
        image = mixed(key ^ mixed(salt))
        for place in range(24):
            row, column, channel = place // 8, place // 2 % 4, place % 2
            number = mixed((image + place * 0x9E3779B9) & 0xFFFFFFFF) & 0x7FFFFFFF
            assert mask[n, channel, row, column].item() == (number >= int(dropout * 2**31))

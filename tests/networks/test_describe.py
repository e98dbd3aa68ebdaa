"""A network in words and as a graph, against the built one."""

from __future__ import annotations

import re

import pytest

from study.networks.describe import describe, run_of
from study.networks.network import structure


def described(*words):
    spec = run_of(words)
    return spec, describe(spec)


@pytest.mark.parametrize(
    "words, lines",
    [
        (
            ["depth=56", "shortcut=B"],
            [
                "stage2  16x16   [3x3, 32; 3x3, 32] x 9 /2       163,008        41.42 M",
                "56 weighted layers, 855,770 parameters, 125.75 M multiply-adds for an image",
                "27 shortcuts: 25 of unchanged shape (identity)",
                "  stage2.block1: 16 to 32 maps, stride 2 (1x1 convolution, BN)",
            ],
        ),
        (
            ["family=imagenet", "depth=50", "shortcut=B"],
            [
                "stem    112x112  7x7, 64 /2, 3x3 max pool /2                  9,536       118.01 M",
                "50 weighted layers, 25,557,032 parameters, 3.86 G multiply-adds for an image",
                "  stage1.block1: 64 to 256 maps, stride 1 (1x1 convolution, BN)",
            ],
        ),
        (["network=plain", "family=vgg", "depth=19"], ["stage3  56x56    [3x3, 256] x 4; 2x2 max pool"]),
        (
            ["depth=164", "block=bottleneck", "order=pre", "shortcut=projection"],
            [
                "164 weighted layers, 1,703,258 parameters",
                "54 shortcuts: 51 of unchanged shape (identity)",
                "  stage2.block1: 64 to 128 maps, stride 2 (BN, ReLU before both paths, 1x1 convolution)",
            ],
        ),
    ],
)
def test_description_has_expected_lines(words, lines):
    text = described(*words)[1]
    for line in lines:
        assert line in text


@pytest.mark.parametrize("words", [["depth=14", "shortcut=exclusive_gate"], ["depth=20", "block=bottleneck"]], ids=str)
def test_described_counts_equal_built_network(words):
    spec, text = described(*words)
    built = sum(p.numel() for p in structure(spec, 3, 10).parameters())
    assert f"{built:,} parameters" in text
    rows = [line.split()[-3].replace(",", "") for line in text.splitlines() if re.match("stem|stage|head", line)]
    assert sum(map(int, rows)) == built

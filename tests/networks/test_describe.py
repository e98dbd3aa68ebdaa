"""A network in words and as a graph, against the built one."""

import pytest

from study.networks.describe import describe, run_of


@pytest.mark.parametrize("words, lines", [
    (["depth=56", "shortcut=B"], [
        "stage2  16x16   [3x3, 32; 3x3, 32] x 9 /2       163,008        41.42 M",
        "56 weighted layers, 855,770 parameters, 125.75 M multiply-adds for an image",
        "27 shortcuts: 25 of unchanged shape (identity)",
        "  stage2.block1: 16 to 32 maps, stride 2 (1x1 convolution, BN)",
    ]),
    (["family=imagenet", "depth=50", "shortcut=B"], [
        "stem    112x112  7x7, 64 /2, 3x3 max pool /2                  9,536       118.01 M",
        "50 weighted layers, 25,557,032 parameters, 3.86 G multiply-adds for an image",
    ]),
    (["network=plain", "family=vgg", "depth=19"], ["stage3  56x56    [3x3, 256] x 4; 2x2 max pool"]),
    (["depth=164", "block=bottleneck", "order=pre", "shortcut=projection"], [
        "164 weighted layers, 1,703,258 parameters",
        "  stage2.block1: 64 to 128 maps, stride 2 (BN, ReLU before both paths, 1x1 convolution)",
    ]),
])  # fmt: skip
def test_description_has_expected_lines(words, lines):
    text = describe(run_of(words))
    for line in lines:
        assert line in text

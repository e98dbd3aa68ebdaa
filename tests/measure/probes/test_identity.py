"""How far a block is from the identity, on blocks whose answer is known."""

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from tests.measure.probes.subjects import images_of, make, table


def stem_output(subject):
    conv, bn = subject.network.stem[0], subject.network.stem[1]
    x = F.conv2d(images_of(subject), conv.weight.detach().double(), padding=1)
    statistics = [t.detach().double() for t in (bn.running_mean, bn.running_var, bn.weight, bn.bias)]
    return F.relu(F.batch_norm(x, *statistics, eps=1e-5))


@pytest.mark.parametrize("shortcut", ["A", "B", "dropout"])
def test_block_with_a_constant_branch(shortcut):
    subject = make(shortcut=shortcut)
    block = subject.network.stages[0][0]
    constant = torch.linspace(-1, 0.5, 16)
    with torch.no_grad():
        block.bn2.weight.zero_()
        block.bn2.bias.copy_(constant)
    x = stem_output(subject)
    total = x + constant.double()[:, None, None]
    branch = constant.double()[:, None, None].expand_as(x)
    name = "stages.0.0"
    assert table("identity", subject, "ratio")[name] == pytest.approx(float(branch.norm() / x.norm()), rel=1e-5)
    change = (total.clamp(min=0) - x).norm() / x.norm()
    assert table("identity", subject, "change")[name] == pytest.approx(float(change), rel=1e-5)
    share = float((total < 0).double().mean())
    assert 0.2 < share < 0.8
    assert table("identity", subject, "truncated")[name] == pytest.approx(share, abs=1e-3)


def test_the_blocks_of_a_plain_network():
    subject = make(network="plain", depth=14)
    ratio, change, truncated = {}, {}, {}
    with torch.no_grad():
        x = subject.network.eval().stem(torch.cat([images for images, _ in subject.batches()]))
        for name, block in subject.network.blocks():
            branch = block.bn2(block.conv2(F.relu(block.bn1(block.conv1(x)))))
            y = F.relu(branch)
            ratio[name] = float(branch.double().norm() / x.double().norm())
            truncated[name] = float((branch < 0).double().mean())
            if x.shape == y.shape:  # the first block of a later stage has another shape
                change[name] = float((y - x).double().norm() / x.double().norm())
            x = y
    assert len(ratio) == 6 and len(change) == 4
    assert table("identity", subject, "ratio") == pytest.approx(ratio, rel=1e-5)
    assert table("identity", subject, "change") == pytest.approx(change, rel=1e-5)
    assert table("identity", subject, "truncated") == pytest.approx(truncated, abs=1e-3)


def test_truncation_is_measured_after_bn_that_follows_the_addition():
    subject = make(order="bn_after_add")
    bn = subject.network.stages[0][0].bn2
    with torch.no_grad():
        bn.bias.fill_(-100)
        assert table("identity", subject, "truncated")["stages.0.0"] == 1.0
        bn.bias.fill_(100)
        assert table("identity", subject, "truncated")["stages.0.0"] == 0.0

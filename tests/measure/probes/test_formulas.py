"""Values of probes against formulas and plain autograd, and on blocks whose answer is known."""

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  # noqa: N812

from study.measure.probes.batch_norm import parts, recalibrate
from study.measure.probes.responses import Spread
from study.networks.network import build
from tests.measure.probes.subjects import images_of, make, table, values
from tests.measure.probes.test_paths import subject

# -- gradients --------------------------------------------------------------------------------------------------------


def test_norm_is_the_mean_over_batches_and_relative_to_weights():
    plain = make(count=40, network="plain")
    norms, relative = table("gradients", plain, "norm"), table("gradients", plain, "relative")
    network = plain.network.double().train()
    layers = {name: m for name, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    assert list(norms) == list(layers) == list(relative)
    taken = []
    for images, labels in plain.batches():
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


# -- confusion --------------------------------------------------------------------------------------------------------


def test_cosines_equal_those_of_single_gradients_and_one_batch_has_none():
    tested = subject(recipe__batch_size=10)
    gradients = []
    for images, labels in tested.batches():
        tested.network.train().zero_grad()
        F.cross_entropy(tested.network(images), labels).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in tested.network.parameters()]).double())
    assert len(gradients) == 4  # of 40 images
    expected = [float(F.cosine_similarity(a, b, dim=0)) for a, b in combinations(gradients, 2)]
    found = values("confusion", tested)
    assert [v.value for v in found if v.measure == "cosine"] == pytest.approx(expected, rel=1e-4)
    whole = {v.measure: v.value for v in found if v.place == 0}
    assert whole["cosine_min"] == pytest.approx(min(expected), rel=1e-4)
    assert whole["cosine_mean"] == pytest.approx(sum(expected) / 6, rel=1e-4)
    inner = min(float(a @ b) for a, b in combinations(gradients, 2))
    assert whole["confusion"] == pytest.approx(max(0.0, -inner), rel=1e-4)
    assert values("confusion", subject(recipe__batch_size=40)) == []


# -- weights ----------------------------------------------------------------------------------------------------------


def test_norms_and_distances_from_the_start():
    subject = make(shortcut="B")
    assert set(table("weights", subject, "distance").values()) == {0.0}
    with torch.no_grad():
        subject.network.stages[1][0].conv2.weight += 0.25
        subject.network.head.weight *= 3
    begun = dict(build(subject.spec, 1, 10).named_parameters())
    now = dict(subject.network.named_parameters())
    norms, distances = table("weights", subject, "norm"), table("weights", subject, "distance")
    assert list(norms) == [name.removesuffix(".weight") for name, w in now.items() if w.ndim > 1]
    for name, norm in norms.items():
        weight, start = (d[f"{name}.weight"].detach().double().numpy() for d in (now, begun))
        assert norm == pytest.approx(np.sqrt((weight**2).sum()), rel=1e-6)
        assert distances[name] == pytest.approx(np.sqrt(((weight - start) ** 2).sum()), rel=1e-6)
    assert distances["stages.1.0.conv2"] == pytest.approx(0.25 * np.sqrt(32 * 32 * 9), rel=1e-6)


# -- responses --------------------------------------------------------------------------------------------------------


def normalised(x, bn):
    return F.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias, eps=1e-5)


def std(x):
    return float(((x - x.mean()) ** 2).mean().sqrt().detach())


@pytest.mark.parametrize("order", ["original", "bn_after_add", "relu_before_add", "relu_only_pre", "pre"])
def test_response_is_taken_after_bn_and_before_relu_or_addition(order):
    subject = make(order=order)
    found = table("responses", subject, "std")
    network = subject.network.double()
    block = network.stages[0][0]
    stem = normalised(F.conv2d(images_of(subject), network.stem[0].weight, padding=1), network.stem[1])
    first = F.conv2d(F.relu(stem), block.conv1.weight, padding=1)
    # In full pre-activation the BN after the first convolution is the second one's.
    first = normalised(first, block.bn2 if order == "pre" else block.bn1)
    second = F.conv2d(F.relu(first), block.conv2.weight, padding=1)
    if order not in ("pre", "bn_after_add"):  # there nothing follows before the addition
        second = normalised(second, block.bn2)
    assert list(found)[:3] == ["stem.0", "stages.0.0.conv1", "stages.0.0.conv2"] and len(found) == 7
    assert list(found.values())[:3] == pytest.approx([std(stem), std(first), std(second)], rel=1e-5)


def test_bottleneck_has_responses_of_its_3x3_layers():
    bottleneck = make(block="bottleneck", depth=11, shortcut="B")
    assert [value.layer for value in values("responses", bottleneck)] == [
        "stem.0", "stages.0.0.conv2", "stages.1.0.conv2", "stages.2.0.conv2",
    ]  # fmt: skip


def test_spread_is_exact_far_from_zero_and_keeps_nan():
    spread = Spread()
    x = 1000 + torch.randn(4000, generator=torch.Generator().manual_seed(0))
    for part in x.split(1500):
        spread.take(part)
    assert spread.std == pytest.approx(float(x.double().std(correction=0)), rel=1e-6)
    spread.take(torch.tensor([math.inf]))
    assert math.isnan(spread.std)
    constant = Spread()
    constant.take(torch.full((7,), 0.1))
    assert constant.std == pytest.approx(0, abs=1e-8)


# -- batch_norm -------------------------------------------------------------------------------------------------------


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
    found = {(v.measure, v.layer): v.value for v in values("batch_norm", tested)}
    with torch.no_grad():
        images, labels = tested.images.at("test", torch.arange(20))
        expected = F.cross_entropy(tested.network.eval()(images), labels).item()
    assert found["loss_running", "test"] == pytest.approx(expected, rel=1e-5)
    assert found["loss_recalibrated", "train"] != pytest.approx(found["loss_running", "train"], rel=1e-2)


# -- identity ----------------------------------------------------------------------------------------------------------


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

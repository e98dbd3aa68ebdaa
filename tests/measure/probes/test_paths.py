"""Deleted blocks and lengths of paths, against networks edited by hand and against all paths one by one."""

from itertools import product

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from study.measure.probes.paths import by_length, measure
from study.networks.blocks import Block
from study.networks.network import build
from tests.helpers import make_spec, random_bn
from tests.measure.probes.subjects import make


def subject(**fields):
    return make(80, **{"depth": 14, "recipe__batch_size": 20} | fields)


def values(found, name):
    return {v.layer: v.value for v in found if v.measure == name}


def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 1, 8, 8, dtype=torch.float64, generator=generator), torch.tensor([1, 5, 7])


def prepared(**fields):
    network = build(make_spec(**{"depth": 14} | fields), 1, 10).double().eval().requires_grad_(False)
    random_bn(network)
    return network


def along_one_path(network, images, labels, chosen):
    """The gradient to the first block's input along one path: `chosen` says for each block whether through its branch."""
    start = network.stem(images).requires_grad_()
    x = start
    ways = iter(chosen)
    for block in (module for stage in network.stages for module in stage):
        if not isinstance(block, Block):
            x = block(x)
            continue
        branch, carried = block.branch(x), x
        if next(ways):
            carried = x.detach()
        else:
            branch = branch.detach()
        x = block.after(block.join(carried, branch.clone()))
    return torch.autograd.grad(F.cross_entropy(network.classify(x), labels), start)[0]


FIELDS = [{}, {"order": "pre"}, {"order": "relu_before_add"}, {"shortcut": "B"}, {"shortcut": "scaled"},
          {"shortcut": "projection", "order": "pre"}, {"shortcut": "exclusive_gate", "shortcut.bias": -1.0}]  # fmt: skip


@pytest.mark.parametrize("fields", FIELDS, ids=str)
def test_the_gradient_by_length_is_the_sum_over_all_paths_of_that_length(fields):
    network, (images, labels) = prepared(**fields, depth=8), batch()
    parts = by_length(network, images, labels)
    blocks = len(list(network.blocks()))
    expected = [torch.zeros_like(parts[0]) for _ in range(blocks + 1)]
    for chosen in product((False, True), repeat=blocks):
        expected[sum(chosen)] += along_one_path(network, images, labels, chosen)
    assert len(parts) == blocks + 1 == 4
    for part, other in zip(parts, expected, strict=True):
        torch.testing.assert_close(part, other, rtol=1e-9, atol=1e-15)


def test_paths_beyond_the_longest_are_summed():
    network, (images, labels) = prepared(), batch()
    *parts, rest = by_length(network, images, labels, longest=2)
    every = by_length(network, images, labels)
    assert len(parts) == 3 and len(every) == 7
    torch.testing.assert_close([*parts, rest], [*every[:3], torch.stack(every[3:]).sum(0)], rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("fields", [{}, {"network": "plain"}], ids=str)
def test_deleted_block_equals_network_without_it(fields):
    tested = subject(**fields)
    found = list(measure(tested))
    [(images, labels)] = tested.batches(count=20)
    network, plain = tested.network, tested.spec.network == "plain"
    blocks, deleted = dict(network.blocks()), values(found, "deleted_error")

    def error():
        return 100 * float((network(images).argmax(1) != labels).double().mean())

    assert len(deleted) == len(blocks) - (2 if plain else 0)
    assert values(found, "error")[""] == pytest.approx(error())
    assert values(found, "loss")[""] == pytest.approx(float(F.cross_entropy(network(images), labels)), rel=1e-5)
    for name, expected in deleted.items():
        block = blocks[name]
        block.forward = lambda x, block=block: x if plain else block.after(block.shortcut(x).clone())
        assert error() == pytest.approx(expected)
        del block.forward


def test_shares_add_up_and_their_mean_is_the_effective_depth():
    found = list(measure(subject()))
    shares = [v.value for v in found if v.measure == "path_share"]
    assert sum(shares) == pytest.approx(1)
    (depth,) = [v.value for v in found if v.measure == "effective_depth"]
    assert depth == pytest.approx(2 + 2 * sum(k * share for k, share in enumerate(shares)))
    assert 2 < depth < 14


def test_a_plain_network_has_one_path():
    assert not {v.measure for v in measure(subject(network="plain"))} & {"path_norm", "effective_depth"}

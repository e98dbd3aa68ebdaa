"""Hessian-vector products against dense Hessians of our blocks in float64; eigenvalues, trace and density; the probe."""

from collections import defaultdict

import numpy as np
import pytest
import torch
from scipy.sparse import diags
from scipy.sparse.linalg import LinearOperator, aslinearoperator
from torch import nn
from torch.nn import functional as F  # noqa: N812

from study.measure.probes.curvature import LIMIT, Hessian, density, extremes, lanczos, trace
from study.measure.probes.subject import Stopped
from study.networks.blocks import BasicBlock, Bottleneck, SingleBlock
from study.networks.orders import original, pre
from study.networks.shortcuts import ExclusiveGate, Projection, option_a
from tests.helpers import long, random_bn, slow
from tests.measure.probes.subjects import make, values

# -- networks and matrices ------------------------------------------------------------------------------------------------


def counted(matrix):
    """The matrix as an operator, and a list that grows by one with each product."""
    products = []
    operator = LinearOperator(matrix.shape, lambda vector: products.append(0) or matrix @ vector, dtype=np.float64)
    return operator, products


def symmetric(values, seed=0):
    """A matrix with these eigenvalues, and its eigenvectors as columns."""
    vectors, _ = np.linalg.qr(np.random.RandomState(seed).standard_normal((len(values), len(values))))
    matrix = vectors @ np.diag(values) @ vectors.T
    return (matrix + matrix.T) / 2, vectors


def tiny(block, order, join):
    """Two blocks between a stem and a head, float64, with a hundred or two parameters, BN's among them."""
    torch.manual_seed(0)
    maps, wide = (1, 4) if block is Bottleneck else (2, 2)
    stem = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1, bias=False), nn.BatchNorm2d(2), nn.ReLU(inplace=True))
    blocks = [block(2, maps, 2, join(2, wide, 2), order, True), block(wide, maps, 1, join(wide, wide, 1), order)]
    network = nn.Sequential(stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(wide, 3)).double()
    random_bn(network)
    return network.eval()


def gate(in_maps, maps, stride):
    return ExclusiveGate(in_maps, maps, stride, -1.0)


TINY = [
    (BasicBlock, original, option_a),
    slow(Bottleneck, pre, Projection),
    slow(SingleBlock, original, gate),
]


def noise(counts=(5, 2)):
    random = torch.Generator().manual_seed(1)
    return [(torch.randn(n, 1, 8, 8, dtype=torch.float64, generator=random), torch.arange(n) % 3) for n in counts]


def dense(network, batches):
    """The Hessian of the mean loss of all images at once, by torch."""
    names, weights = zip(*network.named_parameters(), strict=True)
    images, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))

    def loss(flat):
        parts = flat.split([weight.numel() for weight in weights])
        state = {name: part.view_as(weight) for name, part, weight in zip(names, parts, weights, strict=True)}
        return F.cross_entropy(torch.func.functional_call(network, state, (images,)), labels)

    flat = torch.cat([weight.detach().flatten() for weight in weights])
    return torch.autograd.functional.hessian(loss, flat, vectorize=True).numpy()


def random(size, seed=3):
    return np.random.RandomState(seed).standard_normal(size)


# -- products -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block, order, join", TINY, ids=lambda part: getattr(part, "__name__", str(part)))
def test_products_and_eigenvalues_are_those_of_the_dense_matrix(block, order, join):
    network, batches = tiny(block, order, join), noise()
    matrix, hessian = dense(network, batches), Hessian(network, batches)
    assert hessian.shape == matrix.shape and hessian.dtype == np.float64
    columns = np.eye(len(matrix))[:, ::7]
    np.testing.assert_allclose(hessian @ columns, matrix[:, ::7], rtol=0, atol=1e-9 * np.abs(matrix).max())
    expected, vectors = np.linalg.eigh(matrix)
    assert expected[0] < 0 < expected[-1]
    top, bottom = extremes(hessian, 3, 2, tolerance=1e-9)
    assert top.values == pytest.approx(expected[::-1][:3], rel=1e-8)
    assert bottom.values == pytest.approx(expected[:2], rel=1e-8)
    assert abs(top.vectors[0] @ vectors[:, -1]) == pytest.approx(1, abs=1e-6)
    assert abs(bottom.vectors[0] @ vectors[:, 0]) == pytest.approx(1, abs=1e-6)


def test_network_is_unchanged_and_weights_are_read_each_time():
    network, batches = tiny(*TINY[0]).requires_grad_(False), noise()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    hessian = Hessian(network, batches)
    vector = random(hessian.shape[0])
    first = hessian.matvec(vector)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(weight.grad is None and not weight.requires_grad for weight in network.parameters())
    assert not any(module.training for module in network.modules())
    for weight in network.parameters():
        weight.mul_(1.5)
    np.testing.assert_array_equal(hessian.matvec(vector), Hessian(network, batches).matvec(vector))
    assert not np.allclose(hessian.matvec(vector), first)


@pytest.mark.parametrize(
    "search", [lambda h: extremes(h, 1, 1), lambda h: trace(h, 3), lambda h: list(density(h, 9, 1))]
)
def test_a_stop_is_heard_between_batches(search):
    asked = []
    hessian = Hessian(tiny(*TINY[0]), noise(counts=(2, 2, 2)), lambda: len(asked) >= 5 or bool(asked.append(0)))
    with pytest.raises(Stopped):
        search(hessian)
    assert len(asked) == 5  # of three batches, and two of the next product


# -- eigenvalues ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("largest, smallest", [(5, 2), (2, 2), (0, 1)])
def test_eigenvalues_of_a_quadratic(largest, smallest):
    matrix, vectors = symmetric([-3.0, -2.0, *np.linspace(-0.5, 0.5, 50), 1, 2, 3, 4, 8])
    top, bottom = extremes(aslinearoperator(matrix), largest, smallest, tolerance=1e-9)
    assert top.values == pytest.approx([8, 4, 3, 2, 1][:largest], rel=1e-8)
    assert bottom.values == pytest.approx([-3, -2][:smallest], rel=1e-8)
    for found, expected in ((top.vectors, vectors.T[::-1]), (bottom.vectors, vectors.T)):
        for one, other in zip(found, expected, strict=False):
            assert one[np.abs(one).argmax()] > 0
            np.testing.assert_allclose(one, other * np.sign(one @ other), rtol=0, atol=1e-6)
    assert top.vectors.shape == (largest, len(matrix)) and bottom.vectors.shape == (smallest, len(matrix))


@pytest.mark.parametrize("largest, smallest", [(2, 2), (2, 1)])
def test_search_without_convergence_gives_nan_and_ends_at_its_limit(largest, smallest):
    hessian, products = counted(diags(np.linspace(-1, 2, 10_000)))
    top, bottom = extremes(hessian, largest, smallest, tolerance=1e-12)
    assert np.isnan(top.values).all() and top.values.shape == (largest,) and top.vectors.shape == (largest, 10_000)
    assert np.isnan(bottom.values).all() and bottom.values.shape == (smallest,)
    assert len(products) == (LIMIT if largest == smallest else 2 * LIMIT)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_loss_gives_nan_without_errors(value):
    network = tiny(*TINY[0])
    with torch.no_grad():
        next(network.parameters()).fill_(value)
    hessian = Hessian(network, noise())
    assert np.isnan(hessian.matvec(random(hessian.shape[0]))).any()
    top, bottom = extremes(hessian, 2, 1)
    assert np.isnan([*top.values, *bottom.values]).all() and np.isnan(trace(hessian, 3)).all()
    assert [np.isnan(part).all() for sample in density(hessian, 5, 2) for part in sample] == [True] * 4
    operator, products = counted(np.full((9, 9), np.nan))
    extremes(operator, 2, 1)
    assert len(products) == 2  # each search gives up at once


# -- trace and density ----------------------------------------------------------------------------------------------------


def test_trace_is_within_its_error():
    matrix, _ = symmetric(np.linspace(-1, 3, 60))
    mean, error = trace(aslinearoperator(matrix), 200)
    assert 0 < error < 2 and abs(mean - np.trace(matrix)) < 4 * error
    # Of v'Av with random signs the variance is twice the sum of the squares beside the diagonal.
    expected = np.sqrt(2 * ((matrix**2).sum() - (matrix.diagonal() ** 2).sum()) / 200)
    assert error == pytest.approx(expected, rel=0.25)
    exact = trace(aslinearoperator(np.diag([1.0, 2.0, 4.0])), 3)
    assert exact == (pytest.approx(7), pytest.approx(0, abs=1e-12))
    assert np.isnan(trace(aslinearoperator(matrix), 1)[1])


def test_density_with_all_steps_is_the_spectrum():
    values = np.array([-2.0, -1.0, 0.5, 1.0, 3.0, 7.0])
    matrix, vectors = symmetric(values)
    samples = list(density(aslinearoperator(matrix), 6, 3))
    assert len(samples) == 3
    for nodes, weights in samples:
        assert nodes == pytest.approx(values, abs=1e-10) and weights.sum() == pytest.approx(1)
    again = np.random.RandomState(0).randint(0, 2, 6) * 2.0 - 1
    np.testing.assert_allclose(samples[0][1], (vectors.T @ again) ** 2 / 6, atol=1e-10)
    assert not np.allclose(samples[0][1], samples[1][1])


def test_a_spectrum_of_few_values_has_few_nodes():
    [(nodes, weights)] = density(aslinearoperator(symmetric([*np.zeros(20), 1, 5])[0]), 10, 1)
    assert nodes == pytest.approx([0, 1, 5], abs=1e-10) and weights.sum() == pytest.approx(1)
    [(nodes, weights)] = density(aslinearoperator(np.zeros((5, 5))), 3, 1)
    assert nodes.tolist() == [0] and weights.tolist() == [1]


def test_lanczos_vectors_stay_orthogonal():
    """Without reorthogonalisation the outlier is found again and again."""
    matrix, _ = symmetric([*np.linspace(0, 1, 150), 1000])
    diagonal, beside = lanczos(aslinearoperator(matrix), np.ones(151), 60)
    nodes = np.linalg.eigvalsh(np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1))
    assert len(nodes) == 60 and (nodes > 2).sum() == 1


# -- the probe ---------------------------------------------------------------------------------------------------------


def by_measure(found):
    table = defaultdict(list)
    for value in found:
        table[value.measure].append(value)
    return table


@pytest.mark.slow
@pytest.mark.parametrize("network", [long("plain"), "residual"])
def test_measures_of_the_hessian_are_consistent(network):
    subject = make(16, network=network, block="single", depth=5)  # some 400 products: small, and in one batch
    before = {name: value.clone() for name, value in subject.network.state_dict().items()}
    found = by_measure(values("hessian", subject))
    assert all(torch.equal(value, before[name]) for name, value in subject.network.state_dict().items())
    assert {name: [value.place for value in rows] for name, rows in found.items()} == {
        "largest": [1, 2, 3, 4, 5],
        "smallest": [1, 2],
        "ratio": [0],
        "trace": [0],
        "trace_error": [0],
        "density_node": list(range(1, 61)),
        "density_weight": list(range(1, 61)),
    }
    number = {name: np.array([value.value for value in rows]) for name, rows in found.items()}
    assert (np.diff(number["largest"]) <= 0).all() and (np.diff(number["smallest"]) >= 0).all()
    assert number["smallest"][0] < 0 < number["largest"][0]
    assert number["ratio"][0] == pytest.approx(-number["smallest"][0] / number["largest"][0])
    nodes, weights = number["density_node"], number["density_weight"]
    assert weights.sum() == pytest.approx(1) and (weights >= 0).all()
    assert nodes[:30].max() == pytest.approx(number["largest"][0], rel=1e-3)
    assert nodes.min() >= number["smallest"][0] * 1.001
    # Two estimates of the trace, of which the second has two samples.
    size = sum(weight.numel() for weight in subject.network.parameters())
    assert abs(number["trace"][0] - size * (weights @ nodes)) < 6 * number["trace_error"][0]
    assert {value.layer for rows in found.values() for value in rows} == {""}

"""Directions: norms, draws, differences, and the principal directions of a trajectory."""

import pytest
import torch
from sklearn.decomposition import PCA
from torch import nn

from study.measure.surface.directions import principal, projected, random
from study.measure.surface.flat import Flat
from study.networks.network import build
from tests.helpers import make_spec, slow

NETWORKS = [
    {"network": "plain"},
    {"shortcut": "B"},
    {"block": "bottleneck", "depth": 11, "shortcut": "exclusive_gate"},
    slow({"network": "plain", "family": "vgg", "depth": 11, "family.head": "cifar"}),
]


def centre(**fields):
    network = build(make_spec(**fields), 1, 10)
    flat = Flat(network)
    return network, flat, flat.pack(network.state_dict())


def units(flat, vector, kind):
    """The parts of a vector that are normalised separately, each flat."""
    weights = [part.double() for _, part in flat.parts(vector) if part.ndim > 1]
    if kind == "filter":
        return [row.flatten() for part in weights for row in part]
    parts = [part.flatten() for part in weights]
    return parts if kind == "layer" else [torch.cat(parts)]


@pytest.mark.parametrize("fields", NETWORKS)
@pytest.mark.parametrize("kind", ["filter", "layer", "model"])
def test_normalised_units_have_the_norms_of_the_weights(kind, fields):
    _, flat, vector = centre(**fields)
    for direction in random(flat, vector, 0, 2, kind):
        for ours, weights in zip(units(flat, direction, kind), units(flat, vector, kind), strict=True):
            torch.testing.assert_close(ours.norm(), weights.norm(), rtol=1e-5, atol=0)
        # Biases, BN's parameters and statistics do not move.
        assert not any(part.any() for _, part in flat.parts(direction) if part.ndim == 1)
        if kind != "filter":  # one scale for all filters of a layer
            filters = [
                torch.stack([u.norm() for u in units(flat, side, "filter")[:16]]) for side in (direction, vector)
            ]
            assert not torch.allclose(*filters, rtol=0.05)


def test_normalisation_by_weight():
    _, flat, vector = centre()
    by_weight, by_model = (random(flat, vector, 0, 2, kind) for kind in ("weight", "model"))
    for axis in range(2):
        for (_, d), (_, drawn), (_, w) in zip(*map(flat.parts, (by_weight[axis], by_model[axis], vector)), strict=True):
            if w.ndim > 1:
                ratio = d / (drawn * w)
                torch.testing.assert_close(ratio, torch.full_like(ratio, float(ratio.flatten()[0])), rtol=1e-4, atol=0)
            else:
                assert not d.any()


@pytest.mark.parametrize("kind", ["filter", "weight"])
def test_biases_and_bn_move_along_themselves(kind):
    network, flat, vector = centre()
    parameters = {name for name, _ in network.named_parameters()}
    usual, every = (random(flat, vector, 0, 2, kind, ignore=ignore) for ignore in ("biasbn", "none"))
    for axis in range(2):
        for (name, d), (_, before), (_, w) in zip(*map(flat.parts, (every[axis], usual[axis], vector)), strict=True):
            assert torch.equal(d, w if w.ndim == 1 and name in parameters else before)


def test_draws_repeat_and_differ_by_axis_and_plane():
    _, flat, vector = centre()
    planes = [random(flat, vector, number, 2, "filter") for number in (0, 0, 1)]
    assert torch.equal(planes[0], planes[1])
    rows = torch.cat([planes[0], planes[2]]).double()
    cosines = rows @ rows.T / rows.norm(dim=1)[:, None] / rows.norm(dim=1)[None, :]
    assert (cosines - torch.eye(4)).abs().max() < 0.05


def test_orthogonal_directions_keep_their_norms():
    _, flat, vector = centre()
    directions = random(flat, vector, 0, 2, "filter", orthogonal=True)
    for a, b, w in zip(*(units(flat, v, "filter") for v in (*directions, vector)), strict=True):
        torch.testing.assert_close(b.norm(), w.norm(), rtol=1e-5, atol=0)
        assert abs(a @ b) < 1e-6 * w.norm() ** 2


def test_filter_of_zeros_does_not_move():
    _, flat, vector = centre()
    dict(flat.parts(vector))["stem.0.weight"][3] = 0
    [direction] = random(flat, vector, 0, 1, "filter")
    stem = dict(flat.parts(direction))["stem.0.weight"]
    assert not stem[3].any() and stem[2].any() and direction.isfinite().all()


def test_state_of_another_network_is_refused():
    _, flat, _ = centre()
    for fields in ({"depth": 14}, {"family.width": 2}, {"shortcut": "B"}):
        with pytest.raises(ValueError, match="not the state of this network"):
            flat.pack(build(make_spec(**fields), 1, 10).state_dict())


# -- a descent whose directions are known ---------------------------------------------------------------------------------


class Plain(nn.Module):
    """Three weights and nothing else."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(3))


def descent():
    """Gradient descent on (a x^2 + b y^2 + c z^2) / 2: x_t = (1 - rate a)^t x_0, from (1, 1, 0)."""
    factors = torch.tensor([0.99, 0.5, 1.0])
    start = torch.tensor([1.0, 1.0, 0.0])
    return torch.stack([start * factors**t for t in range(20)])


def test_a_quadratic_descent_has_its_known_principal_directions():
    flat = Flat(Plain())
    points = descent()
    directions, places, explained = principal(flat, points, 2)
    # Uncentred second moments, by hand.
    values, vectors = torch.linalg.eigh(points.double().T @ points.double())
    for axis, place in enumerate((2, 1)):
        assert abs(abs(float(vectors[:, place] @ directions[axis].double())) - 1) < 1e-6
        assert explained[axis] == pytest.approx(float(values[place] / values.sum()), rel=1e-9)
    torch.testing.assert_close(directions @ directions.T, torch.eye(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(places.coordinates, points.double() @ directions.double().T, atol=1e-6, rtol=0)
    assert places.residuals.max() < 1e-6 and sum(explained) == pytest.approx(1)


@pytest.mark.parametrize(("snapshots", "offset"), [(3, 0.0), (12, 30.0)])
def test_centred_directions_equal_scikit_learn(snapshots, offset):
    _network, flat, _ = centre()
    draw = torch.Generator().manual_seed(0)
    ways = torch.randn(snapshots, flat.weights, generator=draw) * torch.linspace(2, 1, snapshots)[:, None] + offset
    ways[-1] = 0  # the end
    directions, places, explained = principal(flat, ways, 2, centred=True)
    theirs = PCA(2).fit(ways.double().numpy())
    assert explained == pytest.approx(theirs.explained_variance_ratio_, rel=1e-6)
    components = torch.from_numpy(theirs.components_)
    ours = directions[:, : flat.weights].double()
    signs = (ours * components).sum(1).sign()
    torch.testing.assert_close(ours, components * signs[:, None], rtol=0, atol=1e-6)
    # As in the code of Li et al. the plane goes through the end, not through the mean.
    torch.testing.assert_close(places.coordinates, ways.double() @ ours.T, rtol=1e-5, atol=1e-4)
    assert not places.coordinates[-1].any() and float(places.residuals[-1]) == 0
    assert principal(flat, ways, 2)[2] != pytest.approx(explained, rel=1e-3)


def test_snapshots_are_projected_by_least_squares():
    axes = torch.tensor([[2.0, 0.0, 0.0, 9.0], [1.0, 1.0, 0.0, 9.0]])  # at an angle; the last value is no weight
    ways = torch.tensor([[3.0, 1.0, 0.0], [3.0, 1.0, 4.0], [0.0, 0.0, 0.0]])
    coordinates, residuals = projected(ways, axes)
    wanted = torch.tensor([[1.0, 1.0], [1.0, 1.0], [0.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(coordinates, wanted)
    torch.testing.assert_close(residuals, torch.tensor([0.0, 4.0, 0.0], dtype=torch.float64))


def test_snapshots_on_a_line_span_no_plane():
    flat = Flat(Plain())
    line = torch.arange(5.0)[:, None] * torch.tensor([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="do not span 2 dimensions"):
        principal(flat, line, 2)
    assert principal(flat, line, 1)[2] == pytest.approx([1.0])


class Tied(nn.Module):
    """One weight under two names, a constant that no state has, and a counter."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.register_buffer("constant", torch.ones(3), persistent=False)
        self.register_buffer("counter", torch.tensor([1, 2]))


def test_a_vector_holds_what_the_state_of_any_module_holds():
    network, other = Tied(), Tied()
    flat = Flat(network)
    vector = flat.pack(other.state_dict())
    assert flat.size == len(vector) == 9 + 3 + 3
    flat.bind(network, vector)
    for name, value in other.state_dict().items():
        assert torch.equal(network.state_dict()[name], value), name

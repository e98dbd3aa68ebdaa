"""Loss and error at a point: equal to what training recorded, to plain evaluation, and to themselves."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from study.config.surface import Surface
from study.measure.probes.batch_norm import recalibrate
from study.measure.probes.subject import Stopped
from study.measure.surface import plane
from study.measure.surface.directions import random
from study.measure.surface.evaluate import Evaluator
from study.measure.surface.flat import Flat
from study.measure.surface.plane import Plane
from study.networks.network import loaded, structure
from study.store import runs as store
from study.training.start import final
from tests.helpers import make_spec, slow

MODES = ["frozen", "recalibrated", "batch"]


def surface_of(run, **fields):
    return Surface.model_validate({"run": run.run_id, **fields})


def evaluator(run, images, **fields):
    surface = surface_of(run, **fields)
    return Evaluator(surface, store.read_spec(run), plane.make(surface, run, [], images), images)


def at(made, *coordinates):
    return {split: tuple(measured) for split, measured in made.at(coordinates).items()}


def network_at(made, run, *coordinates):
    """The network at a point, made anew in the plainest way."""
    vector = made.centre.double() + torch.tensor(coordinates, dtype=torch.float64) @ made.directions.double()
    network = structure(store.read_spec(run), 1, 10).eval()
    state = dict(made.flat.parts(vector.float()))
    network.load_state_dict(state, strict=False)
    return network


def whole(images, split):
    return images.at(split, torch.arange(images.count(split)))


def loss_of(network, images, labels):
    with torch.no_grad():
        return float(F.cross_entropy(network(images).double(), labels))


@pytest.mark.parametrize("bn", MODES)
def test_point_measured_twice_is_equal_bit_for_bit(bn, trained, digits):
    places = [(0.3, -0.4), (0.0, 0.0), (-1.0, 1.0)]
    made, again = (evaluator(trained["residual"], digits, bn=bn) for _ in range(2))
    first = [at(made, *place) for place in places]
    assert [at(made, *place) for place in reversed(places)] == first[::-1]
    assert at(again, *places[2]) == first[2] and first[0] != first[1]


def test_statistics_are_recalibrated_at_the_point(trained, digits):
    run = trained["plain"]
    made = evaluator(run, digits, bn="recalibrated", bn_images=300)
    network = network_at(made, run, 0.5, 0.5)
    frozen = loss_of(network, *whole(digits, "test"))
    batch, chosen = store.read_spec(run).recipe.batch_size, np.random.RandomState(0).permutation(len(digits))[:300]
    parts = np.array_split(chosen, -(-300 // batch))
    recalibrate(network, [digits.at("train", torch.from_numpy(part))[0] for part in parts])
    expected = loss_of(network, *whole(digits, "test"))
    found = made.at((0.5, 0.5))["test"].loss
    assert found == pytest.approx(expected, rel=1e-5) and found != pytest.approx(frozen, rel=0.05)
    assert {id(module.training) for module in network.modules()} == {id(False)}


def test_batch_statistics(trained, digits):
    run = trained["plain"]
    made = evaluator(run, digits, bn="batch", data="test")
    network = network_at(made, run, 0.5, 0.5).train()
    count, size = digits.count("test"), store.read_spec(run).recipe.batch_size
    order = np.random.RandomState(0).permutation(count)
    losses = []
    with torch.no_grad():
        for part in np.array_split(order, -(-count // size)):
            images, labels = digits.at("test", torch.from_numpy(part))
            losses.append(F.cross_entropy(network(images), labels, reduction="sum"))
    assert made.at((0.5, 0.5))["test"].loss == pytest.approx(float(sum(losses)) / count, rel=1e-5)


@pytest.mark.parametrize("name, bn", [("plain", "frozen"), ("residual", "recalibrated")])
def test_rescaling_a_filter_under_bn_leaves_the_surface_unchanged(name, bn, trained, digits):
    """Filter normalisation is for this (Li et al. 2018, section 4); running statistics are rescaled with the filter."""
    run = trained[name]
    spec, surface = store.read_spec(run), surface_of(run, bn=bn)
    state = dict(final(run)["network"])
    network = loaded(spec, state, 1, 10)
    flat = Flat(network)
    made = {}
    for factor in (1.0, 7.0):
        scaled = {key: tensor.clone() for key, tensor in state.items()}
        for conv, bn_name in (("stem.0", "stem.1"), ("stages.1.0.conv1", "stages.1.0.bn1")):
            scaled[f"{conv}.weight"][2] *= factor
            scaled[f"{bn_name}.running_mean"][2] *= factor
            scaled[f"{bn_name}.running_var"][2] *= factor**2
        centre = flat.pack(scaled)
        spanned = random(flat, centre, 0, 2, "filter")
        ranges = ((-1.0, 1.0), (-1.0, 1.0))
        made[factor] = Evaluator(surface, spec, Plane(centre, spanned, ranges, "", 1), digits)
    for place in ((0.0, 0.0), (0.2, -0.1), (0.4, 0.3)):
        one, other = (made[factor].at(place)["train"].loss for factor in made)
        assert one == pytest.approx(other, rel=2e-3), place  # eps in BN's variance is not rescaled


def test_subset_applies_to_training_images(trained, digits):
    made = evaluator(trained["plain"], digits, subset=100)
    assert (made.images("train"), made.images("test")) == (100, digits.count("test"))
    chosen = np.sort(np.random.RandomState(0).permutation(len(digits))[:100])
    network = network_at(made, trained["plain"], 0.0, 0.0)
    expected = loss_of(network, *digits.at("train", torch.from_numpy(chosen)))
    found = made.at((0.0, 0.0))
    assert found["train"].loss == pytest.approx(expected, rel=1e-5)
    assert found["test"] == evaluator(trained["plain"], digits).at((0.0, 0.0))["test"]


@pytest.mark.slow
def test_bf16_is_close_to_fp32(trained, digits):
    both = [evaluator(trained["residual"], digits, precision=p) for p in ("fp32", "bf16")]
    wide, low = (made.at((0.1, 0.1))["train"].loss for made in both)
    assert low != wide and low == pytest.approx(wide, abs=1e-2)


def test_stop_is_asked_before_each_batch(trained, digits):
    made = evaluator(trained["residual"], digits, bn="batch")
    expected = at(made, 0.1, 0.1)
    for measure in (lambda stopped: made.at((0.3, 0.0), stopped), lambda stopped: made.of(made.centre, stopped)):
        answers = [False, False, True]
        with pytest.raises(Stopped):
            measure(lambda: answers.pop(0))  # noqa: B023
        assert not answers
    assert at(made, 0.1, 0.1) == expected


def test_nan_is_kept_and_does_not_spread(trained, digits):
    made = evaluator(trained["residual"], digits)
    with torch.no_grad():
        made.centre[0] = math.nan
    assert at(made, 0.0, 0.0)["train"] == pytest.approx((math.nan, 100.0), nan_ok=True)
    made = evaluator(trained["residual"], digits)
    with torch.no_grad():
        dict(made.flat.parts(made.directions[0]))["head.weight"].fill_(1e38)
    found = made.at((1.0, 0.0))["train"]
    assert not math.isfinite(found.loss)
    # NaN at one point does not affect the next.
    assert at(made, 0.0, 0.0) == at(evaluator(trained["residual"], digits), 0.0, 0.0)


@pytest.mark.parametrize(
    "fields",
    [
        {"order": "pre", "shortcut": "dropout"},
        slow({"network": "plain", "family": "vgg", "depth": 11, "family.head": "cifar"}),
    ],
)
@pytest.mark.parametrize("bn", MODES)
def test_all_kinds_of_networks(bn, fields, digits):
    spec = make_spec(**fields)
    network = structure(spec, 1, 10)
    flat = Flat(network)
    centre = flat.pack(network.state_dict())
    spanned = Plane(centre, random(flat, centre, 0, 2, "filter"), ((-1.0, 1.0),) * 2, "", 1)
    surface = Surface.model_validate({"run": "any-000000000000", "bn": bn, "subset": 64, "data": "train"})
    made = Evaluator(surface, spec, spanned, digits)
    assert math.isfinite(made.at((0.1, 0.0))["train"].loss)
    if bn == "frozen":
        chosen = np.sort(np.random.RandomState(0).permutation(len(digits))[:64])
        expected = loss_of(network.eval(), *digits.at("train", torch.from_numpy(chosen)))
        assert made.at((0.0, 0.0))["train"].loss == pytest.approx(expected, rel=1e-5)

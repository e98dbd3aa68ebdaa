"""Planes: their points, directions and files, and errors without a usable network."""

import dataclasses
import itertools
import shutil

import pytest
import torch

from study.config.surface import Surface
from study.errors import StudyError
from study.measure.surface import plane
from study.measure.surface.evaluate import Evaluator
from study.measure.surface.lattice import CHUNK, CURVED_CHUNK, PATH, chunks, coordinate, lattice
from study.networks.network import build
from study.store import runs as store
from study.store.layout import RunFiles, SurfaceFiles
from study.training import checkpoint
from study.training.feeds.images import Images
from study.training.start import final
from tests.helpers import make_spec, open_run, seal_run, slow, tiny_images


def surface_of(run, **fields):
    return Surface.model_validate({"run": run.run_id, **fields})


@pytest.fixture
def copies(trained, tmp_path):
    """Copies of the trained runs, to be damaged."""
    results = trained["plain"].results
    shutil.copytree(results, tmp_path / "results")
    return {name: RunFiles(tmp_path / "results" / run.folder.relative_to(results)) for name, run in trained.items()}


@pytest.mark.parametrize("kind", ["random", "pca"])
def test_plane_can_be_saved_and_loaded(kind, trained, digits, tmp_path):
    made = plane.make(surface_of(trained["plain"], plane=kind), trained["plain"], [], digits)
    files = SurfaceFiles(tmp_path / "a-surface")
    assert plane.load(files) is None
    made.save(files)
    back = plane.load(files)
    for field in dataclasses.fields(plane.Plane):
        ours, theirs = getattr(made, field.name), getattr(back, field.name)
        assert torch.equal(ours, theirs) if isinstance(ours, torch.Tensor) else ours == theirs


def test_damaged_or_foreign_plane_is_skipped(trained, digits, tmp_path, caplog):
    files = SurfaceFiles(tmp_path / "a-surface")
    plane.make(surface_of(trained["plain"]), trained["plain"], [], digits).save(files)
    [path] = files.planes()
    path.write_bytes(path.read_bytes()[:-100])
    assert plane.load(files) is None and "checksum" in caplog.text
    assert files.planes() == []
    plane.make(surface_of(trained["plain"]), trained["plain"], [], digits).save(SurfaceFiles(tmp_path / "other"))
    [path] = SurfaceFiles(tmp_path / "other").planes()
    shutil.copy(path, files.folder)
    assert plane.load(files) is None and "another surface" in caplog.text


def test_interpolation_refuses_networks_of_other_inputs_or_layers(copies, digits, tmp_path):
    """The centre's images less their mean at each pixel: of a network that knows another mean, the loss would be wrong."""
    other = open_run(tmp_path / "results", make_spec(network="plain", recipe__mean="channel"))
    surface = surface_of(copies["plain"], plane="interpolate", to=[other.run_id])
    with pytest.raises(StudyError, match=r"was trained with recipe\.mean channel, the centre with pixel"):
        plane.make(surface, copies["plain"], [other], digits)
    deeper = open_run(tmp_path / "results", make_spec(network="plain", depth=14))
    network = build(store.read_spec(deeper), 1, 10).state_dict()
    checkpoint.save(deeper, 1, {"network": network, "fingerprint": digits.fingerprint})
    seal_run(deeper, iteration=1)
    surface = surface_of(copies["plain"], plane="interpolate", to=[deeper.run_id])
    with pytest.raises(StudyError, match="other layers than the centre"):
        plane.make(surface, copies["plain"], [deeper], digits)


@pytest.mark.parametrize(("bn", "sizes"), [("frozen", [32] * 2), ("batch", [8] * 8)])
def test_hessian_with_batch_statistics_has_the_batches_of_bn(bn, sizes, digits, tmp_path):
    run = open_run(tmp_path / "results", make_spec(recipe__batch_size=32, recipe__bn_groups=4))
    network = build(store.read_spec(run), 1, 10)
    surface = surface_of(run, bn=bn, curvature=True, curvature_images=64)
    batches = plane.hessian_batches(surface, run, network, digits)
    assert [len(labels) for _, labels in batches] == sizes == [len(images) for images, _ in batches]
    whole = plane.hessian_batches(surface_of(run, curvature=True, curvature_images=64), run, network, digits)
    assert torch.equal(torch.cat([images for images, _ in batches]), torch.cat([images for images, _ in whole]))


def test_trajectory_coordinates_and_residuals(trained, digits):
    run = trained["residual"]
    surface = surface_of(run, plane="pca")
    made = plane.make(surface, run, [], digits)
    assert [snapshot.iteration for snapshot in made.snapshots] == [0, 10, 20, 30, 40]
    last = made.snapshots[-1]
    assert (last.alpha, last.beta, last.residual) == pytest.approx((0, 0, 0), abs=1e-6)
    flat = Evaluator(surface, store.read_spec(run), made, digits).flat
    for snapshot, state in zip(made.snapshots, checkpoint.load_snapshots(run, torch.device("cpu")), strict=True):
        way = (flat.pack(state["network"]) - made.centre)[: flat.weights].double()
        inside = snapshot.alpha * made.directions[0].double() + snapshot.beta * made.directions[1].double()
        assert float((way - inside[: flat.weights]).norm()) == pytest.approx(snapshot.residual, rel=1e-4, abs=1e-4)
    for axis, (low, high) in enumerate(made.ranges):
        places = [snapshot[1 + axis] for snapshot in made.snapshots]
        assert low < min(places) and max(places) < high
    assert 0.5 < made.facts["explained_a"] + made.facts["explained_b"] <= 1


@pytest.mark.slow
def test_curvature_along_leading_eigenvectors(trained, digits):
    """Along a unit eigenvector of the Hessian of the same images the loss is L + g a + lambda a^2 / 2."""
    run = trained["plain"]
    surface = surface_of(run, plane="hessian", curvature_images=256, subset=256, data="train", dims=1)
    made = plane.make(surface, run, [], digits)
    evaluator = Evaluator(surface, store.read_spec(run), made, digits)
    # The kinks of ReLUs bend the loss, too, but not by much.
    step = 0.01
    below, centre, above = (evaluator.at((place,))["train"].loss for place in (-step, 0.0, step))
    assert (below - 2 * centre + above) / step**2 == pytest.approx(made.facts["eigenvalue_a"], rel=0.1)
    assert float(made.directions[0].norm()) == pytest.approx(1, rel=1e-5)


def foreign(run):
    """Put other tensors into its checkpoint."""
    state = final(run) | {"network": {"w": torch.zeros(3, 3, 3, 3)}}
    run.checkpoints()[0].unlink()
    checkpoint.save(run, 40, {key: state[key] for key in ("network", "fingerprint")})


@pytest.mark.parametrize("spoil, images, expected", [
    (lambda run: run.checkpoints()[0].unlink(), None, "no sound checkpoint"),
    (foreign, None, "its checkpoint is not the state of plain-8"),
    (lambda run: run.done.unlink(), None, "is not finished"),
    (lambda run: seal_run(run, "diverged", iteration=40), None, "has diverged"),
    (lambda run: None, tiny_images(), "the images of digits have changed"),
], ids=["missing", "foreign", "unfinished", "diverged", "other images"])  # fmt: skip
def test_error_without_a_usable_network_is_one_line(spoil, images, expected, copies, digits):
    run = copies["plain"]
    spoil(run)
    with pytest.raises(StudyError, match=expected) as raised:
        plane.make(surface_of(run), run, [], Images(images, torch.device("cpu")) if images else digits)
    assert len(str(raised.value).splitlines()) == 1 and run.run_id in str(raised.value)


@pytest.mark.parametrize(
    "fields", [{"dims": 1}, {}, slow({"normalisation": "weight", "ignore": "none"}), slow({"plane": "hessian"})]
)
def test_trajectory_is_projected_on_any_plane(fields, trained, digits):
    run = trained["residual"]
    if fields.get("plane") == "hessian":
        fields = fields | {"curvature_images": 64}
    surfaces = (surface_of(run, trajectory=shown, **fields) for shown in (False, True))
    plain, made = (plane.make(surface, run, [], digits) for surface in surfaces)
    assert not plain.snapshots and torch.equal(plain.directions, made.directions) and plain.ranges == made.ranges
    assert [snapshot.iteration for snapshot in made.snapshots] == [0, 10, 20, 30, 40]
    assert made.snapshots[-1][1:] == (0.0, 0.0, 0.0) and made.snapshots[0].residual > 0
    assert chunks(surface_of(run, trajectory=True))[PATH] == []


def test_a_trajectory_needs_snapshots(copies, digits):
    for path in copies["plain"].snapshots()[1:]:
        path.unlink()
    with pytest.raises(StudyError, match=r"has 1 snapshots .* snapshot_every: epoch"):
        plane.make(surface_of(copies["plain"], plane="pca"), copies["plain"], [], digits)


# -- points ------------------------------------------------------------------------------------------------------------


def make(**fields):
    return Surface.model_validate({"run": "plain-8-digits-s0-0123456789ab", **fields})


def test_a_lattice_is_rectangular_with_exact_ends_and_its_second_axis_changes_fastest():
    points = lattice(make(points=[5, 3]))
    assert points[:4] == [(0, 0), (0, 1), (0, 2), (1, 0)] and len(points) == 15
    assert lattice(make(points=[3], dims=1)) == [(0, 0), (1, 0), (2, 0)]
    surface = make(points=[51, 7])
    assert coordinate(surface, 0, 0, -1.0, 1.0) == -1.0 and coordinate(surface, 0, 50, -1.0, 1.0) == 1.0
    assert coordinate(surface, 0, 25, -1.0, 1.0) == 0.0
    assert coordinate(surface, 1, 6, 0.1, 0.7) == 0.7
    places = [coordinate(surface, 0, place, -0.3, 1.7) for place in range(51)]
    assert all(a < b for a, b in itertools.pairwise(places))


def test_chunks_hold_every_point_once_in_order():
    surface = make(points=[15, 9])
    split = chunks(surface)
    assert [point for points in split.values() for point in points] == lattice(surface)
    assert list(split) == ["c000", "c001", "c002"] and len(split["c000"]) == CHUNK
    curved = chunks(make(points=3, curvature=True))
    assert [len(points) for points in curved.values()] == [CURVED_CHUNK, CURVED_CHUNK, 1]
    assert next(iter(chunks(make(plane="pca")).items())) == (PATH, [])

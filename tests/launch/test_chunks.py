"""One process at the chunks of several surfaces, one after another."""

import pytest
import torch

from study.config.surface import Surface, surface_id
from study.launch.attempt.work import work
from study.measure.surface.lattice import chunks
from study.store import surfaces as surface_store
from study.store.housekeeping import reset_surface
from study.training.session import Session
from tests.measure.surface.conftest import train_three


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train_three(tmp_path_factory.mktemp("trained"))


def opened(run, **fields):
    surface = Surface.model_validate({"run": run.run_id, "points": 3, "data": "train", **fields})
    files = run.surface(surface_id(surface))
    surface_store.write_spec(files, surface)
    return files


def folders(*surfaces):
    return [s.chunk(key).folder for s in surfaces for key in chunks(surface_store.read_spec(s))]


def measured(paths, tmp_path):
    return work(paths, Session(tmp_path))


@pytest.mark.slow
def test_caches_are_not_shared_between_surfaces(
    trained,
    tmp_path,
):
    asked = [
        opened(trained["plain"]),
        opened(trained["plain"], number=1),
        opened(trained["plain"], number=1, bn="batch"),
        opened(trained["residual"]),
        opened(trained["plain"], subset=50),
    ]
    outcomes = measured(folders(*asked), tmp_path)
    assert set(outcomes.values()) == {"done"}
    together = [files.table.read_bytes() for files in asked]
    assert len(set(together)) == len(asked)
    for files in asked:
        reset_surface(files)
    for files in reversed(asked):
        measured(folders(files), tmp_path)
    assert [files.table.read_bytes() for files in asked] == together


@pytest.mark.slow
def test_a_surface_is_measured_with_the_threads_that_its_plane_was_made_with(
    trained,
    tmp_path,
):
    files = opened(trained["plain"], number=5, points=9)
    first, *rest = folders(files)
    torch.set_num_threads(1)
    measured([first], tmp_path)
    torch.set_num_threads(2)
    measured(rest, tmp_path)
    assert torch.get_num_threads() == 1 and files.done.exists()


@pytest.mark.slow
@pytest.mark.parametrize("plane", ["random", "pca"])
def test_points_of_two_planes_never_mix(plane, trained, tmp_path):
    files = opened(trained["plain"], plane=plane, points=9, number=7 if plane == "random" else 0)
    *most, last = folders(files)
    measured(most, tmp_path)
    [path] = files.planes()
    path.write_bytes(path.read_bytes()[:-50])
    outcomes = set(measured([last], tmp_path).values())
    if plane == "random":  # made again, it is the same
        assert outcomes == {"done"} and files.done.exists()
    else:
        assert outcomes == {"failed"} and not files.done.exists()
        assert "its plane is damaged or gone" in files.chunk(last.name.rpartition("-")[2]).failed.read_text()

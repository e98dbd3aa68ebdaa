"""A chunk of a surface: stopped anywhere, it goes on and ends with the same bytes."""

import pytest

from study.config.surface import Surface, surface_id
from study.measure.probes.curvature import Hessian, extremes
from study.measure.surface import plane
from study.measure.surface.chunk import Chunk
from study.measure.surface.evaluate import Evaluator
from study.measure.surface.lattice import PATH, lattice
from study.measure.surface.plane import hessian_batches
from study.store import runs as store
from study.store.layout import SurfaceFiles
from study.store.surfaces import load_points
from study.training.session import Session
from tests.helpers import read_rows, slow


class Bench:
    """One surface, and its chunks below a folder."""

    def __init__(self, folder, run, images, **fields):
        self.run = run
        self.surface = Surface.model_validate({"run": run.run_id, "points": 3, **fields})
        self.files = SurfaceFiles(folder / surface_id(self.surface))
        self.plane = plane.make(self.surface, run, [], images)
        self.evaluator = Evaluator(self.surface, store.read_spec(run), self.plane, images)

    def measure(self, key="c000", stop_after=None):
        files = self.files.chunk(key)
        seen = []
        session = Session(stopped=lambda: stop_after is not None and len(seen) > stop_after, report=seen.append)
        Chunk(files, self.surface, lattice(self.surface), self.plane, self.run).measure(self.evaluator, session)
        self.seen = seen
        return files


def content(files):
    return files.checkpoints()[0].read_bytes()


def test_chunk_has_each_point_and_split(trained, digits, tmp_path):
    bench = Bench(tmp_path, trained["plain"], digits, range=[[-1, 1], [0, 2]])
    files = bench.measure()
    count, rows = load_points(files)
    assert count == 9 and len(rows) == 18 and files.done.exists() and len(files.checkpoints()) == 1
    assert [(r["i"], r["j"], r["split"]) for r in rows[:3]] == [(0, 0, "train"), (0, 0, "test"), (0, 1, "train")]
    assert [(r["alpha"], r["beta"]) for r in rows[::2]] == [(a, b) for a in (-1.0, 0.0, 1.0) for b in (0.0, 1.0, 2.0)]
    assert {r["images"] for r in rows} == {360, 90} and {r["iteration"] for r in rows} == {None}
    assert [p.iteration for p in bench.seen] == list(range(10)) and {p.iterations for p in bench.seen} == {9}


@pytest.mark.parametrize("bn", ["frozen", slow("recalibrated")])
def test_resumed_chunk_has_equal_bytes(bn, trained, digits, tmp_path):
    whole = content(Bench(tmp_path / "whole", trained["residual"], digits, bn=bn).measure())
    for stop in (0, 5):
        bench = Bench(tmp_path / str(stop), trained["residual"], digits, bn=bn)
        files = bench.measure(stop_after=stop)
        assert not files.done.exists() and load_points(files)[0] == stop
        files = bench.measure()
        assert content(files) == whole and files.done.exists()


@pytest.mark.parametrize(("key", "fields"), [("c000", {}), (PATH, {"plane": "pca"})])
def test_stop_interrupts_a_point(key, fields, trained, digits, tmp_path):
    """A point of a deep network takes a CPU minutes; a scheduler that wants the machine back does not wait that long."""
    bench = Bench(tmp_path, trained["residual"], digits, **fields)
    files, asked = bench.files.chunk(key), []
    chunk = Chunk(files, bench.surface, lattice(bench.surface), bench.plane, bench.run)
    assert not chunk.measure(bench.evaluator, Session(stopped=lambda: asked.append(1) or len(asked) == 3))
    assert len(asked) == 3 and load_points(files)[0] == 0 and not files.done.exists()
    whole = content(Bench(tmp_path / "whole", trained["residual"], digits, **fields).measure(key))
    assert content(bench.measure(key)) == whole


def test_chunk_resumes_after_a_kill_and_a_damaged_file(trained, digits, tmp_path, caplog):
    bench = Bench(tmp_path, trained["plain"], digits)

    class Killed(BaseException):
        pass

    def die(progress):
        if progress.iteration == 4:
            raise Killed

    files = bench.files.chunk("c000")
    chunk = Chunk(files, bench.surface, lattice(bench.surface), bench.plane, bench.run)
    with pytest.raises(Killed):
        chunk.measure(bench.evaluator, Session(checkpoint_seconds=0, report=die))
    assert load_points(files)[0] == 4 and len(files.checkpoints()) == 2
    newest = files.checkpoints()[0]
    newest.write_bytes(newest.read_bytes()[:-7])
    assert load_points(files)[0] == 3 and "checksum" in caplog.text
    assert content(bench.measure()) == content(Bench(tmp_path / "whole", trained["plain"], digits).measure())


def test_losses_of_a_trajectory_equal_the_training(trained, digits, tmp_path):
    run = trained["residual"]
    rows = load_points(Bench(tmp_path, run, digits, plane="pca").measure(PATH))[1]
    assert [row["iteration"] for row in rows[::2]] == [0, 10, 20, 30, 40]
    for row in rows:
        split = "train_clean" if row["split"] == "train" else "test"
        recorded = [r for r in read_rows(run.curves) if r["split"] == split and r["iteration"] == row["iteration"]]
        if recorded:
            assert row["loss"] == pytest.approx(recorded[0]["loss"], rel=1e-5) and row["error"] == recorded[0]["error"]
    assert {row["iteration"] for row in rows} >= {20, 40}
    assert rows[0]["residual"] > 0 and rows[-1]["residual"] == pytest.approx(0, abs=1e-6)


@pytest.mark.slow
def test_curvature_is_that_of_the_network_at_the_point(trained, digits, tmp_path):
    run = trained["plain"]
    bench = Bench(tmp_path, run, digits, points=2, dims=1, curvature=True, curvature_images=128)
    rows = load_points(bench.measure())[1]
    train = [row for row in rows if row["split"] == "train"]
    for row in train:
        network = bench.evaluator.move((row["alpha"],))
        hessian = Hessian(network, hessian_batches(bench.surface, run, network, digits))
        largest, smallest = extremes(hessian, 1, 1)
        assert (row["lambda_max"], row["lambda_min"]) == (largest.values[0], smallest.values[0])
    assert train[0]["lambda_max"] != train[1]["lambda_max"] and train[0]["lambda_max"] > 0 > train[0]["lambda_min"]
    assert {row["lambda_max"] for row in rows if row["split"] == "test"} == {None}

"""`study surface`, and `study sweep` with surfaces, on this machine."""

from __future__ import annotations

import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest

import study as package
from study.launch.local.terminal import surfaces_shown
from study.launch.surface import open_packs, request
from study.measure.surface.lattice import chunks
from study.store.layout import ChunkFiles, RunFiles, SurfaceFiles, SweepFiles
from study.store.lease import claim, holder
from study.store.surfaces import finish, gather, read_spec, write_spec
from study.training import checkpoint
from study.training.start import final
from tests.helpers import PATIENCE, read_rows
from tests.launch.command import curves, inside, kill_tree, start, study, sweep_file, wait_for

FILE = """
name: tiny
fixed: {data: digits, train_subset: 400, depth: 8,
  recipe: {name: quick, iterations: 40, evaluate_every: 20, schedule: {at: [30]}}}
grid: {network: [plain, residual], seed: [0]}
surfaces:
  - {points: [5, 3], data: both}
  - {plane: random, points: 5, dims: 1, bn: recalibrated, bn_images: 128, of: {network: plain}}
"""


def surfaces(folder: Path) -> dict[str, SurfaceFiles]:
    """The surfaces below a folder's results, by id."""
    return {path.name: SurfaceFiles(path) for path in sorted(folder.glob("results/*/surfaces/*"))}


def named(folder: Path, beginning: str) -> RunFiles:
    [path] = folder.glob(f"results/*/runs/{beginning}*")
    return RunFiles(path)


def tables(folder: Path) -> dict[str, bytes]:
    """The bytes of every surface's table."""
    return {name: files.table.read_bytes() for name, files in surfaces(folder).items()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a finished sweep with its surfaces, and what its call printed."""
    folder = tmp_path_factory.mktemp("finished")
    code, out, err = inside(folder, "sweep", sweep_file(folder, FILE), "--threads", "1")
    assert code == 0, err
    return folder, out


@pytest.fixture
def copy(finished: tuple[Path, str], tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    shutil.copytree(finished[0], tmp_path / "copy")
    return tmp_path / "copy"


def test_a_sweep_measures_the_surfaces_that_its_file_names(finished: tuple[Path, str]) -> None:
    folder, out = finished
    assert "tiny: 3 of 3 surfaces to measure" in out and "surfaces: results/tiny/surfaces.parquet" in out
    frame = package.read_surfaces(folder / "results/tiny")
    assert set(frame["network"]) == {"plain", "residual"} and set(frame["bn"]) == {"frozen", "recalibrated"}
    assert not frame.duplicated(["surface_id", "i", "j", "split"]).any()
    assert len(frame) == 2 * 15 * 2 + 5 * 2
    for name in ("plain", "residual"):
        part = frame[(frame["network"] == name) & (frame["dims"] == 2)]
        assert (part["points_a"] == 5).all() and (part["points_b"] == 3).all() and part["j"].max() == 2
        last = {row["split"]: row for row in read_rows(named(folder, f"{name}-8").curves)}
        centre = part[(part["alpha"] == 0) & (part["beta"] == 0)].set_index("split")
        assert centre["loss"]["train"] == pytest.approx(last["train_clean"]["loss"], rel=1e-5)
        assert centre["error"]["test"] == last["test"]["error"]
        assert f"{centre['loss']['train']:.4g} at the centre (in training: {last['train_clean']['loss']:.4g})" in out


def test_finished_surfaces_are_not_measured_again(copy: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in copy.glob("results/tiny/surfaces/**/*.parquet")}
    code, out, err = inside(copy, "sweep", "tiny.yaml")
    assert code == 0 and "nothing is left to train" in out and "to measure" not in out, err
    code, out, _ = inside(copy, "surface", "tiny")
    assert code == 0 and "to measure" not in out and out.count("at the centre") == 3
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_status_shows_surfaces(copy: Path) -> None:
    code, out, _ = inside(copy, "status", "tiny")
    assert code == 0 and "3 surfaces: 3 done" in out and "plain-8 seed 0: random, 5 x 3" in out
    chosen = next(files for name, files in surfaces(copy).items() if "recalibrated" in name)
    chosen.done.unlink()
    chosen.table.unlink()
    shutil.rmtree(chosen.folder / "chunks")
    code, out, _ = inside(copy, "status", "tiny", "--json")
    states = {record["surface_id"]: record["state"] for record in json.loads(out) if "surface_id" in record}
    assert sorted(states.values()) == ["done", "done", "pending"] and states[chosen.run_id] == "pending"


def test_a_dry_run_does_nothing(copy: Path) -> None:
    before = sorted(copy.rglob("*"))
    code, out, _ = inside(copy, "surface", "tiny", "--points", "4", "--planes", "2", "-n")
    assert code == 0 and "4 surfaces, 4 to measure; nothing was done" in out
    assert out.count("random 1, 4 x 4") == 2
    assert sorted(copy.rglob("*")) == before


def test_options_measure_other_surfaces_of_all_runs(copy: Path) -> None:
    words = ["--points", "3x2", "--range=-1:1,0:0.5", "--orthogonal", "--subset", "64", "--data", "train"]
    code, out, err = inside(copy, "surface", "tiny", *words)
    assert code == 0 and "2 of 2 surfaces to measure" in out, err
    frame = package.read_surfaces(copy / "results/tiny")
    part = frame[frame["orthogonal"]]
    assert set(part["images"]) == {64} and set(part["split"]) == {"train"} and len(part) == 12
    assert sorted(set(part["beta"])) == [0.0, 0.5] and sorted(set(part["alpha"])) == [-1.0, 0.0, 1.0]
    assert part["surface_id"].nunique() == 2 and frame["surface_id"].nunique() == 5
    assert "5 surfaces: 5 done" in inside(copy, "status", "tiny")[1]


def test_a_surface_that_another_process_measures_is_left_to_it(copy: Path) -> None:
    before = tables(copy)
    chosen = next(iter(surfaces(copy).values()))
    chosen.done.unlink()
    [chunk] = chosen.chunks()
    chunk.done.unlink()
    lease = claim(chunk)
    assert lease is not None
    _code, out, err = inside(copy, "surface", "tiny", "--mode", "force")
    assert "2 of 3 surfaces to measure" in out and "in progress on" in out, err
    lease.release()
    inside(copy, "surface", "tiny")
    assert tables(copy) == before


@pytest.mark.slow
def test_a_line_to_another_run(copy: Path) -> None:
    code, _, err = inside(copy, "surface", "plain-8", "--plane", "interpolate", "--to", "residual-8", "--points", "5")
    assert code == 0, err
    frame = package.read_surfaces(copy / "results/tiny")
    line = frame[(frame["plane"] == "interpolate") & (frame["split"] == "test")].set_index("alpha")
    # The range is -0.5 to 1.5, so both runs are on the line.
    assert list(line.index) == [-0.5, 0.0, 0.5, 1.0, 1.5]
    last = [row for row in read_rows(named(copy, "plain-8").curves) if row["split"] == "test"][-1]
    assert line["loss"][0.0] == pytest.approx(last["loss"], rel=1e-5)


@pytest.mark.slow
def test_an_interrupted_measurement_resumes_to_the_same_bytes(copy: Path) -> None:
    words = ["surface", "plain-8", "--points", "9", "--subset", "100", "--data", "train", "--bn", "recalibrated"]
    words += ["--planes", "1", "--workers", "1", "--threads", "1"]  # one worker starts sooner than two
    code, _, err = inside(copy, *words)
    assert code == 0, err
    expected = tables(copy)
    assert len(expected) == 4
    for name, files in surfaces(copy).items():
        if json.loads(files.spec.read_text())["points"] == [9, 9]:
            shutil.rmtree(files.folder)
            expected.setdefault(name, b"")
    for count in (1, 2):  # chunks begun
        process = start(copy, *words)
        wait_for(lambda: len(list(copy.glob("results/tiny/surfaces/*/chunks/*/attempts.jsonl"))) >= count + 3)  # noqa: B023
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 130 and "rerun to continue" in err
    code, _out, err = inside(copy, *words)
    assert code == 0, err
    assert tables(copy) == expected
    assert not list(copy.glob("results/tiny/surfaces/**/*.tmp"))
    # One that is killed between its chunk's seal and the lease's release leaves a lease that is void.
    assert not [path for path in copy.glob("results/**/lease") if holder(ChunkFiles(path.parent))]


@pytest.mark.slow
def test_surfaces_wait_for_their_runs(tmp_path: Path) -> None:
    file = sweep_file(tmp_path, FILE)
    code, out, _ = inside(tmp_path, "sweep", file, "-n")
    assert code == 0 and "3 surfaces" in out and not (tmp_path / "results").exists()
    process = start(tmp_path, "sweep", file, "--executor", "debug")
    wait_for(lambda: list(tmp_path.glob("results/tiny/runs/*/attempts.jsonl")))
    kill_tree(process)
    code, out, _ = inside(tmp_path, "surface", "tiny", "-n")
    assert code == 0 and out.count("hold") >= 1 and "is not trained yet" in out


def test_a_run_without_a_sound_checkpoint_gives_one_line_and_nothing_is_written(copy: Path) -> None:
    run, says = named(copy, "plain-8"), "has no sound checkpoint"
    [path] = run.checkpoints()
    path.write_bytes(path.read_bytes()[:1000])
    before = set(surfaces(copy))
    code, out, err = inside(copy, "surface", "plain-8", "--points", "3")
    lines = [line for line in err.splitlines() if "passed over" not in line]
    assert code == 2 and len(lines) == 1 and says in lines[0] and run.run_id in lines[0]
    assert set(surfaces(copy)) == before
    # The other runs of a sweep are measured nevertheless.
    code, out, err = inside(copy, "surface", "tiny", "--points", "3")
    assert code == 1 and says in err and len(set(surfaces(copy)) - before) == 1 and "ResNet-8 seed 0" in out


def test_a_line_to_a_missing_run_is_held(copy: Path) -> None:
    wanted = request(SweepFiles(copy / "results", "plain-8"), {"plane": "interpolate", "points": 3}, ["residual-8"])
    gone = replace(wanted, runs={name: files for name, files in wanted.runs.items() if name in wanted.specs})
    [action] = gone.plan()
    assert action.verb == "hold" and action.reason.endswith("no longer exists")


def test_a_chunk_that_another_process_takes_before_the_work_begins_has_a_bar(copy: Path) -> None:
    wanted = request(SweepFiles(copy / "results", "residual-8"), {"points": 3})
    packs = open_packs(wanted.plan())
    [[chunk]] = [[ChunkFiles(folder) for folder in pack] for pack in packs]
    lease = claim(chunk)
    assert lease is not None and [action.verb for action in wanted.plan()] == ["wait"]
    assert [task.task_id for task in surfaces_shown(wanted.plan(), packs)] == [chunk.run_id]


def test_a_damaged_spec_of_a_surface_is_written_again(copy: Path) -> None:
    chosen = next(iter(surfaces(copy).values()))
    spec = read_spec(chosen)
    for text in ("{", "{}", chosen.spec.read_text().replace("5", "7", 1)):
        chosen.spec.write_text(text)
        write_spec(chosen, spec)
        assert read_spec(chosen) == spec


def test_a_sweep_shows_its_results_even_if_no_surface_can_be_measured(copy: Path) -> None:
    for files in surfaces(copy).values():
        shutil.rmtree(files.folder)
    for path in copy.glob("results/tiny/runs/*/checkpoint-*"):
        path.unlink()
    code, out, err = inside(copy, "sweep", "tiny.yaml")
    assert code == 2 and err.count("has no sound checkpoint") == 2 and "training error" in out


@pytest.mark.slow
def test_a_centre_that_contradicts_the_training_gives_a_warning(copy: Path) -> None:
    run = named(copy, "plain-")
    words = ("surface", run.run_id, "--points", "3", "--range", "0.01", "--data", "train", "--subset", "200")
    assert "WARNING" not in inside(copy, *words)[2]
    exchange_weights(run)
    shutil.rmtree(copy / "results/tiny/surfaces")
    code, out, err = inside(copy, *words)
    assert code == 0 and "at the centre" in out
    [warning] = [line for line in err.splitlines() if line.startswith("WARNING")]
    assert run.run_id in warning and "its training recorded" in warning
    code, out, _ = inside(copy, "embed", run.run_id, "--depth", "14")
    assert code == 0 and f"WARNING: {run.run_id}" in out
    code, _, err = inside(copy, "probe", run.run_id, "--probes", "weights", "--images", "256")
    assert code == 0 and err.startswith(f"WARNING: {run.run_id}")


def exchange_weights(run: RunFiles) -> None:
    """Its checkpoint, with the weights of another network of its kind."""
    state = final(run)
    last = list(state["network"])[-2]  # of the linear layer
    network = state["network"] | {last: 300 * state["network"][last]}
    for path in run.checkpoints():
        path.unlink()
    checkpoint.save(run, state["iteration"], state | {"network": network})


@pytest.mark.slow
def test_training_again_ends_the_same_and_measures_the_surfaces_again(copy: Path) -> None:
    before, trained = tables(copy), curves(copy)
    code, out, err = study(copy, "sweep", "tiny.yaml", "--mode", "force", "--workers", "2", "--threads", "1")
    assert code == 0 and "3 of 3 surfaces to measure" in out, err
    assert tables(copy) == before  # the same weights, so the same surfaces, with any number of workers
    assert curves(copy) == trained and set(package.read_runs(copy / "results/tiny")["attempts"]) == {2}


def test_a_failed_chunk_says_why_and_is_retried_on_request(copy: Path) -> None:
    words = ["surface", "residual-8", "--plane", "pca", "--points", "3"]
    code, out, err = inside(copy, *words)
    assert code == 1 and "has 0 snapshots of its training" in err and "snapshot_every: epoch" in err
    code, out, err = inside(copy, *words)
    assert code == 1 and "to measure" not in out
    code, out, err = inside(copy, *words, "--mode", "retry", "-n")
    assert code == 0 and "1 surfaces, 1 to measure" in out, err


def test_a_mistake_gives_one_line_and_starts_nothing(finished: tuple[Path, str]) -> None:
    before = sorted(finished[0].rglob("*"))
    between = ["plain-8", "--plane", "interpolate", "--to"]
    for words, says in (
        (["nothing"], "no run 'nothing'"),
        (["tiny", "--points", "0"], "points: must be a number from 2"),
        (["tiny", "--points", "3by3"], "--points 3by3: write it as 51, or as 51x31"),
        (["tiny", "--range", "1:0"], "range: must be [low, high]"),
        (["tiny", "--range", "one"], "--range one: write it as 1, as 0:2"),
        (["tiny", "--plane", "interpolate"], "interpolate needs one or two other runs"),
        (["tiny", *between[1:], "seed=5"], "to: no run of this sweep is as plain-8 seed 0 with seed: 5"),
        ([*between, "plain-8"], "is the centre itself"),
        ([*between, "residual-8", "--to", "residual-8"], "is named twice"),
        (["tiny", "--plane", "pca", "--planes", "2"], "planes: goes with plane: random"),
        (["tiny", "--plane", "spiral"], "'spiral' is not one of"),
    ):
        code, _, err = inside(finished[0], "surface", *words)
        assert code == 2 and says in err and "Traceback" not in err, (words, err)
    assert sorted(finished[0].rglob("*")) == before


def test_a_surface_is_never_sealed_with_holes(copy: Path) -> None:
    before = tables(copy)
    torn, bare, *_ = surfaces(copy).values()
    [chunk] = torn.chunks()
    [points] = chunk.checkpoints()
    points.write_bytes(points.read_bytes()[:100])
    for files in (torn, bare):
        files.table.unlink()
    torn.done.unlink()
    seen = sorted(copy.rglob("*"))
    assert not gather(torn).num_rows and sorted(copy.rglob("*")) == seen  # looking changes nothing
    assert not finish(torn, chunks(read_spec(torn))) and not chunk.done.exists() and not torn.table.exists()
    code, _, err = inside(copy, "surface", "tiny")
    assert code == 0, err
    assert tables(copy) == before

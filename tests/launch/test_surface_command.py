"""`study surface`, and `study sweep` with surfaces, on this machine."""

import json
import shutil
import signal

import pytest

import study as package
from study.measure.surface.lattice import chunks
from study.store.layout import ChunkFiles, RunFiles, SurfaceFiles
from study.store.lease import claim, holder
from study.store.surfaces import finish, gather, read_spec
from study.training import checkpoint
from study.training.start import final
from tests.helpers import PATIENCE, read_rows
from tests.launch.command import curves, inside, output, start, study, wait_for

PLAIN, RESIDUAL = "plain-8-digits-s0", "residual-8-digits-s0"


def surfaces(folder):
    """The surfaces below a folder's results, by id."""
    return {path.name: SurfaceFiles(path) for path in sorted(folder.glob("results/*/surfaces/*"))}


def named(folder, network, seed=0):
    [path] = folder.glob(f"results/*/runs/{network}-8-digits-s{seed}-*")
    return RunFiles(path)


def tables(folder):
    """The bytes of every surface's table."""
    return {name: files.table.read_bytes() for name, files in surfaces(folder).items()}


def test_a_sweep_measures_the_surfaces_that_its_file_names(trained):
    folder = trained.parents[1]
    out = (folder / "out.txt").read_text()
    assert "tiny: 4 of 4 surfaces to measure" in out and "surfaces: results/tiny/surfaces.parquet" in out
    frame = package.read_surfaces([trained, trained])  # a sweep counts once
    assert set(frame["network"]) == {"plain", "residual"} and set(frame["bn"]) == {"frozen", "recalibrated"}
    assert not frame.duplicated(["surface_id", "i", "j", "split"]).any()
    assert len(frame) == 2 * (9 + 5) * 2
    for name in ("plain", "residual"):
        part = frame[(frame["network"] == name) & (frame["dims"] == 2)]
        assert (part["points_a"] == 3).all() and (part["points_b"] == 3).all() and part["j"].max() == 2
        last = {row["split"]: row for row in read_rows(named(folder, name).curves)}
        centre = part[(part["alpha"] == 0) & (part["beta"] == 0)].set_index("split")
        assert centre["loss"]["train"] == pytest.approx(last["train_clean"]["loss"], rel=1e-5)
        assert centre["error"]["test"] == last["test"]["error"]
        assert f"{centre['loss']['train']:.4g} at the centre" in out


def test_finished_surfaces_are_not_measured_again_and_a_dry_run_does_nothing(copied):
    before = {path: path.stat().st_mtime_ns for path in copied.glob("results/tiny/surfaces/**/*.parquet")}
    out = output(copied, "surface", "tiny")
    assert "to measure" not in out and out.count("at the centre") == 4
    assert {path: path.stat().st_mtime_ns for path in before} == before
    before = sorted(copied.rglob("*"))
    out = output(copied, "surface", "tiny", "--points", "4", "--planes", "2", "-n")
    assert "8 surfaces, 8 to measure; nothing was done" in out
    assert out.count("random 1, 4 x 4") == 4
    assert sorted(copied.rglob("*")) == before


def test_status_shows_a_surface_that_is_gone_as_pending(copied):
    chosen = next(files for name, files in surfaces(copied).items() if "recalibrated" in name)
    chosen.done.unlink()
    chosen.table.unlink()
    shutil.rmtree(chosen.folder / "chunks")
    records = json.loads(output(copied, "status", "tiny", "--json"))
    states = {record["surface_id"]: record["state"] for record in records if "surface_id" in record}
    assert sorted(states.values()) == ["done"] * 3 + ["pending"] and states[chosen.run_id] == "pending"


def test_options_measure_other_surfaces_of_all_runs(copied):
    words = ["--points", "3x2", "--range=-1:1,0:0.5", "--orthogonal", "--subset", "64", "--data", "train"]
    assert "4 of 4 surfaces to measure" in output(copied, "surface", "tiny", *words)
    frame = package.read_surfaces(copied / "results/tiny")
    part = frame[frame["orthogonal"]]
    assert set(part["images"]) == {64} and set(part["split"]) == {"train"} and len(part) == 24
    assert sorted(set(part["beta"])) == [0.0, 0.5] and sorted(set(part["alpha"])) == [-1.0, 0.0, 1.0]
    assert part["surface_id"].nunique() == 4 and frame["surface_id"].nunique() == 8
    assert "8 surfaces: 8 done" in inside(copied, "status", "tiny")[1]


def test_a_surface_that_another_process_measures_is_left_to_it(copied):
    before = tables(copied)
    chosen = next(iter(surfaces(copied).values()))
    chosen.done.unlink()
    [chunk] = chosen.chunks()
    chunk.done.unlink()
    lease = claim(chunk)
    out = inside(copied, "surface", "tiny", "--mode", "force").out
    assert "3 of 4 surfaces to measure" in out and "in progress on" in out
    lease.release()
    inside(copied, "surface", "tiny")
    assert tables(copied) == before


def test_a_line_to_another_run(copied):
    output(copied, "surface", PLAIN, "--plane", "interpolate", "--to", "plain-8-digits-s1", "--points", "5")
    frame = package.read_surfaces(copied / "results/tiny")
    line = frame[(frame["plane"] == "interpolate") & (frame["split"] == "test")].set_index("alpha")
    # The range is -0.5 to 1.5, so both runs are on the line.
    assert list(line.index) == [-0.5, 0.0, 0.5, 1.0, 1.5]
    for place in (0, 1):
        last = [row for row in read_rows(named(copied, "plain", place).curves) if row["split"] == "test"][-1]
        assert line["loss"][place] == pytest.approx(last["loss"], rel=1e-4) and line["error"][place] == last["error"]


@pytest.mark.slow
def test_an_interrupted_measurement_resumes_to_the_same_bytes(copied):
    words = ["surface", PLAIN, "--points", "9", "--subset", "100", "--data", "train", "--bn", "recalibrated"]
    words += ["--planes", "1", "--workers", "1", "--threads", "1"]  # one worker starts sooner than two
    output(copied, *words)
    expected = tables(copied)
    assert len(expected) == 5
    for name, files in surfaces(copied).items():
        if json.loads(files.spec.read_text())["points"] == [9, 9]:
            shutil.rmtree(files.folder)
            expected.setdefault(name, b"")
    for count in (1, 2):  # chunks begun
        process = start(copied, *words)
        wait_for(lambda: len(list(copied.glob("results/tiny/surfaces/*/chunks/*/attempts.jsonl"))) >= count + 4)  # noqa: B023
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 130 and "rerun to continue" in err
    output(copied, *words)
    assert tables(copied) == expected
    assert not list(copied.glob("results/tiny/surfaces/**/*.tmp"))
    # One that is killed between its chunk's seal and the lease's release leaves a lease that is void.
    assert not [path for path in copied.glob("results/**/lease") if holder(ChunkFiles(path.parent))]


def test_a_run_without_a_sound_checkpoint_gives_one_line_and_nothing_is_written(copied):
    run, says = named(copied, "plain"), "has no sound checkpoint"
    [path] = run.checkpoints()
    path.write_bytes(path.read_bytes()[:1000])
    before = set(surfaces(copied))
    code, _, err = inside(copied, "surface", PLAIN, "--points", "4")
    lines = [line for line in err.splitlines() if "passed over" not in line]
    assert code == 2 and len(lines) == 1 and says in lines[0] and run.run_id in lines[0]
    assert set(surfaces(copied)) == before
    # The other runs of a sweep are measured nevertheless.
    out = output(copied, "surface", "tiny", "--points", "4", code=1)
    assert says in out and len(set(surfaces(copied)) - before) == 3 and "ResNet-8 seed 0" in out


def test_a_sweep_shows_its_results_even_if_no_surface_can_be_measured(copied):
    for files in surfaces(copied).values():
        shutil.rmtree(files.folder)
    for path in copied.glob("results/tiny/runs/*/checkpoint-*"):
        path.unlink()
    code, out, err = inside(copied, "sweep", "tiny.yaml")
    assert code == 2 and err.count("has no sound checkpoint") == 2 and "training error" in out


@pytest.mark.slow
def test_a_centre_that_contradicts_the_training_gives_a_warning(copied):
    run = named(copied, "plain")
    words = ("surface", run.run_id, "--points", "3", "--range", "0.01", "--data", "train", "--subset", "200")
    assert "WARNING" not in inside(copied, *words)[2]
    exchange_weights(run)
    shutil.rmtree(copied / "results/tiny/surfaces")
    code, out, err = inside(copied, *words)
    assert code == 0 and "at the centre" in out
    [warning] = [line for line in err.splitlines() if line.startswith("WARNING")]
    assert run.run_id in warning and "its training recorded" in warning
    for further in (
        ("embed", run.run_id, "--depth", "14"),
        ("probe", run.run_id, "--probes", "weights", "--images", "256"),
    ):
        assert f"WARNING: {run.run_id}" in output(copied, *further)


def exchange_weights(run):
    """Its checkpoint, with the weights of another network of its kind."""
    state = final(run)
    last = list(state["network"])[-2]  # of the linear layer
    network = state["network"] | {last: 300 * state["network"][last]}
    for path in run.checkpoints():
        path.unlink()
    checkpoint.save(run, state["iteration"], state | {"network": network})


@pytest.mark.slow
def test_training_again_ends_the_same_and_measures_the_surfaces_again(copied):
    before, trained = tables(copied), curves(copied)
    code, out, err = study(copied, "sweep", "tiny.yaml", "--mode", "force", "--workers", "2", "--threads", "1")
    assert code == 0 and "4 of 4 surfaces to measure" in out, err
    assert tables(copied) == before  # the same weights, so the same surfaces, with any number of workers
    assert curves(copied) == trained and set(package.read_runs(copied / "results/tiny")["attempts"]) == {2}


def test_a_failed_chunk_says_why_and_is_retried_on_request(copied):
    words = ["surface", RESIDUAL, "--plane", "pca", "--points", "3"]
    for iteration in range(3):  # damaged, which shows when they are read
        (named(copied, "residual").folder / f"snapshot-{iteration:08}-{16 * '0'}.pt").touch()
    out = output(copied, *words, code=1)
    assert "has 0 snapshots of its training" in out and "snapshot_every: epoch" in out
    assert "to measure" not in output(copied, *words, code=1)
    assert "1 surfaces, 1 to measure" in output(copied, *words, "--mode", "retry", "-n")


def test_a_mistake_gives_one_line_and_starts_nothing(trained):
    before = sorted(trained.rglob("*"))
    for words, says in (
        (["nothing"], "no sweep or run 'nothing'"),
        (
            [PLAIN, "--plane", "pca"],
            "kept 0 snapshots, too few for plane pca; train it again with `study sweep FILE snap",
        ),
        (["tiny", "--points", "3by3"], "--points 3by3: write it as 51, or as 51x31"),
        (["tiny", "--range", "one"], "--range one: write it as 1, as 0:2"),
        (
            [PLAIN, "--plane", "interpolate", "--to", "seed=5"],
            "to: no run of this sweep is as plain-8 seed 0 with seed: 5",
        ),
        (["tiny", "--plane", "spiral"], "'spiral' is not one of"),
    ):
        assert says in output(trained.parents[1], "surface", *words, code=2)
    assert sorted(trained.rglob("*")) == before


def test_a_surface_is_never_sealed_with_holes(copied):
    before = tables(copied)
    torn, bare, *_ = surfaces(copied).values()
    [chunk] = torn.chunks()
    [points] = chunk.checkpoints()
    points.write_bytes(points.read_bytes()[:100])
    for files in (torn, bare):
        files.table.unlink()
    torn.done.unlink()
    seen = sorted(copied.rglob("*"))
    assert not gather(torn).num_rows and sorted(copied.rglob("*")) == seen  # looking changes nothing
    assert not finish(torn, chunks(read_spec(torn))) and not chunk.done.exists() and not torn.table.exists()
    output(copied, "surface", "tiny")
    assert tables(copied) == before

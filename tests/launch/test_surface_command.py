"""`study surface`, and `study sweep` with surfaces: the real commands, on this machine."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

import study as package
from study.config.surface import Surface
from study.launch.attempt.chunks import measure
from study.launch.machine import Machine
from study.launch.plan.surfaces import SurfaceAction
from study.launch.rounds import finish
from study.launch.slurm import cancel as cancelling
from study.launch.slurm.queue import Job
from study.launch.slurm.submit import Place
from study.launch.status import surfaces_picture
from study.launch.surface_view import SurfaceTerminal
from study.launch.surfaces import asked, check
from study.store.files import read_json, write_json
from study.store.layout import ChunkFiles, RunFiles, SurfaceFiles, SweepFiles
from study.store.lease import claim, holder
from study.store.surfaces import gather, read_spec, run_folder, write_spec
from study.store.tables import read_table
from study.training import checkpoint
from study.training.start import final
from tests.helpers import PATIENCE, long, read_rows
from tests.launch.command import inside, kill_tree, start, study, sweep_file, wait_for

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
    code, out, err = study(folder, "sweep", sweep_file(folder, FILE), "--workers", "1", "--threads", "1")
    assert code == 0, err
    return folder, out


@pytest.fixture
def copy(finished: tuple[Path, str], tmp_path: Path) -> Path:
    """A copy of it, to go on with."""
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


def test_what_is_there_is_not_measured_again(copy: Path) -> None:
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


def test_what_was_measured_besides_is_in_status_and_can_be_cancelled(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside(copy, "surface", "plain-8", "--points", "2", "--data", "test")
    code, out, _ = inside(copy, "status", "tiny")
    assert code == 0 and "4 surfaces: 4 done" in out and "plain-8 seed 0: random, 2 x 2" in out
    chunk = surfaces(copy)[next(reversed(surfaces(copy)))].chunks()[0].run_id
    place = Place(Job("17_3", "study-tiny-0", "PENDING", "", ""), True, copy / "log")
    monkeypatch.setattr(cancelling, "places", lambda results: {chunk: place, "another": place})
    gone: list[list[str]] = []
    monkeypatch.setattr(cancelling.queue, "cancel", gone.append)
    assert cancelling.cancel(copy / "results", "tiny") == [f"job 17_3: cancelled ({chunk})"]
    assert gone == [["17_3"]]


def test_status_has_room_for_states_beside_long_titles() -> None:
    title = "plain-8 seed 0: random, 21 x 21, recalibrated BN, 5,000 images, refined 1 times"
    record = {"title": title, "state": "interrupted", "points_sealed": 100, "points": 441, "message": ""}
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(surfaces_picture([record]))
    text = console.export_text()
    assert "interrupted" in text and "100/441" in text and "refined 1 times" in text


def test_a_dry_run_does_nothing(copy: Path) -> None:
    before = sorted(copy.rglob("*"))
    code, out, _ = inside(copy, "surface", "tiny", "--points", "4", "--planes", "2", "-n")
    assert code == 0 and "4 surfaces, 4 to measure; nothing was done" in out
    assert out.count("random 1, 4 x 4") == 2
    assert sorted(copy.rglob("*")) == before


def test_settings_ask_for_other_surfaces_of_all_runs(copy: Path) -> None:
    words = ["--points", "3x2", "--range=-1:1,0:0.5", "--orthogonal", "--subset", "64", "--data", "train"]
    code, out, err = inside(copy, "surface", "tiny", *words)
    assert code == 0 and "2 of 2 surfaces to measure" in out, err
    frame = package.read_surfaces(copy / "results/tiny")
    part = frame[frame["orthogonal"]]
    assert set(part["images"]) == {64} and set(part["split"]) == {"train"} and len(part) == 12
    assert sorted(set(part["beta"])) == [0.0, 0.5] and sorted(set(part["alpha"])) == [-1.0, 0.0, 1.0]
    assert part["surface_id"].nunique() == 2 and frame["surface_id"].nunique() == 5
    assert "5 surfaces: 5 done" in inside(copy, "status", "tiny")[1]


def test_refinements_are_measured_round_after_round(copy: Path) -> None:
    code, _, err = inside(copy, "surface", "plain-8", "--line", "--points", "5", "--refine", "2", "--data", "train")
    assert code == 0, err
    frame = package.read_surfaces(copy / "results/tiny")
    line = frame[frame["refine"] == 2].sort_values("i")
    assert set(line["level"]) == {0, 1, 2} and len(line) > 5
    assert line["alpha"].is_monotonic_increasing and not line["i"].duplicated().any()
    # The coarse points are those of the surface that is not refined, bit for bit.
    inside(copy, "surface", "plain-8", "--line", "--points", "5", "--data", "train")
    frame = package.read_surfaces(copy / "results/tiny")
    coarse = frame[(frame["refine"] == 0) & (frame["dims"] == 1) & (frame["bn"] == "frozen")].sort_values("i")
    assert list(coarse["loss"]) == list(line[line["level"] == 0]["loss"])


def test_a_refined_surface_begun_anew_has_its_refinements_again(copy: Path) -> None:
    words = ["surface", "plain-8", "--points", "9", "--refine", "1", "--data", "train", "--subset", "64"]
    inside(copy, *words)
    before = tables(copy)
    code, out, _ = inside(copy, *words, "--mode", "force", "-n")
    assert code == 0 and "redo" in out
    code, _, err = inside(copy, *words, "--mode", "force")
    assert code == 0, err
    assert tables(copy) == before
    [chosen] = [files for files in surfaces(copy).values() if json.loads(files.spec.read_text())["refine"]]
    assert all(json.loads(chunk.done.read_text())["iteration"] > 0 for chunk in chosen.chunks())


def test_what_others_measure_is_not_begun_anew(copy: Path) -> None:
    before = tables(copy)
    chosen = next(iter(surfaces(copy).values()))
    chosen.done.unlink()
    [chunk] = chosen.chunks()
    chunk.done.unlink()
    lease = claim(chunk)
    assert lease is not None
    _code, out, err = inside(copy, "surface", "tiny", "--mode", "force")
    assert "2 of 3 surfaces to measure" in out and "being measured on" in out, err
    lease.release()
    inside(copy, "surface", "tiny")
    assert tables(copy) == before


def test_a_chunk_whose_points_are_not_known_is_not_sealed(copy: Path) -> None:
    """As in a job that waited in the queue while the surface was begun anew."""
    inside(copy, "surface", "plain-8", "--points", "9", "--refine", "1", "--data", "train", "--subset", "64")
    [chosen] = [files for files in surfaces(copy).values() if json.loads(files.spec.read_text())["refine"]]
    refined = next(chunk for chunk in chosen.chunks() if chunk.key.startswith("r1"))
    shutil.rmtree(chosen.chunk("c000").folder)
    shutil.rmtree(refined.folder)
    outcome = measure([refined.folder], copy / "data", "cpu", "debug", checkpoint_seconds=60)
    assert outcome == {refined.run_id: "failed"} and not refined.done.exists()


def test_a_line_to_another_run(copy: Path) -> None:
    code, _, err = inside(copy, "surface", "plain-8", "--plane", "interpolate", "--to", "residual-8", "--points", "5")
    assert code == 0, err
    frame = package.read_surfaces(copy / "results/tiny")
    line = frame[(frame["plane"] == "interpolate") & (frame["split"] == "test")].set_index("alpha")
    # Range -0.5 to 1.5: the ends of the way are on it.
    assert list(line.index) == [-0.5, 0.0, 0.5, 1.0, 1.5]
    last = [row for row in read_rows(named(copy, "plain-8").curves) if row["split"] == "test"][-1]
    assert line["loss"][0.0] == pytest.approx(last["loss"], rel=1e-5)


@pytest.mark.parametrize(("ending", "bn"), [long(signal.SIGKILL, "frozen"), (signal.SIGINT, "recalibrated")])
def test_ended_in_the_middle_it_goes_on_to_the_same_bytes(ending: int, bn: str, copy: Path) -> None:
    words = ["surface", "plain-8", "--points", "9", "--subset", "100", "--data", "train", "--bn", bn, "--planes", "1"]
    words += ["--workers", "1", "--threads", "1"]  # one starts sooner than two
    code, _, err = inside(copy, *words)
    assert code == 0, err
    expected = tables(copy)
    assert len(expected) == 4
    for name, files in surfaces(copy).items():
        if json.loads(files.spec.read_text())["points"] == [9, 9]:
            shutil.rmtree(files.folder)
            expected.setdefault(name, b"")
    for count in (1, 2):  # chunks that are begun
        process = start(copy, *words)
        wait_for(lambda: len(list(copy.glob("results/tiny/surfaces/*/chunks/*/attempts.jsonl"))) >= count + 3)  # noqa: B023
        if ending == signal.SIGKILL:
            kill_tree(process)
        else:
            os.kill(process.pid, ending)
            _, err = process.communicate(timeout=PATIENCE)
            assert process.returncode == 130 and "give the same command again" in err
    code, _out, err = inside(copy, *words)
    assert code == 0, err
    assert tables(copy) == expected
    assert not list(copy.glob("results/tiny/surfaces/**/*.tmp"))
    # One that is killed between its chunk's seal and the lease's release leaves a lease that is void.
    assert not [path for path in copy.glob("results/**/lease") if holder(ChunkFiles(path.parent))]


def test_another_number_of_workers_gives_the_same_bytes(copy: Path) -> None:
    before = tables(copy)
    code, _, err = study(copy, "surface", "tiny", "--mode", "force", "--workers", "2", "--threads", "1")
    assert code == 0, err
    assert tables(copy) == before


def test_surfaces_wait_for_their_runs(tmp_path: Path) -> None:
    file = sweep_file(tmp_path, FILE)
    code, out, _ = inside(tmp_path, "sweep", file, "-n")
    assert code == 0 and "3 surfaces" in out and not (tmp_path / "results").exists()
    process = start(tmp_path, "sweep", file, "--executor", "debug")
    wait_for(lambda: list(tmp_path.glob("results/tiny/runs/*/attempts.jsonl")))
    kill_tree(process)
    code, out, _ = inside(tmp_path, "surface", "tiny", "-n")
    assert code == 0 and out.count("hold") >= 1 and "is not trained yet" in out


@pytest.mark.parametrize(
    ("spoil", "says"),
    [("missing", "has no sound checkpoint any more"), ("truncated", "has no sound checkpoint any more")],
)
def test_a_run_without_a_sound_checkpoint_costs_one_line_and_nothing_is_written(
    spoil: str, says: str, copy: Path
) -> None:
    run = named(copy, "plain-8")
    [path] = run.checkpoints()
    if spoil == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:1000])
    before = set(surfaces(copy))
    code, out, err = inside(copy, "surface", "plain-8", "--points", "3")
    lines = [line for line in err.splitlines() if "passed over" not in line]
    assert code == 2 and len(lines) == 1 and says in lines[0] and run.run_id in lines[0]
    assert set(surfaces(copy)) == before
    # Of a whole sweep the others are measured all the same.
    code, out, err = inside(copy, "surface", "tiny", "--points", "3")
    assert code == 1 and says in err and len(set(surfaces(copy)) - before) == 1 and "ResNet-8 seed 0" in out


def test_a_copy_of_a_sweep_beside_it_is_left_alone(copy: Path) -> None:
    for name in ("a_copy", "z_copy"):
        shutil.copytree(copy / "results/tiny", copy / "results" / name)
    [action, _] = asked(SweepFiles(copy / "results", "tiny"), {"points": 2}).plan()
    assert action.files.folder.parent == copy / "results/tiny/surfaces"
    assert run_folder(action.files, action.surface.run).folder.parent == copy / "results/tiny/runs"


def test_a_line_to_a_run_that_is_gone_is_held_back(copy: Path) -> None:
    wanted = asked(SweepFiles(copy / "results", "plain-8"), {"plane": "interpolate", "points": 3}, ["residual-8"])
    gone = replace(wanted, runs={name: files for name, files in wanted.runs.items() if name in wanted.specs})
    [action] = gone.plan()
    assert action.verb == "hold" and action.reason.endswith("is not there any more")


def test_a_damaged_spec_of_a_run_is_written_again_from_its_sweep(copy: Path) -> None:
    wanted = asked(SweepFiles(copy / "results", "tiny"), {"points": 2})
    spec = named(copy, "plain-8").spec
    whole = spec.read_bytes()
    spec.write_text("{")
    actions = wanted.plan()
    assert not check(actions, wanted, Machine(copy / "data", "local"))
    assert spec.read_bytes() == whole


def test_a_damaged_spec_of_a_run_without_its_sweep_costs_one_line(copy: Path) -> None:
    (copy / "results/tiny/sweep.json").unlink()
    named(copy, "plain-8").spec.write_text("{")
    code, _, err = inside(copy, "surface", "plain-8", "--points", "2")
    assert code == 2 and err.count("\n") == 1 and "spec.json: is damaged" in err


def test_a_damaged_spec_of_a_surface_is_written_again(copy: Path) -> None:
    chosen = next(iter(surfaces(copy).values()))
    spec = read_spec(chosen)
    for text in ("{", "{}", chosen.spec.read_text().replace("5", "7", 1)):
        chosen.spec.write_text(text)
        write_spec(chosen, spec)
        assert read_spec(chosen) == spec


def test_a_run_that_diverged_has_no_surface_which_is_no_failure(copy: Path) -> None:
    run = named(copy, "plain-8")
    write_json(run.done, read_json(run.done) | {"outcome": "diverged"})
    code, out, err = inside(copy, "surface", "plain-8", "--points", "2")
    assert code == 0 and "has diverged: there is no network" in out, err


def test_a_sweep_shows_its_results_though_no_surface_can_be_measured(copy: Path) -> None:
    for files in surfaces(copy).values():
        shutil.rmtree(files.folder)
    for path in copy.glob("results/tiny/runs/*/checkpoint-*"):
        path.unlink()
    code, out, err = inside(copy, "sweep", "tiny.yaml")
    assert code == 2 and err.count("has no sound checkpoint any more") == 2 and "training error" in out


@pytest.mark.parametrize("settings", [(), ("--subset", "200")])
def test_a_centre_that_contradicts_the_training_is_said_aloud(settings: tuple[str, ...], copy: Path) -> None:
    run = named(copy, "plain-")
    words = ("surface", run.run_id, "--points", "3", "--range", "0.01", "--data", "train", *settings)
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


def test_the_points_of_a_trajectory_are_not_counted_as_those_of_its_plane() -> None:
    surface = Surface.model_validate({"run": "plain-8-digits-s0-000000000000", "plane": "pca", "points": 3})
    files = SurfaceFiles(Path("surfaces/x"))
    chunks = (files.chunk("path"), files.chunk("c000"))
    view = SurfaceTerminal([SurfaceAction(surface, files, "x", "start", "", chunks, 9)], Console(quiet=True))
    for chunk, count in zip(chunks, (40, 9), strict=True):
        view.started(chunk.run_id)
        view.progress({"run_id": chunk.run_id, "iteration": count})
    assert sum(view.reached.values()) == 9


def test_training_anew_forgets_the_surfaces(copy: Path) -> None:
    before = tables(copy)
    code, out, err = inside(copy, "sweep", "tiny.yaml", "--mode", "force")
    assert code == 0 and "3 of 3 surfaces to measure" in out, err
    assert tables(copy) == before  # the same weights, so the same surfaces


def test_a_chunk_that_fails_says_why_and_is_tried_again_when_told(copy: Path) -> None:
    words = ["surface", "residual-8", "--plane", "pca", "--points", "3"]
    code, out, err = inside(copy, *words)
    assert code == 1 and "has 0 snapshots of its training" in err and "snapshot_every: epoch" in err
    code, out, err = inside(copy, *words)
    assert code == 1 and "to measure" not in out
    code, out, err = inside(copy, *words, "--mode", "retry", "-n")
    assert code == 0 and "1 surfaces, 1 to measure" in out, err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nothing"], "no run 'nothing'"),
        (["tiny", "--points", "1"], "points: must be a number from 2"),
        (["tiny", "--points", "0"], "points: must be a number from 2"),
        (["tiny", "--range=-1:1,0"], "range: must be r, [low, high], or one such pair for each axis"),
        (["plain-8", "--plane", "interpolate", "--to", "seed=0", "--to", "seed=0"], "is the centre itself"),
        (["plain-8", "--plane", "interpolate", "--to", "residual-8", "--to", "residual-8"], "is named twice"),
        (["tiny", "--points", "3by3"], "--points 3by3: write it as 51, or as 51x31"),
        (["tiny", "--range", "1:0"], "range: must be [low, high]"),
        (["tiny", "--range", "one"], "--range one: write it as 1, as 0:2"),
        (["tiny", "--plane", "interpolate"], "interpolate needs one or two other runs"),
        (
            ["tiny", "--plane", "interpolate", "--to", "seed=5"],
            "to: no run of this sweep is as plain-8 seed 0 with seed: 5",
        ),
        (["plain-8", "--plane", "interpolate", "--to", "plain-8"], "is the centre itself"),
        (["tiny", "--plane", "pca", "--planes", "2"], "planes: goes with plane: random"),
        (["tiny", "--plane", "spiral"], "'spiral' is not one of"),
        (["tiny", "--line", "--orthogonal"], "orthogonal: needs two directions"),
    ],
)
def test_mistakes_cost_one_line_and_start_nothing(words: list[str], says: str, finished: tuple[Path, str]) -> None:
    before = sorted(finished[0].rglob("*"))
    code, _, err = inside(finished[0], "surface", *words)
    assert code == 2 and says in err and "Traceback" not in err
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
    assert not gather(torn).num_rows and sorted(copy.rglob("*")) == seen  # who only looks changes nothing
    assert not finish(torn) and not chunk.done.exists() and not torn.table.exists()
    code, _, err = inside(copy, "surface", "tiny")
    assert code == 0, err
    assert tables(copy) == before


def test_what_the_killed_left_is_swept_away(copy: Path) -> None:
    before = tables(copy)
    chosen = next(iter(surfaces(copy).values()))
    [chunk] = chosen.chunks()
    for path in (chosen.done, chosen.table, *chosen.planes()):
        path.unlink()
    shutil.rmtree(chunk.folder)
    dead = subprocess.run(
        [sys.executable, "-c", "from study.store.process import mark; print(mark())"], capture_output=True, text=True
    )
    for name in ("plane-0.pt", "lease"):
        (chosen.folder / f".{name}.{dead.stdout.strip()}-x.tmp").touch()
    assert measure([chunk.folder], copy / "data", "cpu", "debug", checkpoint_seconds=60) == {chunk.run_id: "done"}
    assert not list(chosen.folder.glob(".*")) and tables(copy).keys() == before.keys()


def test_a_damaged_table_is_said_and_its_chunks_are_read(copy: Path) -> None:
    before = read_table(copy / "results/tiny/surfaces.parquet")
    chosen = next(iter(surfaces(copy).values()))
    chosen.table.write_bytes(chosen.table.read_bytes()[:-20])
    (copy / "results/tiny/surfaces.parquet").unlink()
    code, _, err = inside(copy, "collect", "tiny")
    assert code == 0 and str(chosen.table.relative_to(copy)) in err and "damaged" in err
    assert read_table(copy / "results/tiny/surfaces.parquet").equals(before)

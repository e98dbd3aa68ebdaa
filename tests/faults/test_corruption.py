"""Each file of a sweep cut short, changed, emptied, swapped or gone: damage is reported, and no wrong curve is shown."""

import random
import shutil
from pathlib import Path

import pytest
import torch

from study.launch.attempt.work import work
from study.store import runs as store
from study.store.collect import Results, collect
from study.store.housekeeping import reset_run
from study.store.read import read_surfaces
from study.store.runs_table import RUNS
from study.store.sweeps import read_sweep
from study.store.tables import CURVES, read_table
from study.training import checkpoint
from study.training.session import Session
from tests.faults.whole import DAMAGES, damage, files_of, flipped, measured, run_of, sweep
from tests.helpers import long, points
from tests.launch.command import inside

FILES = (
    "spec.json",
    "curves.parquet",
    "probes.parquet",
    "attempts.jsonl",
    "done.json",
    "checkpoint-*.pt",
    "snapshot-*.pt",
)


@pytest.fixture(scope="module")
def interrupted(trained, tmp_path_factory):
    """A copy whose plain network was stopped after 5 of 6 iterations, with checkpoints of the last two."""
    folder = tmp_path_factory.mktemp("interrupted")
    shutil.copytree(trained, folder, dirs_exist_ok=True)
    run = run_of(folder, "plain")
    reset_run(run)
    reached = 0

    def count(progress):
        nonlocal reached
        reached = getattr(progress, "iteration", 0)

    torch.set_num_threads(1)  # as the sweep's runs had; its surface had all cores
    session = Session(folder, checkpoint_seconds=0.0, stopped=lambda: reached >= 5, report=count)
    assert work([run.folder], session) == {run.run_id: "interrupted"}
    assert [int(path.name.split("-")[1]) for path in run.checkpoints()] == [5, 4]
    return folder


def _damages(path, others, count):
    """Damaged contents: cut or with one bit flipped at random places, another run's, empty, noise, doubled, zeros."""
    content, chance = path.read_bytes(), random.Random(path.name)
    for _ in range(count):
        yield content[: chance.randrange(len(content))]
        changed = bytearray(content)
        changed[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        yield bytes(changed)
    yield from (others, b"", chance.randbytes(len(content)), content + content, b"\0" * len(content))


@pytest.mark.slow
@pytest.mark.parametrize("count", [10, long(1000)])
@pytest.mark.parametrize("name", FILES)
def test_no_damage_to_a_file_shows_a_wrong_curve(copy, name, count):
    run, other, files = run_of(copy, "plain"), run_of(copy, "residual"), files_of(copy)
    order = [("iteration", "ascending"), ("split", "ascending")]
    right, seconds = CURVES.read(run.curves).sort_by(order), store.status(run).seal["seconds"]
    path, theirs = (sorted(r.folder.glob(name))[-1] for r in (run, other))
    sound = path.read_bytes()
    told = 0
    for content in _damages(path, theirs.read_bytes(), count):
        path.write_bytes(content)
        now = Results(files)
        curves, runs = now.table(CURVES), now.table(RUNS)
        shown = curves.filter([name == run.run_id for name in curves["run_id"].to_pylist()])
        row = next(row for row in runs.to_pylist() if row["run_id"] == run.run_id)
        assert shown.equals(right) or (shown.num_rows == 0 and name in row["message"])
        told += name in row["message"]
        if row["state"] == "done":
            assert (row["iteration"], row["seconds"]) == (6, seconds)
        path.write_bytes(sound)
    assert store.status(run).state == "done" and store.status(run).message == ""
    if name in ("curves.parquet", "done.json", "attempts.jsonl"):
        assert told > 1.7 * count, told


@pytest.mark.parametrize("kind", ["checkpoint", "snapshot"])
def test_a_damaged_network_is_never_used(copy, kind):
    run, other = run_of(copy, "plain"), run_of(copy, "residual")
    here, theirs = (sorted(r.folder.glob(f"{kind}-*"))[-1] for r in (run, other))
    sound = here.read_bytes()
    cpu = torch.device("cpu")
    for content in _damages(here, theirs.read_bytes(), 20):
        here.write_bytes(content)
        if kind == "snapshot":
            assert checkpoint.load_snapshot(here, cpu) is None
        else:
            assert checkpoint.load_newest(run, cpu) is None
            (aside,) = run.folder.glob("damaged-*")
            aside.unlink()
        here.write_bytes(sound)
    # Another run's under its own name, which fits its content: the run within tells.
    here.unlink()
    stranger = run.folder / theirs.name
    stranger.write_bytes(theirs.read_bytes())
    found = checkpoint.load_snapshot(stranger, cpu) if kind == "snapshot" else checkpoint.load_newest(run, cpu)
    assert found is None


SEALED = [(name, "cut short") for name in FILES] + [
    ("curves.parquet", "another run's"),
    ("checkpoint-*.pt", "another run's"),
]
SEALED_TOO = [(name, how) for how in (*DAMAGES, "another run's") for name in FILES if (name, how) not in SEALED]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "how"), [*SEALED, *(long(*case) for case in SEALED_TOO)])
def test_a_sealed_run_is_repaired_or_known_to_be_whole(copy, trained, name, how):
    run, other = run_of(copy, "plain"), run_of(copy, "residual")
    path, theirs = (sorted(r.folder.glob(name))[-1] for r in (run, other))
    damage(path, DAMAGES.get(how, lambda content: theirs.read_bytes()))
    said = sweep(copy)
    assert said.code == 0, said
    if name == "curves.parquet" or (name == "done.json" and how != "gone"):
        assert f"{name}: is" in said.out
    elif name == "attempts.jsonl" and how not in ("gone", "emptied"):
        assert "attempts.jsonl are damaged" in said.out
    elif name == "probes.parquet" and how != "a bit flipped":  # in the footer, it may be one that nobody reads
        assert "probes.parquet: is" in said.err
    assert points(run) == points(run_of(trained, "plain")) and store.status(run).state == "done"
    for table in ("curves.parquet", "probes.parquet", "surfaces.parquet"):
        assert measured(files_of(copy).folder / table).equals(measured(files_of(trained).folder / table)), table


@pytest.mark.slow
@pytest.mark.parametrize("how", ["a bit flipped", *map(long, ("cut short", "emptied", "gone", "another run's"))])
@pytest.mark.parametrize(
    "name", ["spec.json", "curves.parquet", "attempts.jsonl", "checkpoint-00000005-*", "checkpoint-*", "lease"]
)
def test_an_interrupted_run_resumes_from_what_is_sound(interrupted, trained, tmp_path, name, how):
    copy = Path(shutil.copytree(interrupted, tmp_path / "copy"))
    run, other = run_of(copy, "plain"), run_of(copy, "residual")
    if name == "lease":
        run.lease.write_text('{"token": "0123456789abcdef", "time": 1.0, "host": "elsewhere", "pid": 1}\n')
    for path in run.folder.glob(name):
        theirs = next(other.folder.glob(name.replace("5", "6")), other.spec)
        damage(path, DAMAGES.get(how, lambda content, theirs=theirs: theirs.read_bytes()))
    said = sweep(copy)
    assert said.code == 0, said
    if name.startswith("checkpoint") and how != "gone":
        assert "passed over checkpoint-00000005-" in said.out
        assert ("passed over checkpoint-00000004-" in said.out) == (name == "checkpoint-*")
    assert points(run) == points(run_of(trained, "plain")) and store.status(run).state == "done"
    assert read_table(run.curves).schema.equals(CURVES.schema)


def equal_surfaces(copy, trained):
    right, found = (read_surfaces(files_of(folder).folder) for folder in (trained, copy))
    return bool(found[["i", "loss", "error"]].equals(right[["i", "loss", "error"]]))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["surface.parquet", "done.json", "plane.json", "plane-*.pt", "spec.json"])
@pytest.mark.parametrize("how", ["cut short", *map(long, ("a bit flipped", "emptied", "gone"))])
def test_a_surface_is_rebuilt_from_its_chunks(copy, trained, name, how):
    (path,) = files_of(copy).folder.glob(f"surfaces/*/{name}")
    damage(path, DAMAGES[how])
    said = sweep(copy)
    assert said.code == 0, said
    collect(files_of(copy))
    assert equal_surfaces(copy, trained)


@pytest.mark.slow
def test_damaged_points_of_a_chunk_are_measured_again(copy, trained):
    (points_file,) = files_of(copy).folder.glob("surfaces/*/chunks/*/points-*")
    (table,) = files_of(copy).folder.glob("surfaces/*/surface.parquet")
    damage(points_file, flipped())
    table.unlink()
    assert [sweep(copy).code, sweep(copy).code][-1] == 0
    assert equal_surfaces(copy, trained)


@pytest.mark.slow
def test_a_damaged_sweep_record_is_reported_and_written_again(copy):
    files = files_of(copy)
    damage(files.sweep, flipped())
    said = inside(copy, "status", "tiny")
    assert said.code == 2 and said.err.startswith("study: ") and "sweep.json: is damaged" in said.err
    assert "study sweep" in said.err and said.err.count("\n") == 1
    assert sweep(copy).code == 0 and len(read_sweep(files)["runs"]) == 2

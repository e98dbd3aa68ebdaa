"""Disk usage, pruning, removing, renaming, merging and comparing sweeps, by their verbs."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

import study
from study.config.identity import point_id, run_id
from study.config.imports import Code
from study.config.surface import Surface, surface_id
from study.config.sweep import Sweep
from study.store import lease
from study.store import runs as store
from study.store.files import digest, read_json, write_bytes
from study.store.layout import SweepFiles
from study.store.surfaces import write_spec as write_surface
from study.store.sweeps import write_sweep
from study.store.tables import CURVES
from tests.fuzz.test_names import SCRIPTS
from tests.helpers import make_spec, open_run, seal_run, tree
from tests.launch.command import output
from tests.store.test_collect import ROW
from tests.store.test_golden import GOLDEN

DONE, LATER = make_spec(seed=0), make_spec(seed=1)
"""A run that is finished, and one that has not begun."""
WAYS = [["prune"], ["rm", "test"], ["rm", run_id(DONE)], ["mv", "test", "new"]]


def sweep(folder, *specs, name="test", finished=(DONE,), surfaces=()):
    """A sweep below `folder` whose finished runs have two checkpoints."""
    files = SweepFiles(folder / "results", name)
    runs = {run_id(spec): spec for spec in specs or (DONE, LATER)}
    named = {surface_id(surface): surface for surface in surfaces}
    write_sweep(files, Sweep(name, "", runs, (), named, command="study sweep test.yaml"))
    for spec in finished:
        run = open_run(files.results, spec, name)
        seal_run(run)
        store.start_attempt(run, {})
        seal_run(run)
        for at in (30, 60):
            weights = f"{run.run_id} at {at}".encode()
            write_bytes(run.checkpoint(at, digest(weights)), weights)
    return files


def run(files, spec=DONE):
    return files.run(run_id(spec))


def test_disk_usage_counts_every_byte_once(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "results" / "surfaces")  # a sweep may be called so
    (whole,) = json.loads(output(tmp_path, "du", "--json"))
    runs = json.loads(output(tmp_path, "du", "surfaces", "--json"))
    size = sum(len(content) for content in tree(trained).values())
    assert whole.pop("name") == "surfaces" and whole["total"] == size and len(runs) == 5
    assert whole == {kind: sum(row[kind] for row in runs) for kind in whole}
    assert whole["surfaces"] > 0 and whole["checkpoints"] > whole["curves"] > 0 == whole["snapshots"]
    assert output(tmp_path, "du").splitlines()[-1].startswith("total ")
    assert "did you mean 'surfaces'" in output(tmp_path, "du", "surfcaes", code=2)
    assert "no such folder" in output(tmp_path, "du", "--results", "elsewhere", code=2)


@pytest.mark.parametrize("words", [*WAYS, ["merge", "there"]], ids=" ".join)
def test_a_dry_run_changes_nothing_and_says_what_would_be_done(words, tmp_path):
    sweep(tmp_path)
    shutil.copytree(sweep(tmp_path / "there", name="elsewhere").folder, tmp_path / "there" / "elsewhere")
    before = tree(tmp_path)
    said = output(tmp_path, *words, "--dry-run")
    assert tree(tmp_path) == before and ("would be" in said or "nothing was done" in said)


@pytest.mark.parametrize("words", WAYS, ids=" ".join)
@pytest.mark.parametrize("dry", [[], ["--dry-run"]], ids=["", "dry"])
def test_what_is_being_trained_is_not_touched(words, dry, tmp_path):
    files = sweep(tmp_path)
    held = lease.claim(run(files))
    before = tree(tmp_path)
    said = output(tmp_path, *words, *dry, code=0 if words == ["prune"] else 2)
    assert f"is being trained or measured by process {os.getpid()} on " in said and tree(tmp_path) == before
    assert held.mine()


@pytest.mark.parametrize("words", [["rm", "test"], ["rm", run_id(LATER)], ["mv", "test", "new"]], ids=" ".join)
def test_a_sweep_at_work_stays_while_none_of_its_runs_is_held(words, tmp_path):
    files = sweep(tmp_path)
    open_run(files.results, LATER)
    with lease.keeping(files.results, [run(files, LATER).folder]):
        before = tree(tmp_path)
        assert f"is being trained or measured by process {os.getpid()}; " in output(tmp_path, *words, code=2)
        assert tree(tmp_path) == before
    output(tmp_path, *words)
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize("words", [["rm", "alias"], ["mv", "alias", "new"]], ids=" ".join)
def test_a_link_to_a_sweep_is_not_taken_for_a_sweep(words, tmp_path):
    files = sweep(tmp_path)
    (files.results / "alias").symlink_to("test")
    before = tree(tmp_path)
    assert "alias: is a link to test; " in output(tmp_path, *words, code=2) and tree(tmp_path) == before


def test_prune_removes_the_networks_of_finished_runs_alone(tmp_path):
    stretched = make_spec(depth=14, start_from=point_id(LATER), seed=1)
    plane = Surface(run=run_id(make_spec(seed=2)), points=3)
    interrupted = make_spec(seed=3)
    specs = (DONE, LATER, make_spec(seed=2), interrupted, stretched)
    files = sweep(tmp_path, *specs, finished=specs[:4], surfaces=[plane])
    run(files, interrupted).done.unlink()
    write_surface(run(files, make_spec(seed=2)).surface(surface_id(plane)), plane)
    output(tmp_path, "collect", "test")
    curves = study.read_curves(files.folder)
    said = output(tmp_path, "prune")
    assert "checkpoints of 1 finished run removed" in said and "study.load_network" in said
    assert f"{run_id(stretched)} in test starts from it" in said and "is not measured yet" in said
    assert [len(run(files, spec).checkpoints()) for spec in specs] == [0, 2, 2, 2, 0]
    assert "checkpoints of 2 finished runs removed" in output(tmp_path, "prune", "test", "--all")
    assert study.read_curves(files.folder).equals(curves) and store.status(run(files)).state == "done"


def test_removing_a_sweep_keeps_the_runs_that_another_names(tmp_path):
    files, other = (
        sweep(tmp_path, DONE, LATER, finished=(DONE, LATER)),
        sweep(tmp_path, DONE, name="other", finished=()),
    )
    plane = Surface(run=run_id(DONE), points=3)
    write_surface(run(files).surface(surface_id(plane)), plane)
    content = tree(run(files).folder)
    (other.runs / run_id(DONE)).mkdir(parents=True)  # half-written
    assert "moves to other, which names it too" in output(tmp_path, "rm", "test")
    assert os.listdir(other.results) == ["other"] and tree(run(other).folder) == content
    assert [surface.run_id for surface in run(other).surfaces()] == [surface_id(plane)]
    output(tmp_path, "collect", "other")
    assert study.read_runs(other.folder)["state"].tolist() == ["done"]
    assert "no sweep or run 'test'" in output(tmp_path, "rm", "test", code=2)


def test_a_removed_run_leaves_the_records_and_tables(tmp_path):
    stretched = make_spec(depth=14, start_from=point_id(DONE))
    files, other = sweep(tmp_path), sweep(tmp_path, DONE, stretched, name="other", finished=())
    for name in ("test", "other"):
        output(tmp_path, "collect", name)
    said = output(tmp_path, "rm", run_id(DONE))
    assert "named by other, test" in said
    assert f"note: {run_id(DONE)}: {run_id(stretched)} in other starts from it" in said
    assert study.read_curves(files.folder).empty and study.read_runs(files.folder)["run_id"].tolist() == [run_id(LATER)]
    assert study.read_runs(other.folder)["run_id"].tolist() == [run_id(stretched)]
    output(tmp_path, "rm", run_id(LATER)[:-6], code=2)  # it has not begun
    assert "did you mean" not in output(tmp_path, "rm", "../results", code=2)


def test_failed_runs_alone_are_removed(tmp_path):
    files = sweep(tmp_path)
    failed = open_run(files.results, LATER)
    store.write_failed(failed, "out of memory")
    assert run_id(LATER) in output(tmp_path, "rm", "test", "--failed")
    assert not failed.folder.exists() and store.status(run(files)).state == "done"
    assert "no run has failed" in output(tmp_path, "rm", "test", "--failed")
    assert output(tmp_path, "status", "test").endswith("1 run: 1 done\n")


@pytest.mark.parametrize("name", SCRIPTS[::4])
def test_a_sweep_is_renamed_and_collects(name, tmp_path):
    files = sweep(tmp_path)
    assert f"study sweep test.yaml name={name}" in output(tmp_path, "mv", "test", name).replace("'", "")
    (moved,) = (folder.name for folder in files.results.iterdir())
    renamed = SweepFiles(files.results, moved)
    record = read_json(renamed.sweep)
    assert record["name"] == moved
    assert "curves.parquet" in output(tmp_path, "collect", moved) and len(study.read_curves(renamed.folder)) == 1
    assert not list(renamed.folder.rglob("lease"))


@pytest.mark.parametrize("name", ["a/b", "..", "my sweep", "x.yaml", "test", "taken"])
def test_a_name_that_cannot_be_is_refused(name, tmp_path):
    sweep(tmp_path), sweep(tmp_path, LATER, name="taken", finished=())
    before = tree(tmp_path)
    output(tmp_path, "mv", "test", "--", name, code=2)
    assert tree(tmp_path) == before


# -- merge ----------------------------------------------------------------------------------------------------------------


def curve(files, error):
    CURVES.write(files.curves, [ROW | {"run_id": files.run_id, "error": error, "seconds": error}])
    seal_run(files)


def test_merging_takes_what_is_missing_once(tmp_path):
    ours = sweep(tmp_path)
    theirs = sweep(tmp_path / "there", DONE, LATER, make_spec(seed=2), finished=(DONE, LATER))
    curve(run(ours), 7.0), curve(run(theirs), 7.0)
    rows = CURVES.read(run(theirs).curves).to_pylist()
    CURVES.write(run(theirs).curves, [row | {"seconds": 99.0} for row in rows])  # another machine, another time
    seal_run(run(theirs))
    run(theirs, LATER).lease.write_text("{}")
    open_run(ours.results, LATER)  # it has begun here, and is finished there
    plane = Surface(run=run_id(DONE), points=3)
    write_surface(run(theirs).surface(surface_id(plane)), plane)
    before, mine = tree(theirs.results), tree(run(ours).folder)
    assert "test: 1 here already and 2 copied" in output(tmp_path, "merge", "there/results")
    assert tree(theirs.results) == before and tree(run(ours).folder) == mine
    assert study.read_runs(ours.folder)["state"].tolist() == ["done", "done", "pending"]
    assert run(ours).surface(surface_id(plane)).spec.exists() and not run(ours, LATER).lease.exists()
    assert "test: 3 here already" in output(tmp_path, "merge", "there/results/test")
    assert os.listdir(ours.results) == ["test"]


def test_what_differs_or_is_damaged_is_named_and_left(tmp_path):
    ours, theirs = sweep(tmp_path), sweep(tmp_path / "there", DONE, LATER, finished=(DONE, LATER))
    curve(run(ours), 7.0), curve(run(theirs), 8.0)
    run(theirs, LATER).checkpoints()[0].write_bytes(b"other weights")
    (theirs.runs / "half-written").mkdir()
    (theirs.runs / "linked").symlink_to("/etc")
    mine = tree(run(ours).folder)
    said = output(tmp_path, "merge", "there/results", code=1)
    assert ".merged" not in said and f"conflict: {run_id(DONE)}: " in said and "differ in what was measured" in said
    for name, why in ((run_id(LATER), "does not match"), ("half-written", "is missing"), ("linked", "is a link")):
        assert any(line.startswith(f"left out: {name}: ") and why in line for line in said.splitlines()), said
    assert tree(run(ours).folder) == mine and os.listdir(ours.runs) == [run_id(DONE)]


@pytest.mark.parametrize(("error", "fate"), [(7.0, "1 copied"), (8.0, "1 conflict")])
def test_rows_whose_run_is_gone_are_compared_too(error, fate, tmp_path):
    ours, theirs = sweep(tmp_path), sweep(tmp_path / "there")
    curve(run(ours), 7.0), curve(run(theirs), error)
    output(tmp_path, "collect", "test")
    before = study.read_curves(ours.folder)["error"].tolist()
    shutil.rmtree(run(ours).folder)
    assert f"test: {fate}" in output(tmp_path, "merge", "there/results", code=int(error == 8.0))
    assert study.read_curves(ours.folder)["error"].tolist() == before == [7.0]
    output(tmp_path, "collect", "test", "--results", "there/results")
    shutil.rmtree(run(theirs).folder)
    said = output(tmp_path, "merge", "there/results", "--results", "third", code=1)
    assert "in the collected tables there alone" in said


def test_results_of_version_1_and_of_own_code_are_merged(tmp_path):
    golden = SweepFiles(GOLDEN / "results", "golden")
    copied = Path(shutil.copytree(GOLDEN / "results", tmp_path / "there"))
    for name in ("own", "beside"):
        (tmp_path / f"{name}.py").write_text("import study, beside")
    copies = Code(tmp_path / "own.py").copies
    for name, content in (*copies.items(), ("own-0123456789ab.py", b"changed")):
        write_bytes(copied / "golden" / "components" / name, content)
    assert "golden: 5 copied" in output(tmp_path, "merge", "there")
    for reader in (study.read_curves, study.read_runs, study.read_surfaces, study.read_probes):
        assert reader(tmp_path / "results" / "golden").equals(reader(golden.folder))
    kept = tmp_path / "results" / "golden" / "components"
    assert {str(path.relative_to(kept)): path.read_bytes() for path in kept.rglob("*.py")} == copies and len(
        copies
    ) == 2


def test_a_linked_results_folder_is_one_like_any_other(tmp_path):
    sweep(tmp_path / "disk"), sweep(tmp_path / "there", name="second")
    (tmp_path / "results").symlink_to(tmp_path / "disk" / "results")
    for words in (["merge", "there/results"], ["mv", "test", "first"], ["prune"], ["rm", "second"], ["du"]):
        output(tmp_path, *words)
    assert os.listdir(tmp_path / "disk" / "results") == ["first"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a folder")
@pytest.mark.parametrize("words", WAYS[:3], ids=" ".join)
def test_a_run_on_a_read_only_file_system_stays(words, tmp_path):
    files = sweep(tmp_path)
    folder = run(files).folder
    mounted = subprocess.run(["mount", "--bind", folder, folder], capture_output=True, check=False).returncode == 0
    if not mounted:
        pytest.skip("this needs the right to mount a file system")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
        before = tree(tmp_path)
        assert "Read-only file system; nothing is lost" in output(tmp_path, *words, code=2)
        assert tree(tmp_path) == before
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


# -- compare --------------------------------------------------------------------------------------------------------------


def test_fields_that_differ_are_shown(tmp_path):
    sweep(tmp_path, DONE, LATER), sweep(tmp_path, LATER, make_spec(seed=2, depth=14), name="other")
    file = "fixed: {data: digits, recipe: {name: quick, learning_rate: 0.3}, network: residual, depth: 8}\ngrid: {seed: [0, 1]}\n"
    (tmp_path / "mine.yaml").write_text(file)
    fields = [line.split()[0] for line in output(tmp_path, "diff", "test", "other").splitlines()]
    assert fields == ["test", "depth", "seed", "1"]
    assert "1 run in both, 1 run in test alone, 1 run in other alone" in output(tmp_path, "diff", "test", "other")
    assert "recipe.learning_rate  0.02" in output(tmp_path, "diff", run_id(DONE), "mine.yaml")
    assert output(tmp_path, "diff", "test", "test").startswith("test  test\nno field differs; 2 runs in both")
    output(tmp_path, "diff", "test", "nothing", code=2)

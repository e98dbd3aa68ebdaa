"""The surroundings of a command: home folders, file modes, containers, read-only folders, readers that end early."""

import os
import pwd
import stat
import subprocess
import sys

import pytest

from study.cli.doctor import examine
from tests.helpers import PATIENCE, make_folder
from tests.launch.command import inside, output, runs, start, sweep_file

SWEEP = """
fixed: {data: digits, train_subset: 100, recipe: quick, depth: 8, probes: [weights], snapshot_every: 2,
  recipe.iterations: 4, recipe.schedule.at: [1], recipe.evaluate_every: 2}
grid: {network: [residual], seed: [0]}
surfaces: [{points: 3, dims: 1, subset: 50}]
figures: [degradation]
"""


@pytest.mark.slow
def test_a_tilde_is_the_home_folder_in_every_path(tmp_path, monkeypatch):
    home, folder = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    (home / "profile.yaml").write_text("cpus: 1\n")
    sweep_file(home, SWEEP)
    sweep_file(folder, SWEEP)
    options = ("--results=~/results", "--figures=~/figures", "--data-root=~/data", "--profile=~/profile.yaml")
    assert f"figure: {home}/figures/tiny/degradation.pdf" in output(folder, "sweep", "~/tiny.yaml", *options)
    monkeypatch.setenv("STUDY_RESULTS", "~/results")
    monkeypatch.setenv("STUDY_DATA", "~/data")
    monkeypatch.setenv("STUDY_PROFILE", "~/profile.yaml")
    assert "nothing is left" in inside(folder, "sweep", "tiny.yaml", "--figures=~/figures")[1]
    for words in ("status ~/results/tiny", "figure degradation tiny --out=~/out", "table errors tiny"):
        output(folder, *words.split())
    made = {path.name for path in home.iterdir() if not path.name.startswith(".")}  # matplotlib has a cache there
    assert made == {"results", "figures", "out", "tiny.yaml", "profile.yaml"}
    assert [path.name for path in folder.iterdir()] == ["tiny.yaml"]


def test_without_a_home_the_message_says_what_to_set(tmp_path, monkeypatch):
    """As in a container whose user has no entry in /etc/passwd."""

    def unknown(*who):
        raise KeyError(who)

    for name in ("HOME", "STUDY_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    make_folder(tmp_path / "data/pets")
    text = "fixed: {data: {name: image_folder, folder: pets, image_size: 8}, recipe: quick, depth: 8, seed: 0,\n"
    text += "  network: plain, recipe.iterations: 1, recipe.schedule.at: [], recipe.batch_size: 4, recipe.pad: 1}\n"
    assert "set STUDY_CACHE" in output(tmp_path, "sweep", sweep_file(tmp_path, text), code=2)
    assert "~/x: '~' stands for a home folder" in output(tmp_path, "status", "tiny", "--results=~/x", code=2)
    monkeypatch.setenv("STUDY_CACHE", str(tmp_path / "cache"))
    output(tmp_path, "sweep", "tiny.yaml")


@pytest.mark.slow
def test_files_have_the_modes_that_the_umask_leaves(tmp_path):
    """So that in a group's shared folder a colleague can continue."""
    name = sweep_file(tmp_path, SWEEP)
    before = os.umask(0o002)
    try:
        output(tmp_path, "sweep", name)
        output(tmp_path, "report", "tiny")
    finally:
        os.umask(before)
    found = [path for place in ("results", "figures") for path in (tmp_path / place).rglob("*")]
    assert {"log", "attempts.jsonl", "done.json", "report.html", "surface.parquet"} <= {path.name for path in found}
    modes = {str(path): stat.S_IMODE(path.stat().st_mode) for path in found}
    assert modes == {str(path): 0o775 if path.is_dir() else 0o664 for path in found}


def test_the_doctor_reports_folders_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "results").mkdir()
    marks = {}
    for name in ("file", "file/below", "results", "new/folder"):
        disk = next(finding for finding in examine(tmp_path / name, tmp_path) if finding.subject == "disk")
        marks[name] = disk.mark, "cannot write to" in disk.says
    sound = ("ok", False)
    assert marks == {"file": ("FAIL", True), "file/below": ("FAIL", True), "results": sound, "new/folder": sound}
    assert list((tmp_path / "results").iterdir()) == []


@pytest.mark.slow
def test_a_reader_that_ends_early_stops_verbs_that_show_but_not_training(tmp_path):
    name = sweep_file(tmp_path, SWEEP)
    study = f"{sys.executable} -m study"

    def codes(*commands):
        words = [["bash", "-c", f"{command}; echo ${{PIPESTATUS[0]}}"] for command in commands]
        done = [subprocess.run(w, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE) for w in words]
        assert not any(word in one.stderr for one in done for word in ("Traceback", "Exception"))
        return [one.stdout.splitlines()[-1] for one in done]

    assert codes(f"{study} list figures | true", f"{study} schema | head -1", f"{study} --help | true") == ["141"] * 3
    process = start(tmp_path, "sweep", name)
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait(timeout=PATIENCE) == 0, err
    assert err.count("the reader of the output has ended; the work continues") == 1
    [run] = runs(tmp_path)
    assert run.done.exists() and (tmp_path / "figures/tiny/degradation.pdf").exists()
    assert codes(f"{study} status tiny --json | true", f"{study} logs {run.run_id} | true") == ["141"] * 2

"""Each process of `study` runs its parent's code, whatever else lies beside it or has its name."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import study
from study import boot
from study.launch.attempt.provenance import code
from study.store.files import read_lines
from tests.launch.command import runs, sweep_file

NAMES = ("json", "logging", "multiprocessing", "numpy", "queue", "random", "signal", "study", "torch", "types", "yaml")

TOLD = """
import json, multiprocessing, queue, sys

def told(say):
    import study
    say.send([study.__file__, queue.__file__, sys.modules["study"].__file__])

def main():
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    child = multiprocessing.get_context("spawn").Process(target=told, args=[theirs])
    child.start()
    print(json.dumps(ours.recv()))
    child.join()
"""


@pytest.fixture
def strangers(tmp_path):
    """A folder of modules that shadow well-known ones."""
    folder = tmp_path / "strangers"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.py").write_text(f"raise SystemExit('the stranger {name} runs')\n")
    return folder


def python(folder, *words, **env):
    """Python in a folder, in the environment of these tests but for some variables."""
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env={**os.environ, **env}, capture_output=True, text=True, check=False
    )


def test_a_module_and_the_processes_it_spawns_use_the_package_around_it(tmp_path, strangers):
    clone = tmp_path / "clone"
    shutil.copytree(Path(study.__file__).parent, clone / "study", ignore=shutil.ignore_patterns("__pycache__"))
    (clone / "study" / "told.py").write_text(TOLD)
    (clone / "queue.py").write_text("raise SystemExit('a module beside the package runs')\n")
    words = ("-P", str(clone / "study" / "boot.py"), "study.told")
    for folder in (strangers, clone):
        done = python(folder, *words, PYTHONPATH="")
        assert done.returncode == 0, done.stderr
        package, queue, again = json.loads(done.stdout)
        assert Path(package) == Path(again) == clone / "study" / "__init__.py" and clone not in Path(queue).parents


def test_an_empty_entry_of_pythonpath_is_not_passed_on(strangers, tmp_path, monkeypatch):
    monkeypatch.chdir(strangers)
    monkeypatch.setenv("PYTHONPATH", f":.:{tmp_path}")
    monkeypatch.setattr(sys, "path", ["", str(strangers), *sys.path, "/elsewhere"])
    path = boot.environment()["PYTHONPATH"].split(os.pathsep)
    assert {str(tmp_path), "/elsewhere"} <= set(path) and not {"", ".", str(strangers)} & set(path)


@pytest.mark.slow
def test_a_sweep_among_such_modules_trains_measures_and_records_its_code(strangers):
    words = ("recipe.iterations=20", "network=plain", "--device", "cpu", "--workers", "1")
    command = ("-P", "-m", "study")  # the installed command does not have the working directory on its path
    for step in (
        ("sweep", sweep_file(strangers), *words),
        ("probe", "tiny", "--probes", "weights"),
    ):
        done = python(strangers, *command, *step, STUDY_EXECUTOR="local")
        assert done.returncode == 0, (step, done.stdout, done.stderr)
    [run] = runs(strangers)
    assert read_lines(run.attempts)[0]["code"] == code()


def test_the_command_itself_imports_nothing_beside_it(strangers):
    (strangers / "types.py").unlink()  # which Python needs before our code runs
    (strangers / "study.py").unlink()
    done = python(strangers, "-m", "study", "list", "recipes", PYTHONPATH=os.pathsep)
    assert done.returncode == 0 and "he2015_cifar" in done.stdout, done.stderr

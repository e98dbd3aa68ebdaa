import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import study as package
from study.cli import options
from study.config.stored import settable
from study.store.files import read_json
from study.store.runs import status
from tests.conftest import TINY
from tests.launch.command import inside, output, runs, study, sweep_file

DIVERGING = """
fixed: {data: digits, recipe: quick, depth: 8, recipe.iterations: 20, seed: 0}
blocks:
  - fixed: {network: plain, recipe.learning_rate: 1.0e+30}
  - fixed: {network: residual}
figures: [degradation, depth_error]
"""


@pytest.fixture(scope="module")
def finished(trained, tmp_path_factory):
    """The folder of a finished sweep, and what a call printed that had its figure to draw."""
    folder = Path(shutil.copytree(trained.parents[1], tmp_path_factory.mktemp("finished") / "copy"))
    out = output(folder, "sweep", sweep_file(folder, TINY + "figures: [degradation]\n"))
    return folder, out


def test_a_sweep_ends_with_a_table_a_verdict_and_the_paths_of_the_figures(finished):
    folder, out = finished
    first = (folder / "out.txt").read_text()
    assert "4/4  ResNet-8 seed 1: done in" in first
    for words in (
        "training error (%)",
        "1. Does depth raise the training error",
        "curves: results/tiny/curves.parquet",
    ):
        assert words in out and words in first
    assert "figure: figures/tiny/degradation.pdf" in out
    for suffix in ("pdf", "png", "svg", "csv"):
        assert (folder / f"figures/tiny/degradation.{suffix}").stat().st_size > 500


@pytest.mark.slow
def test_the_second_call_trains_nothing_and_imports_no_torch(finished):
    folder, _ = finished
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    probe = "import sys\nfrom study.cli.app import main\ntry: main()\nfinally: assert 'torch' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", probe, "sweep", "tiny.yaml"], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "nothing is left to train; 4 of 4 runs are finished" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before


def test_another_sweep_that_names_the_same_runs_shares_them(finished):
    folder, _ = finished
    out = output(folder, "sweep", "tiny.yaml", "seed=0", "name=other")
    assert "nothing is left to train; 2 of 2 runs are finished" in out
    assert not (folder / "results/other/runs").exists()
    assert len(package.read_runs(folder / "results/other")) == 2


def tables_alone(sweep, folder):
    """A copy of a sweep's tables, as in a repository without the runs."""
    target = folder / "results/tiny"
    target.mkdir(parents=True)
    for path in sweep.glob("*.parquet"):
        (target / path.name).write_bytes(path.read_bytes())
    return target


def test_results_that_only_the_tables_have_are_not_replaced_by_other_runs(trained, tmp_path):
    target = tables_alone(trained, tmp_path)
    few = ("seed=1", "network=plain", "recipe.iterations=2", "recipe.schedule.at=[1]", "recipe.evaluate_every=2")
    err = output(tmp_path, "sweep", sweep_file(tmp_path), *few, code=2)
    assert "tables of 4 other runs, whose folders are gone" in err and "name=..." in err
    assert not (target / "runs").exists() and not (target / "sweep.json").exists()
    pd.testing.assert_frame_equal(package.read_curves(target), package.read_curves(trained))
    output(tmp_path, "sweep", "tiny.yaml", *few, "name=few")
    assert set(package.read_runs(tmp_path / "results/few")["seed"]) == {1}


QUICKEST = """
fixed: {data: digits, train_subset: 100, recipe: quick, depth: 8,
  recipe.iterations: 2, recipe.schedule.at: [1], recipe.evaluate_every: 2}
grid: {network: [plain, residual], seed: [0, 1]}
surfaces: [{of: {network: residual}, points: 3, dims: 1, subset: 50}]
figures: [degradation]
"""


def states(folder):
    """The state of each run that the tables of the sweep `tiny` have."""
    output(folder, "collect", "tiny")
    runs = package.read_runs(folder / "results/tiny")
    return {(row["network"], int(row["seed"])): row["state"] for _, row in runs.iterrows()}


@pytest.mark.slow
def test_overrides_that_select_runs_keep_the_whole_sweep(tmp_path):
    name = sweep_file(tmp_path, QUICKEST)
    out = output(tmp_path, "sweep", name, "seed=0", "--dry-run")
    assert "tiny: 2 of 4 runs, 2 to train" in out and "1 surfaces" in out
    out = output(tmp_path, "sweep", name, "seed=0")
    assert "2 of 2 runs to train" in out and "1 of 1 surfaces to measure" in out
    assert "earlier calls" not in out and "figures/tiny/degradation.pdf" in out
    of_seed = {("plain", 0): "done", ("residual", 0): "done", ("plain", 1): "pending", ("residual", 1): "pending"}
    assert states(tmp_path) == of_seed
    out = output(tmp_path, "sweep", name)
    assert "2 of 4 runs to train" in out and "1 of 2 surfaces to measure" in out
    assert set(states(tmp_path).values()) == {"done"}
    for words in (("seed=0",), ("network=plain", "seed=1"), ("depth=8",)):
        out = output(tmp_path, "sweep", name, *words)
        assert "nothing is left to" in out and "earlier calls" not in out and len(states(tmp_path)) == 4
        assert package.read_surfaces(tmp_path / "results/tiny")["run_id"].nunique() == 2
    sealed = {path.parent.name: path.read_bytes() for path in tmp_path.glob("results/tiny/runs/*/done.json")}
    assert "1 of 1 runs to train" in output(tmp_path, "sweep", name, "network=plain", "seed=1", "--mode", "force")
    again = {path.parent.name: path.read_bytes() for path in tmp_path.glob("results/tiny/runs/*/done.json")}
    [changed] = [run for run in sealed if again[run] != sealed[run]]
    assert changed.startswith("plain-8-digits-s1") and len(again) == 4


@pytest.mark.slow
def test_earlier_runs_stay_in_the_tables_until_the_record_is_removed(tmp_path):
    name = sweep_file(tmp_path, QUICKEST.replace("surfaces:", "# surfaces:"))
    output(tmp_path, "sweep", name, "seed=0,1,2")  # more than the file has
    assert "tiny also has 2 runs of earlier calls" in output(tmp_path, "sweep", name)
    assert len(states(tmp_path)) == 6
    shorter = ("network=plain", "seed=0", "recipe.iterations=1", "recipe.schedule.at=[]")
    assert "tiny also has 6 runs" in output(tmp_path, "sweep", name, *shorter)  # of 2 iterations
    runs = package.read_runs(tmp_path / "results/tiny")
    assert sorted(runs["iterations"]) == [1, *[2] * 6] and set(runs["state"]) == {"done"}
    # Of what was never begun nothing is kept, and a new name is a sweep of its own.
    output(tmp_path, "sweep", name, "seed=0", "network=plain", "name=part")
    assert len(package.read_runs(tmp_path / "results/part")) == 1
    (tmp_path / "results/tiny/sweep.json").unlink()
    assert "note:" not in output(tmp_path, "sweep", name) and len(states(tmp_path)) == 4


def test_status_and_logs_of_a_finished_sweep(finished):
    folder, _ = finished
    records = json.loads(output(folder, "status", "tiny", "--json"))
    assert len([record for record in records if "surface_id" in record]) == 4 and len(records) == 8
    assert {record["state"] for record in records} == {"done"} and records[0]["iteration"] == 20
    out = output(folder, "status", "tiny")
    assert "plain-8 seed 0" in out and "4 runs: 4 done" in out and "4 surfaces: 4 done" in out
    folder, _ = finished
    out = output(folder, "logs", "plain-8-digits-s0")
    assert "attempt on" in out and "iteration 20: training error" in out
    assert "fits 2 runs" in output(folder, "logs", "plain-8", code=2)
    assert "no run 'plian-8'" in output(folder, "logs", "plian-8", code=2)


@pytest.mark.slow
def test_a_diverged_run_is_a_result_and_the_sweep_goes_on(tmp_path):
    out = output(tmp_path, "sweep", sweep_file(tmp_path, DIVERGING))
    for words in ("plain-8, learning_rate 1e+30, seed 0: diverged", "ResNet-8, learning_rate 0.02, seed 0: done"):
        assert words in out
    frame = package.read_curves(tmp_path / "results/tiny")
    plain = frame[frame["network"] == "plain"]
    assert (plain["state"] == "diverged").all() and plain["loss"].isna().any()
    assert (frame[frame["network"] == "residual"]["state"] == "done").all()
    assert "nothing is left to train" in output(tmp_path, "sweep", "tiny.yaml")  # a diverged run is a result


@pytest.mark.slow
def test_a_run_at_chance_is_a_result_until_a_sweep_wants_more(tmp_path):
    fields = ("network=plain", "seed=0", "recipe.iterations=200", "recipe.learning_rate=1e-9")
    words = ("sweep", sweep_file(tmp_path), *fields)
    assert "at chance" in output(tmp_path, *words, "--stop-at-chance", "0.5")
    out = output(tmp_path, "status", "tiny")
    assert "1 at_chance" in out and "105/200" in out  # the first point of the curve after 100
    assert "nothing is left" in output(tmp_path, *words, "--stop-at-chance", "0.3")
    for further in ((), ("--stop-at-chance", "0.6")):
        out = output(tmp_path, *words, "--dry-run", *further)
        assert "from iteration 105; was stopped at chance" in " ".join(out.split())
    output(tmp_path, *words)
    [files] = runs(tmp_path)
    assert (status(files).state, status(files).iteration) == ("done", 200)


@pytest.mark.slow
def test_a_failed_run_says_why_and_is_tried_again_only_when_asked(tmp_path):
    name = sweep_file(tmp_path)
    words = ("sweep", name, "network=plain", "recipe.iterations=20", "train_subset=5000")
    assert "failed: plain-8-digits-s0" in study(tmp_path, *words).out
    [files] = runs(tmp_path)
    failed = read_json(files.failed)
    assert "5,000" in failed["message"] or "5000" in failed["message"]
    assert "Traceback" in failed["traceback"] and "Traceback" in files.log.read_text()
    out = output(tmp_path, *words, code=1)
    assert "1 failed" in out and "--mode retry" in out
    code, out, _ = study(tmp_path, *words, "--mode", "retry")
    assert code == 1 and "1 of 1 runs to train" in out


def test_unwritable_results_are_one_line(tmp_path):
    (tmp_path / "results").write_text("a file stands where the folder should be")
    assert "results" in output(tmp_path, "sweep", sweep_file(tmp_path), code=2)


@pytest.mark.slow
def test_list_and_doctor_and_schema_answer(tmp_path):
    out = output(tmp_path, "list")
    for word in ("quickstart", "plain_vs_residual", "he2015_cifar", "fashion_mnist", "degradation", "errors", "6n + 2"):
        assert word in out
    out = inside(tmp_path, "doctor").out
    assert "torch" in out and "SLURM" in out and "disk" in out and "FAIL  torch" not in out
    assert json.loads(output(tmp_path, "schema"))["title"] == "study sweep"


@pytest.mark.parametrize("words", [["--mode", "force"], ["--mode=force"]])
def test_the_command_to_continue_has_no_mode_force(words, monkeypatch):
    monkeypatch.setattr("sys.argv", ["study", "sweep", "my file.yaml", *words, "seed=0"])
    assert options.again() == "study sweep 'my file.yaml' seed=0"


def test_unknown_names_get_a_suggestion_or_the_list(finished):
    folder, nearest = finished[0], "did you mean 'tiny'?"
    for words, hint in (
        (("status", "tinny"), nearest), (("collect", "tinny"), nearest),
        (("figure", "degradation", "tinny"), nearest), (("table", "errors", "tinny"), nearest),
        (("swep", "x"), "'sweep'"), (("sweep", "quikstart.yaml"), "did you mean 'quickstart'?"),
        (("sweep", "tiny", "depth=9"), "nearest: 8 or 14"), (("sweep", "tinny.yaml"), nearest),
        (("rm", "tinny"), nearest), (("describe", "--seed", "8"), "did you mean 'seed=...'?"),
        (("sweep", "nothing.yaml"), "(`study list sweeps` has all)"), (("sweep", "--reslts=x", "tiny.yaml"), "--results"),
        (("figure", "contours", "of=loss"), "name at least one sweep"), (("table", "tabel6", "x"), "did you mean 'table6'?"),
        (("figure", "degradatio", "x"), "did you mean 'degradation'?"), (("figure", "zz", "x"), "(`study list figures` has all)"),
        (("probe", "x", "--probes", "wieghts"), "did you mean 'weights'?"), (("list", "feilds"), "'fields'"),
        (("probe", "tinny"), nearest), (("probe", "tiny", "--probes", "weights,weights"), "'weights' is named twice"),
        (("sweep", "x.yaml", "--gpus", "1"), "no option '--gpus'; did you mean '--device'?"),
        (("sweep", "x.yaml", "--lr", "1"), "no option '--lr'; did you mean 'recipe.learning_rate=...'?"),
        (("describe", "--depth", "8"), "did you mean 'depth=...'?"), (("surface", "x", "--norm", "y"), "no option '--norm' (see"),
    ):  # fmt: skip
        assert hint in output(folder, *words, code=2)
    out = output(folder, "list", "fields")
    assert [line.split()[0] for line in out.splitlines()[1:]] == list(settable())
    assert "plain | residual; needed" in out

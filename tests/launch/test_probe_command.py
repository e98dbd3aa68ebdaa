"""`study probe`: networks measured afterwards, on their checkpoints."""

import shutil

import pytest
import torch

import study as package
from study.launch.probe import chosen_probes, probe
from study.store.files import read_json, write_json
from study.store.layout import RunFiles, SweepFiles
from study.store.lease import claim
from study.store.tables import read_table
from study.training.session import Session
from tests.launch.command import output


@pytest.fixture
def sweep(copied):
    """The tiny sweep, measured in training by `responses` and `gradients`."""
    return SweepFiles(copied / "results", "tiny")


def said(files, probes="weights", images=None):
    """The lines of a measurement in this process: of successes, and of failures."""
    threads = torch.get_num_threads()
    lines = list(probe(files, chosen_probes(probes), images, Session()))
    torch.set_num_threads(threads)
    return [line.text for line in lines if not line.failed], [line.text for line in lines if line.failed]


@pytest.mark.slow
def test_every_row_gives_its_number_of_images(sweep):
    images = 160
    usual = "responses,gradients,identity,weights,paths,confusion,batch_norm"
    assert not said(sweep, usual, images)[1]
    frame = package.read_probes(sweep.folder)
    frame = frame[frame["iteration"] == frame["recipe.iterations"]]
    batch = int(frame["recipe.batch_size"].iloc[0])
    train = images // batch * batch
    counts = {probe: set(rows["images"]) for probe, rows in frame.groupby("probe")}
    assert all(counts[probe] == {train} for probe in ("responses", "gradients", "identity"))
    assert counts["weights"] == {0}
    assert counts["paths"] == {32, max(batch, images // 4 // batch * batch)}
    tested = frame[(frame["probe"] == "batch_norm") & (frame["layer"] == "test")]
    assert set(tested["images"]) == {360}  # all test images, although not a whole number of batches
    assert set(frame[(frame["probe"] == "batch_norm") & (frame["layer"] == "train")]["images"]) == {train}
    # It is the test error that the training recorded, not one of a sample.
    for run_id, rows in tested.groupby("run_id"):
        curve = read_table(RunFiles(sweep.runs / str(run_id)).curves).to_pylist()
        [recorded] = [row["error"] for row in curve if row["split"] == "test" and row["iteration"] == 20]
        assert rows.loc[rows["measure"] == "error_running", "value"].item() == pytest.approx(recorded)


def named(files, network):
    [found] = [RunFiles(path) for path in files.runs.glob(f"{network}-8-digits-s0-*")]
    return found


def test_a_sweep_measures_in_training_and_later_measurements_repeat_and_add(sweep, tmp_path):
    assert "probes: results/tiny/probes.parquet" in (sweep.results.parent / "out.txt").read_text()
    frame = package.read_probes(sweep.folder)
    assert set(frame["iteration"]) == {0, 10, 20} and set(frame["probe"]) == {"responses", "gradients"}
    assert set(frame["network"]) == {"plain", "residual"} and set(frame["images"]) == {64}
    assert not frame.duplicated(["run_id", "iteration", "probe", "measure", "place", "layer"]).any()
    assert "iteration 10: measured responses" in named(sweep, "plain").log.read_text()
    key = ["run_id", "iteration", "probe", "measure", "place", "layer", "value"]
    before = package.read_probes(sweep.folder)
    out = output(tmp_path, "probe", "tiny")
    after = package.read_probes(sweep.folder)
    again = after[after["probe"].isin(["responses", "gradients"])].reset_index(drop=True)
    assert again[key].equals(before[key]) and not again["seconds"].equals(before["seconds"])
    assert {"weights", "identity"} <= set(after["probe"])
    assert set(after[after["probe"] == "weights"]["iteration"]) == {20}
    assert "plain-8 seed 0, iteration 20: responses: std " in out and " at 7 places), " in out
    assert out.splitlines()[-1] == "probes: results/tiny/probes.parquet"


def test_one_run_some_probes_and_fewer_images(sweep, tmp_path):
    files = named(sweep, "residual")
    out = output(tmp_path, "probe", files.run_id[:22], "--probes", "identity", "--images", "128")
    assert out.splitlines()[-1] == f"probes: {files.probes.relative_to(tmp_path)}" and len(out.splitlines()) == 2
    found = [row for row in read_table(files.probes).to_pylist() if row["probe"] == "identity"]
    assert {row["images"] for row in found} == {128} and {row["iteration"] for row in found} == {20}
    assert not files.lease.exists() and not files.heartbeat.exists()
    others = {row["probe"] for row in read_table(named(sweep, "plain").probes).to_pylist()}
    assert others == {"responses", "gradients"}


def damage(files):
    [path] = files.checkpoints()
    path.write_bytes(path.read_bytes()[:-10])


def lose(files):
    files.checkpoints()[0].unlink()


def mistake_for_another(files):
    [own] = files.checkpoints()
    [other] = files.folder.parent.glob("residual-8-digits-s0-*/checkpoint-*")
    own.unlink()
    shutil.copy(other, files.folder / other.name)


def change_the_spec(files):
    write_json(files.spec, read_json(files.spec) | {"family": {"name": "cifar", "family.width": 2}})


@pytest.mark.parametrize(
    "spoil, message",
    [
        (damage, "no sound checkpoint: passed over checkpoint-00000020-"),
        (lose, "has no checkpoint to measure; train it with `study sweep FILE --mode force`"),
        (mistake_for_another, "it belongs to run residual-8"),
        (change_the_spec, "it was changed by hand"),
    ],
)
def test_a_run_that_cannot_be_measured_is_reported_and_others_are_measured(sweep, spoil, message):
    files = named(sweep, "plain")
    spoil(files)
    good, [bad] = said(sweep)
    assert bad.startswith(files.run_id) and message in bad and "\n" not in bad
    assert len(good) == 4 and any(line.startswith("ResNet-8 seed 0, iteration 20: weights: norm ") for line in good)
    assert not files.lease.exists()


def test_a_run_that_another_process_holds_is_busy(sweep):
    files = named(sweep, "plain")
    lease = claim(files)
    before = files.probes.read_bytes()
    good, [bad] = said(sweep)
    assert "is busy" in bad and len(good) == 4 and files.probes.read_bytes() == before
    lease.release()
    assert said(sweep)[1] == []


def test_a_failure_of_a_probe_is_one_line_and_its_traceback_is_in_the_log(sweep, tmp_path):
    broken = "import study\n\n@study.probe\ndef broken(subject):\n    raise ZeroDivisionError('two\\nlines')\n"
    (tmp_path / "mine.py").write_text(broken)
    said = output(tmp_path, "probe", "tiny", "--probes", "broken", "--use", "mine.py", code=1)
    assert said.count("ZeroDivisionError: two lines (its log has more)\n") == 4
    assert "Traceback" in named(sweep, "plain").log.read_text()

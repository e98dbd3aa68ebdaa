"""A stranger's results and data sets: reading them runs none of their code, and nothing is written outside of their folder."""

import io
import json
import os
import pickle
import re
import shutil
import tarfile
from pathlib import Path

import pytest
import torch

from study.store.files import digest
from study.training import checkpoint
from tests.faults.whole import files_of, run_of, sweep
from tests.helpers import long
from tests.launch.command import inside

PACKAGE = Path(__file__).parents[2] / "study"


class Bomb:
    """Who unpickles it makes a folder."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.fixture
def marker(tmp_path):
    return tmp_path / "it went off"


def bombs(marker, told):
    """Files that pass for a checkpoint, and run something when they are unpickled."""
    zipped = io.BytesIO()
    torch.save(told | {"network": Bomb(marker)}, zipped)
    legacy = io.BytesIO()
    torch.save(told | {"network": Bomb(marker)}, legacy, _use_new_zipfile_serialization=False)
    return [
        zipped.getvalue(),
        legacy.getvalue(),
        pickle.dumps(told | {"network": Bomb(marker)}),
        pickle.dumps(Bomb(marker)),
    ]


@pytest.mark.parametrize("kind", range(4))
def test_checkpoints_are_never_unpickled(marker, kind):
    content = bombs(marker, {})[kind]
    with pytest.raises(ValueError, match="it is not a checkpoint"):
        checkpoint.load_tensors(content, torch.device("cpu"))
    assert not marker.exists()
    if kind < 2:
        torch.load(io.BytesIO(content), weights_only=False)
    else:
        pickle.loads(content)
    assert marker.exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [0, long(3)])
def test_networks_of_a_stranger_run_nothing(copy, marker, kind):
    run, files = run_of(copy, "plain"), files_of(copy)
    told = {"version": 1, "run_id": run.run_id, "iteration": 6, "fingerprint": "x", "threads": 1, "curves": {}}
    content = bombs(marker, told)[kind]
    for path in [*run.folder.glob("*.pt"), *files.folder.glob("surfaces/*/*.pt")]:
        path.with_name(f"{path.stem.rpartition('-')[0]}-{digest(content)}.pt").write_bytes(content)
        path.unlink()
    slurm = files.slurm / "0123abcd"
    slurm.mkdir(parents=True)
    (slurm / "17_0_submitted.pkl").write_bytes(pickle.dumps(Bomb(marker)))
    (slurm / "17_0_0_result.pkl").write_bytes(pickle.dumps(Bomb(marker)))
    submission = {"name": "study-tiny-0123abcd", "packs": [[str(run.folder)]], "job": {}, "limits": [1, 1], "time": 1.0}
    (slurm / "submission.json").write_text(json.dumps(submission | {"job_id": "17"}))
    for words in (
        "status tiny", f"logs {run.run_id}", "collect tiny", "figure degradation tiny", "verdict tiny",
        "probe tiny --probes weights", f"surface {run.run_id} --points 2 --plane pca", "list sweeps",
    ):  # fmt: skip
        said = inside(copy, *words.split())
        assert said.code in (0, 1, 2) and "Traceback" not in said.err, said
        assert not marker.exists(), words
    run.curves.write_bytes(b"")  # so that the run goes on from what passes for its checkpoint
    said = sweep(copy)
    assert said.code == 0 and "passed over checkpoint-" in said.out and not marker.exists(), said


def test_results_hold_no_pickle_of_ours(trained):
    kinds = {path.suffix for path in files_of(trained).folder.rglob("*") if path.is_file()}
    assert kinds == {".json", ".jsonl", ".parquet", ".pt", ""}
    for path in files_of(trained).folder.rglob("*.pt"):
        assert isinstance(torch.load(path, weights_only=True), dict)


def test_tensors_are_never_unpickled():
    """Ruff's rules (pyproject.toml) forbid the other ways to run what is read."""
    wrong = r"torch\.load\((?!.*weights_only=True)|allow_pickle=True|weights_only=False"
    assert not [path for path in PACKAGE.rglob("*.py") if re.search(wrong, path.read_text())]


def test_an_archive_that_is_not_the_data_sets_is_not_unpacked(tmp_path):
    data = tmp_path / "a" / "data"
    data.mkdir(parents=True)
    with tarfile.open(data / "cifar-10-python.tar.gz", "w:gz") as archive:
        for name in ("../../evil", str(tmp_path / "evil"), "cifar-10-batches-py/data_batch_1"):
            member = tarfile.TarInfo(name)
            member.size = 4
            archive.addfile(member, io.BytesIO(b"evil"))
    text = "name: s\nfixed: {data: cifar10, recipe: quick, network: plain, depth: 8, seed: 0}\n"
    (tmp_path / "s.yaml").write_text(text)
    said = inside(tmp_path, "sweep", "s.yaml", "--data-root", data)
    assert said.code == 2 and "is incomplete or corrupt (its MD5 is wrong)" in said.err, said
    assert not list(tmp_path.rglob("evil")) and os.listdir(data) == ["cifar-10-python.tar.gz"]
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
@pytest.mark.parametrize("what", ["sweep", "runs", "run", "attempts.jsonl", "log"])
def test_nothing_is_written_through_a_link_out_of_the_results(copy, tmp_path, what):
    files, run = files_of(copy), run_of(copy, "plain")
    run.done.unlink()  # so that there is something to do
    path = {"sweep": files.folder, "runs": files.runs, "run": run.folder}.get(what, run.folder / what)
    outside = tmp_path / "outside"
    shutil.move(path, outside)
    path.symlink_to(outside)
    before = {p: p.read_bytes() for p in [outside, *outside.rglob("*")] if p.is_file()}
    said = sweep(copy)
    assert said.code == 2 and "Traceback" not in said.err and said.err.count("\n") == 1, said
    assert ("link" in said.err or "symbolic" in said.err) and what.replace("sweep", "tiny") in said.err, said
    assert {p: p.read_bytes() for p in [outside, *outside.rglob("*")] if p.is_file()} == before


@pytest.mark.slow
def test_links_are_replaced_not_written_through(copy, tmp_path):
    run = run_of(copy, "plain")
    run.done.unlink()
    theirs = tmp_path / "theirs"
    theirs.write_text("not ours")
    for path in (run.curves, run.heartbeat):
        path.unlink(missing_ok=True)
        path.symlink_to(theirs)
    assert sweep(copy).code in (0, 1) and theirs.read_text() == "not ours"
    assert not run.curves.is_symlink()

"""Files of version 1, as the first version of this program wrote them, are read; those of a later version are refused."""

import io
import json
import shutil
from pathlib import Path

import pytest
import torch

import study
from study.errors import StudyError
from study.launch.status import report
from study.measure.surface import plane
from study.store import files as store_files
from study.store import runs as store
from study.store.collect import collect
from study.store.files import digest
from study.store.layout import SurfaceFiles, SweepFiles
from study.store.surfaces import read_spec as read_surface
from study.store.tables import read_table, to_bytes
from study.training import checkpoint
from tests.helpers import make_spec, open_run

GOLDEN = Path(__file__).parent / "golden" / "version-1"
"""A sweep of two runs that were trained, with their measurements and surfaces, and one that failed; networks are left out."""

PLAIN, RESIDUAL, FAILED = (
    "plain-8-digits-s0-86c26b855dad",
    "residual-8-digits-s0-d3b92397387f",
    "plain-8-digits-s1-c1fb2a3242d8",
)


@pytest.fixture
def golden(tmp_path):
    """A copy, which may be changed."""
    shutil.copytree(GOLDEN / "results", tmp_path / "results")
    return SweepFiles(tmp_path / "results", "golden")


@pytest.mark.parametrize("where", ["trained", "collected"])
def test_version_1_results_read_as_before(golden, where):
    if where == "collected":
        golden.sweep.unlink()
        shutil.rmtree(golden.runs)
    curves, runs = study.read_curves(golden.folder), study.read_runs(golden.folder)
    assert runs["run_id"].tolist() == [PLAIN, RESIDUAL, FAILED]
    assert runs["state"].tolist() == ["done", "done", "failed"]
    assert runs["message"].tolist()[2] == "RuntimeError: made up, to have one that failed"
    assert runs["iteration"].tolist() == [20, 20, 0] and runs["torch"].tolist()[0] == "2.14.1"
    last = curves[(curves["iteration"] == 20) & (curves["split"] == "test")].set_index("run_id")["error"]
    assert last.to_dict() == {PLAIN: pytest.approx(44.7222, abs=1e-4), RESIDUAL: pytest.approx(36.1111, abs=1e-4)}
    assert len(curves) == 12 and set(curves["split"]) == {"train", "train_clean", "test"}
    probes = study.read_probes(golden.folder)
    assert set(probes["probe"]) == {"responses"} and set(probes["iteration"]) == {0, 20} and len(probes) == 28
    surfaces = study.read_surfaces(golden.folder)
    assert surfaces.groupby("run_id").size().to_dict() == {PLAIN: 18, RESIDUAL: 18}
    assert surfaces["loss"].max() == pytest.approx(121.615, abs=1e-3)


def test_version_1_tables_are_renewed(golden):
    records = report(golden)
    assert [record["state"] for record in records] == ["done", "done", "failed"]
    assert [record["label"] for record in records] == ["plain-8 seed 0", "ResNet-8 seed 0", "plain-8 seed 1"]
    before = study.read_curves(golden.folder)
    collect(golden)
    after = study.read_curves(golden.folder)
    assert after.equals(before) and study.figure("degradation", after).axes
    assert not any(study.read_runs(golden.folder)["message"][:2])


def test_damage_is_found_without_checksums(golden):
    run = golden.run(PLAIN)
    run.curves.write_bytes(run.curves.read_bytes()[:-9])
    now = store.status(run)
    assert now.state == "interrupted" and "curves.parquet: is damaged" in now.message
    run.curves.write_bytes(golden.run(RESIDUAL).curves.read_bytes())
    assert "rows of another run" in store.status(run).message


def of_a_later_version(path):
    """Make a file one of a later version, otherwise unchanged."""
    if path.suffix == ".parquet":
        content = to_bytes(read_table(path))
        path.write_bytes(content.replace(b"study_version\x18\x011", b"study_version\x18\x019"))
        assert path.read_bytes() != content
    else:
        store_files.write_json(path, (store_files.read_json(path) or {}) | {"version": 9, "what is new": 1})


@pytest.mark.parametrize("name, read", [
    *((name, study.read_curves) for name in ("sweep.json", f"runs/{PLAIN}/done.json", f"runs/{PLAIN}/curves.parquet")),
    ("curves.parquet", study.read_curves), ("runs.parquet", study.read_runs), ("probes.parquet", study.read_probes),
    ("surfaces.parquet", study.read_surfaces),
])  # fmt: skip
def test_files_of_a_later_version_are_refused(golden, name, read):
    if name.endswith("s.parquet") and "/" not in name:
        golden.sweep.unlink()
    of_a_later_version(golden.folder / name)
    with pytest.raises(StudyError, match=rf"{name}: has version 9; this program reads version 1") as told:
        read(golden.folder)
    assert not isinstance(told.value, store_files.DamagedError)  # it is not to be mended


def test_specs_of_a_later_version_are_refused(golden):
    run = golden.run(PLAIN)
    of_a_later_version(run.spec)
    with pytest.raises(StudyError, match=r"spec\.json: has version 9"):
        store.read_spec(run)
    before = run.spec.read_bytes()
    with pytest.raises(StudyError, match=r"spec\.json: has version 9"):
        store.write_spec(run, make_spec())
    assert run.spec.read_bytes() == before
    [surface] = (SurfaceFiles(path) for path in golden.folder.glob("surfaces/plain*"))
    of_a_later_version(surface.spec)
    with pytest.raises(StudyError, match=r"spec\.json: has version 9"):
        read_surface(surface)


def test_networks_of_a_later_version_are_refused_and_kept(tmp_path):
    run, cpu = open_run(tmp_path / "results", make_spec()), torch.device("cpu")
    checkpoint.save(run, 5, {"network": {}})
    checkpoint.save_snapshot(run, 5, {})
    surface = run.surface("a-surface")
    surface.folder.mkdir(parents=True)
    for name, later in (
        ("checkpoint-00000009", run.folder),
        ("snapshot-00000009", run.folder),
        ("plane", surface.folder),
    ):
        content = io.BytesIO()
        torch.save({"version": 9, "run_id": run.run_id, "surface_id": "a-surface"}, content)
        (later / f"{name}-{digest(content.getvalue())}.pt").write_bytes(content.getvalue())
    with pytest.raises(StudyError, match=r"checkpoint-00000009-.*: has version 9"):
        checkpoint.load_newest(run, cpu)
    with pytest.raises(StudyError, match=r"snapshot-00000009-.*: has version 9"):
        list(checkpoint.load_snapshots(run, cpu))
    with pytest.raises(StudyError, match=r"plane-.*: has version 9"):
        plane.load(surface)
    assert len(run.checkpoints()) == 2 and len(run.snapshots()) == 2 and len(surface.planes()) == 1


def test_the_golden_files_are_those_of_version_1():
    """Later programs must not rewrite them."""
    assert "sha256" not in json.loads((GOLDEN / "results/golden/sweep.json").read_text())
    for path in GOLDEN.rglob("*.parquet"):
        assert read_table(path).schema.metadata[b"study_version"] == b"1" and b"study_sha256" not in path.read_bytes()

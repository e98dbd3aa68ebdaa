"""`study embed`: the certificate of identity embedding, and runs that start from a stretched network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from study.config.identity import point_id
from study.errors import StudyError
from study.launch.attempt.work import work
from study.launch.embed import embed
from study.launch.plan.runs import hold_dependents
from study.launch.plan.state import Action
from study.store.layout import RunFiles
from study.store.runs import RunStatus, read_spec
from study.training.session import Session
from tests.helpers import make_spec, open_run, read_rows
from tests.launch.command import curves, inside, runs, sweep_file

PLAIN = """
fixed: {data: digits, recipe: quick, network: plain, recipe.iterations: 30, recipe.evaluate_every: 30}
grid: {depth: [8, 14], seed: [0, 1]}
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of plain networks of 8 and 14 layers, two seeds each, trained."""
    folder = tmp_path_factory.mktemp("finished")
    code, _, err = inside(folder, "sweep", sweep_file(folder, PLAIN))
    assert code == 0, err
    return folder


@pytest.fixture
def trained(finished: Path, tmp_path: Path) -> list[RunFiles]:
    """Those of 8 layers, in a copy."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return [run for run in runs(tmp_path) if run.run_id.startswith("plain-8-")]


def last(files: RunFiles, split: str) -> dict[str, object]:
    return [row for row in read_rows(files.curves) if row["split"] == split][-1]


@pytest.mark.slow
def test_a_certificate_shows_equal_outputs_and_equal_training_error_and_a_sweep_trains_on(tmp_path, trained):
    ids = [run.run_id for run in trained]
    code, out, err = inside(tmp_path, "embed", *ids, "--depth", "14", "--sweep", "onwards.yaml")
    assert code == 0, err
    for run in trained:
        found = json.loads(run.certificate(14).read_text())
        assert found["large"] == pytest.approx(found["small"], rel=1e-5)
        assert found["disagreements"] == 0 and found["images"] == 1797 and found["blocks"] == 3
        assert 0 <= found["difference"] < 1e-5 * found["largest"]
        # The recorded final errors of the run, from another code: that of training.
        clean, test = last(run, "train_clean"), last(run, "test")
        assert found["small"]["train_error"] == pytest.approx(clean["error"])
        assert found["small"]["train_loss"] == pytest.approx(clean["loss"], rel=1e-5)
        assert found["small"]["test_error"] == pytest.approx(test["error"])
        deep = next(r for r in runs(tmp_path) if r.run_id.startswith(f"plain-14-digits-{run.run_id.split('-')[3]}"))
        assert found["trained_deep"] == last(deep, "train_clean")["error"]
    assert "plain-8 stretched to plain-14 by 3 identity blocks" in out
    assert "study sweep onwards.yaml" in out

    code, _, err = inside(tmp_path, "sweep", "onwards.yaml")
    assert code == 0, err
    for run, origin in zip(runs(tmp_path, "onwards"), trained, strict=True):
        first = read_rows(run.curves)[0]
        began = [row for row in read_rows(origin.curves) if row["split"] == "train"][-1]
        assert first["loss"] < 1.3 * began["loss"]  # it continues
    log = runs(tmp_path, "onwards")[0].log.read_text()
    assert f"starts from {point_id(read_spec(trained[0]))}" in log
    code, out, _ = inside(tmp_path, "verdict", "onwards")
    assert code == 0 and "2/2" in out  # two seeds of one network


@pytest.mark.slow
def test_an_interrupted_run_with_an_origin_resumes_from_its_own_checkpoint(tmp_path, trained):
    text = f"""
fixed: {{data: digits, recipe: quick, network: plain, depth: 14, recipe.iterations: 40, recipe.evaluate_every: 20}}
grid: {{seed: [0], start_from: [{point_id(read_spec(trained[0]))}]}}
"""
    assert inside(tmp_path, "sweep", sweep_file(tmp_path, text, "on"))[0] == 0
    undisturbed = curves(tmp_path, "on")
    files = runs(tmp_path, "on")[0]
    again = sweep_file(tmp_path, text, "again")
    files.done.unlink()
    for path in trained[0].checkpoints():  # its origin may go once it has started
        path.unlink()
    code, _, err = inside(tmp_path, "sweep", again)
    assert code == 0, err
    assert curves(tmp_path, "on") == undisturbed


@pytest.mark.slow
def test_a_run_waits_for_its_origin_and_rerunning_trains_it(tmp_path):
    source = make_spec(network="plain", recipe__iterations=20, recipe__evaluate_every=20)
    text = f"""
fixed: {{data: digits, recipe: quick, network: plain, seed: 0, recipe.iterations: 20, recipe.evaluate_every: 20}}
blocks:
  - fixed: {{depth: 8}}
  - fixed: {{depth: 14, start_from: {point_id(source)}}}
"""
    name = sweep_file(tmp_path, text)
    code, out, _ = inside(tmp_path, "sweep", name, "--dry-run")
    assert code == 0
    assert f"starts from {point_id(source)} seed 0, which is not trained yet" in out
    code, out, err = inside(tmp_path, "sweep", name)
    assert code == 1 and "1 runs are unfinished; rerun to continue" in out, err
    code, out, err = inside(tmp_path, "sweep", name)
    assert code == 0, err
    assert len(runs(tmp_path)) == 2 and all(run.done.exists() for run in runs(tmp_path))
    code, out, err = inside(tmp_path, "sweep", name, "--mode", "force")  # the first again, and the second after it
    assert code == 0, err
    assert all(run.done.exists() for run in runs(tmp_path))
    deep = next(run for run in runs(tmp_path) if run.run_id.startswith("plain-14"))
    shutil.rmtree(next(run.folder for run in runs(tmp_path) if run.run_id.startswith("plain-8")))
    (tmp_path / "alone.yaml").write_text(
        f"fixed: {{data: digits, recipe: quick, network: plain, depth: 14, seed: 0, start_from: {point_id(source)},"
        " recipe.iterations: 20, recipe.evaluate_every: 20}\n"
    )
    code, out, err = inside(tmp_path, "sweep", "alone.yaml")  # a trained run no longer needs its origin
    assert code == 0 and deep.run_id in (tmp_path / "results" / "alone" / "sweep.json").read_text(), err


@pytest.mark.parametrize(
    "fields, message",
    [
        ("start_from: plain-8-digits-000000000000", "start_from: no run plain-8-digits-000000000000 with seed 0 under"),
        ("start_from: ../../secret", "start_from: must be a run's id without its seed"),
    ],
)
def test_a_missing_origin_stops_the_sweep_before_it_starts(tmp_path, fields, message):
    text = f"fixed: {{data: digits, recipe: quick, network: plain, depth: 14, seed: 0, {fields}}}\n"
    code, _, err = inside(tmp_path, "sweep", sweep_file(tmp_path, text))
    assert code == 2 and message in err
    assert not (tmp_path / "results").exists()


def test_a_run_that_cannot_be_embedded_gives_one_line(tmp_path, trained):
    name = trained[0].run_id
    code, _, err = inside(tmp_path, "embed", name, "--depth", "14", "--sweep", "tiny.yaml")
    assert (code, err) == (2, "study: tiny.yaml: exists; name another file\n")
    for path in trained[0].checkpoints():
        path.write_bytes(path.read_bytes()[:100])
    trained[1].done.unlink()
    for run, depth, message in [
        ("plain-9", 14, "no run 'plain-9' under"),
        (name, 15, "--depth: depth: 15 is not 6n"),
        (name, 14, f"{name} has no sound checkpoint"),
        (trained[1].run_id, 14, f"{trained[1].run_id} is not finished"),
    ]:
        with pytest.raises(StudyError, match=f"^{message}") as caught:
            embed(run, depth, tmp_path / "results", Session(tmp_path / "data"))
        assert "\n" not in str(caught.value)
    assert not trained[0].certificate(14).exists()


DEEP, SHALLOW = {"network": "plain", "depth": 14}, {"network": "plain"}


def planned(verbs, states, tmp_path, **fields):
    """The verbs of a shallow run and of the deeper one that starts from it, as `hold_dependents` leaves them."""
    specs = {"shallow": make_spec(**SHALLOW)}
    specs["deep"] = make_spec(**DEEP | {"start_from": point_id(specs["shallow"])} | fields)
    disk = {name: RunStatus(name, *state) for name, state in zip(specs, states, strict=True)}
    actions = [Action(name, verb, "") for name, verb in zip(specs, verbs, strict=True)]
    return [(action.verb, action.reason) for action in hold_dependents(actions, specs, disk, tmp_path)]


@pytest.mark.parametrize(
    "verbs, states, verb, reason",
    [
        (["start", "start"], [("pending",), ("pending",)], "hold", "which is not trained yet"),
        (["keep", "start"], [("done",), ("pending",)], "start", ""),
        (["redo", "redo"], [("done",), ("done",)], "hold", "which is not trained yet"),
        (["redo", "keep"], [("done",), ("done",)], "keep", ""),
        (["start", "resume"], [("pending",), ("interrupted", 20)], "resume", ""),
        (["keep", "start"], [("diverged",), ("pending",)], "hold", "which has diverged"),
        (["leave", "start"], [("failed",), ("pending",)], "hold", "which has failed"),
        (["wait", "start"], [("running",), ("pending",)], "hold", "which is not trained yet"),
    ],
)
def test_runs_are_held_until_their_origin_is_done(tmp_path, verbs, states, verb, reason):
    found = planned(verbs, states, tmp_path)[1]
    assert found[0] == verb and found[1].endswith(reason) and bool(found[1]) == bool(reason)


def test_an_origin_on_other_data_is_refused(tmp_path):
    with pytest.raises(StudyError, match="start_from: data: fashion_mnist cannot start from digits"):
        planned(["keep", "start"], [("done",), ("pending",)], tmp_path, data="fashion_mnist")


def test_a_bad_origin_fails_its_own_run_and_no_other_of_the_pack(tmp_path, trained):
    for path in trained[0].checkpoints():
        path.write_bytes(b"damaged")
    origin = point_id(read_spec(trained[0]))
    specs = (
        make_spec(**DEEP, recipe__iterations=5, start_from=origin),
        make_spec(**SHALLOW, recipe__iterations=5, seed=3),
    )
    bad, good = (open_run(tmp_path / "results", spec) for spec in specs)
    outcomes = work([bad.folder, good.folder], Session(tmp_path / "data"))
    assert outcomes == {bad.run_id: "failed", good.run_id: "done"}
    assert "has no sound checkpoint" in bad.failed.read_text()

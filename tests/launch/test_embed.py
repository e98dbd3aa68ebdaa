"""`study embed`: the certificate of identity embedding, and runs that start from a stretched network."""

import shutil

import pytest

from study.config.identity import point_id
from study.errors import StudyError
from study.launch.embed import embed
from study.launch.plan.runs import hold_dependents
from study.launch.plan.state import Action
from study.store.files import read_json
from study.store.runs import RunStatus, read_spec
from study.training.session import Session
from tests.helpers import make_spec, read_rows
from tests.launch.command import curves, output, runs, sweep_file

DEEPER = """
fixed: {data: digits, train_subset: 200, recipe: quick, network: plain, depth: 14,
  recipe.iterations: 20, recipe.evaluate_every: 10, recipe.log_every: 5}
grid: {seed: [0]}
"""


@pytest.fixture
def shallow(copied):
    """Two trained plain networks of 8 layers."""
    return [run for run in runs(copied) if run.run_id.startswith("plain-8-")]


def last(files, split):
    return [row for row in read_rows(files.curves) if row["split"] == split][-1]


@pytest.mark.slow
def test_a_stretched_network_computes_the_same_and_trains_on(tmp_path, shallow):
    source, file = shallow[0], sweep_file(tmp_path, DEEPER, "deeper")
    output(tmp_path, "sweep", file)
    out = output(tmp_path, "embed", source.run_id, "--depth", "14")
    assert "plain-8 stretched to plain-14 by 3 identity blocks" in out
    found = read_json(source.certificate(14))
    assert found["large"] == pytest.approx(found["small"], rel=1e-5)
    assert found["disagreements"] == 0 and found["images"] == 560 and found["blocks"] == 3
    assert 0 <= found["difference"] < 1e-5 * found["largest"]
    # The recorded final errors of the run, from another code: that of training.
    clean, test = last(source, "train_clean"), last(source, "test")
    assert found["small"]["train_error"] == pytest.approx(clean["error"])
    assert found["small"]["train_loss"] == pytest.approx(clean["loss"], rel=1e-5)
    assert found["small"]["test_error"] == pytest.approx(test["error"])
    assert found["trained_deep"] == last(runs(tmp_path, "deeper")[0], "train_clean")["error"]
    folded = output(tmp_path, "embed", source.run_id)
    assert "plain-8 folded" in folded and "start_from" not in folded
    same = read_json(source.certificate(None))
    assert same["large"] == pytest.approx(same["small"], rel=1e-5) and same["blocks"] == same["disagreements"] == 0

    onwards = ("sweep", file, f"start_from={point_id(read_spec(source))}", "name=onwards")
    assert onwards[2] in out
    output(tmp_path, *onwards)
    [run] = runs(tmp_path, "onwards")
    assert read_rows(run.curves)[0]["loss"] < 1.3 * last(source, "train")["loss"]  # it continues
    assert f"starts from {point_id(read_spec(source))}" in run.log.read_text()
    undisturbed = curves(tmp_path, "onwards")
    run.done.unlink()
    for path in source.checkpoints():  # the origin may go once the run has its own checkpoint
        path.unlink()
    output(tmp_path, *onwards)
    assert curves(tmp_path, "onwards") == undisturbed


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
    waits = f"starts from {point_id(source)} seed 0, which is not trained yet"
    assert waits in output(tmp_path, "sweep", name, "--dry-run")
    assert "1 runs are unfinished; rerun to continue" in output(tmp_path, "sweep", name, code=1)
    output(tmp_path, "sweep", name)
    assert len(runs(tmp_path)) == 2 and all(run.done.exists() for run in runs(tmp_path))
    output(tmp_path, "sweep", name, "--mode", "force")  # the first again, and the second after it
    assert all(run.done.exists() for run in runs(tmp_path))
    deep = next(run for run in runs(tmp_path) if run.run_id.startswith("plain-14"))
    shutil.rmtree(next(run.folder for run in runs(tmp_path) if run.run_id.startswith("plain-8")))
    (tmp_path / "alone.yaml").write_text(
        f"fixed: {{data: digits, recipe: quick, network: plain, depth: 14, seed: 0, start_from: {point_id(source)},"
        " recipe.iterations: 20, recipe.evaluate_every: 20}\n"
    )
    output(tmp_path, "sweep", "alone.yaml")  # a trained run no longer needs its origin
    assert deep.run_id in (tmp_path / "results" / "alone" / "sweep.json").read_text()


@pytest.mark.parametrize(
    "fields, message",
    [
        ("start_from: plain-8-digits-000000000000", "start_from: no run plain-8-digits-000000000000 with seed 0 under"),
        ("start_from: ../../secret", "start_from: must be a run's id"),
    ],
)
def test_a_missing_origin_stops_the_sweep_before_it_starts(tmp_path, fields, message):
    text = f"fixed: {{data: digits, recipe: quick, network: plain, depth: 14, seed: 0, {fields}}}\n"
    assert message in output(tmp_path, "sweep", sweep_file(tmp_path, text), code=2)
    assert not (tmp_path / "results").exists()


def test_a_run_that_cannot_be_embedded_gives_one_line(tmp_path, shallow):
    name = shallow[0].run_id
    for path in shallow[0].checkpoints():
        path.write_bytes(path.read_bytes()[:100])
    shallow[1].done.unlink()
    for run, depth, message in [
        ("plain-9", 14, "no run 'plain-9' under"),
        (name, 15, "--depth: depth: 15 is not 6n"),
        (name, 14, f"{name} has no sound checkpoint"),
        (shallow[1].run_id, 14, f"{shallow[1].run_id} is not finished"),
    ]:
        with pytest.raises(StudyError, match=f"^{message}") as caught:
            embed(run, depth, tmp_path / "results", Session(tmp_path / "data"))
        assert "\n" not in str(caught.value)
    assert not shallow[0].certificate(14).exists()


DEEP, SHALLOW = {"network": "plain", "depth": 14}, {"network": "plain"}


def planned(verbs, states, tmp_path, **fields):
    """The verbs of a shallow run and of the deeper one that starts from it, as `hold_dependents` leaves them."""
    specs = {"shallow": make_spec(**SHALLOW)}
    specs["deep"] = make_spec(**DEEP | {"start_from": point_id(specs["shallow"])} | fields)
    disk = {name: RunStatus(name, *state) for name, state in zip(specs, states, strict=True)}
    actions = [Action(disk[name], verb, "") for name, verb in zip(specs, verbs, strict=True)]
    return [(action.verb, action.reason) for action in hold_dependents(actions, specs, tmp_path)]


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

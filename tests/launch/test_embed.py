"""The identity-embedding certificate, and runs that train on from a stretched network, with the real command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from study.errors import StudyError
from study.launch.embed import embed
from study.launch.origins import hold_back
from study.launch.plan import Action
from study.spec.identity import point_id, run_id
from study.store.layout import RunFiles
from tests.helpers import make_spec, read_rows
from tests.launch.command import curves, runs, study, sweep_file

PLAIN = """
fixed: {data: digits, recipe: quick, network: plain, recipe.iterations: 30, recipe.evaluate_every: 30}
grid: {depth: [8, 14], seed: [0, 1]}
"""


@pytest.fixture
def trained(tmp_path: Path) -> list[RunFiles]:
    """Plain networks of 8 and 14 layers, two seeds each."""
    code, _, err = study(tmp_path, "sweep", sweep_file(tmp_path, PLAIN))
    assert code == 0, err
    return [run for run in runs(tmp_path) if run.run_id.startswith("plain-8-")]


def last(files: RunFiles, split: str) -> dict[str, object]:
    return [row for row in read_rows(files.curves) if row["split"] == split][-1]


def test_a_certificate_shows_equal_outputs_and_equal_training_error_and_a_sweep_trains_on(tmp_path, trained):
    ids = [run.run_id for run in trained]
    code, out, err = study(tmp_path, "embed", *ids, "--depth", "14", "--sweep", "onwards.yaml")
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

    code, _, err = study(tmp_path, "sweep", "onwards.yaml")
    assert code == 0, err
    for run, origin in zip(runs(tmp_path, "onwards"), trained, strict=True):
        first = read_rows(run.curves)[0]
        began = [row for row in read_rows(origin.curves) if row["split"] == "train"][-1]
        assert first["loss"] < 2 * began["loss"] + 0.1  # goes on, and not from the start, where it was 2.3 and more
    log = runs(tmp_path, "onwards")[0].log.read_text()
    assert f"starts from {ids[0]}" in log


def test_an_interrupted_run_that_started_from_another_goes_on_from_its_own_checkpoint(tmp_path, trained):
    text = f"""
fixed: {{data: digits, recipe: quick, network: plain, depth: 14, recipe.iterations: 40, recipe.evaluate_every: 20}}
zip: {{seed: [0], start_from: [{trained[0].run_id}]}}
"""
    assert study(tmp_path, "sweep", sweep_file(tmp_path, text, "on"))[0] == 0
    undisturbed = curves(tmp_path, "on")
    files = runs(tmp_path, "on")[0]
    again = sweep_file(tmp_path, text, "again")
    files.done.unlink()
    for path in trained[0].checkpoints():  # what it started from may go once it has started
        path.unlink()
    code, _, err = study(tmp_path, "sweep", again)
    assert code == 0, err
    assert curves(tmp_path, "on") == undisturbed


def test_a_run_waits_for_the_one_it_starts_from_and_the_same_command_goes_on(tmp_path):
    source = make_spec(network="plain", recipe__iterations=20, recipe__evaluate_every=20)
    text = f"""
fixed: {{data: digits, recipe: quick, network: plain, seed: 0, recipe.iterations: 20, recipe.evaluate_every: 20}}
blocks:
  - fixed: {{depth: 8}}
  - fixed: {{depth: 14, start_from: {run_id(source)}}}
"""
    name = sweep_file(tmp_path, text)
    code, out, _ = study(tmp_path, "sweep", name, "--dry-run")
    assert code == 0
    assert f"starts from {run_id(source)}, which is not trained yet" in out
    code, out, err = study(tmp_path, "sweep", name)
    assert code == 1 and "1 runs are not through; the same command goes on" in out, err
    code, out, err = study(tmp_path, "sweep", name)
    assert code == 0, err
    assert len(runs(tmp_path)) == 2 and all(run.done.exists() for run in runs(tmp_path))


@pytest.mark.parametrize(
    "fields, message",
    [
        ("start_from: plain-8-digits-s7-000000000000", "start_from: no run 'plain-8-digits-s7-000000000000' under"),
        ("start_from: ../../secret", "start_from: String should match pattern"),
    ],
)
def test_an_origin_that_will_never_be_there_stops_the_sweep_before_it_starts(tmp_path, fields, message):
    text = f"fixed: {{data: digits, recipe: quick, network: plain, depth: 14, seed: 0, {fields}}}\n"
    code, _, err = study(tmp_path, "sweep", sweep_file(tmp_path, text))
    assert code == 2 and message.replace("String should", "must") in err
    assert not (tmp_path / "results").exists()


def test_what_cannot_be_embedded_is_one_line(tmp_path, trained):
    name = trained[0].run_id
    code, _, err = study(tmp_path, "embed", name, "--depth", "14", "--sweep", "tiny.yaml")
    assert (code, err) == (2, "study: tiny.yaml: exists already; name another file\n")
    for path in trained[0].checkpoints():
        path.write_bytes(path.read_bytes()[:100])
    trained[1].done.unlink()
    for run, depth, message in [
        ("plain-9", 14, "no run 'plain-9' under"),
        (name, 15, "--depth: depth: 15 is not 6n"),
        (name, 14, f"{name} has no sound checkpoint any more"),
        (trained[1].run_id, 14, f"{trained[1].run_id} is not trained to its end"),
    ]:
        with pytest.raises(StudyError, match=f"^{message}") as caught:
            embed(run, depth, tmp_path / "results", tmp_path / "data", torch.device("cpu"))
        assert "\n" not in str(caught.value)
    assert not trained[0].certificate(14).exists()


def test_runs_from_the_seeds_of_one_point_are_one_point():
    specs = [
        make_spec(network="plain", depth=14, seed=seed, start_from=f"plain-8-digits-s{seed}-{seed:012x}")
        for seed in (0, 1)
    ]
    assert point_id(specs[0]) == point_id(specs[1]) != point_id(make_spec(network="plain", depth=14))
    assert len({run_id(spec) for spec in specs}) == 2


def test_holding_back_is_about_work_alone():
    actions = [
        Action("a", "start", ""),
        Action("b", "keep", "done"),
        Action("c", "resume", ""),
        Action("d", "start", ""),
    ]
    held = hold_back(actions, {"a": "x", "b": "x", "c": "y"}, {"y"})
    assert [action.verb for action in held] == ["hold", "keep", "resume", "start"]

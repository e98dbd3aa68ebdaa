import io
from pathlib import Path
from unittest.mock import Mock

import pytest
from rich.console import Console

from study.config.identity import run_id
from study.errors import StudyError
from study.launch.attempt.work import work
from study.launch.local import pool as pools
from study.launch.local import workers as local
from study.launch.local.pool import Pool, pool
from study.launch.local.terminal import Terminal, runs_shown
from study.launch.machine import Machine
from study.store import lease
from study.store import runs as store
from study.store.files import read_json, write_json
from study.training import checkpoint
from study.training.session import Session
from tests.helpers import make_folder, make_spec, open_run

SHORT = {"recipe__iterations": 3, "recipe__batch_size": 8, "recipe__evaluate_every": 3}


@pytest.mark.parametrize(
    "cores, gpus, runs, chosen, devices, threads",
    [
        (2, 0, 18, {}, ("cpu", "cpu"), 1),  # more runs than cores: one thread each
        (8, 0, 2, {}, ("cpu",) * 8, 4),  # few runs: the cores shared out
        (8, 0, 18, {"workers": 2}, ("cpu",) * 2, 4),
        (16, 4, 18, {}, ("cuda:0", "cuda:1", "cuda:2", "cuda:3"), 4),
        (16, 2, 18, {"workers": 3}, ("cuda:0", "cuda:1", "cuda:0"), 5),
        (4, 2, 9, {"device": "cpu"}, ("cpu",) * 4, 1),
        (4, 0, 9, {"device": "cuda"}, "no GPU is visible", 0),
        (4, 0, 9, {"device": "mps"}, "Apple's GPUs need macOS", 0),
    ],
)
def test_workers_of_a_machine(monkeypatch, cores, gpus, runs, chosen, devices, threads):
    monkeypatch.setattr(pools, "usable_cores", lambda: cores)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(gpus))))
    machine = Machine(Path(), **chosen)
    if isinstance(devices, str):
        with pytest.raises(StudyError, match=devices):
            pool(machine, runs)
    else:
        assert pool(machine, runs) == Pool(devices, threads)


def attempt(folders, root, **how):
    """Train runs in this process, as an executor does."""
    return work(folders, Session(root, **{"executor": "test", "checkpoint_seconds": 60.0} | how))


def train(folder, tasks, workers=1, **how):
    """Train runs by local workers, each run a pack of its own; returns the view, which was told of it, and the outcomes."""
    view = Mock(Terminal)
    packs = [[files.folder] for files in tasks]
    assert local.train(packs, Pool(("cpu",) * workers, 1), Machine(folder, **how), view)
    return view, dict(told.args for told in view.ended.call_args_list)


def test_workers_share_a_list_and_leave_out_what_is_done_or_held(tmp_path):
    done, held, *others = [open_run(tmp_path, make_spec(**SHORT, seed=seed)) for seed in range(5)]
    attempt([done.folder], tmp_path)
    store.write_failed(others[0], "an earlier attempt failed")  # which is tried again when it is on the list
    taken = lease.claim(held)
    view, outcomes = train(tmp_path, [done, held, *others], workers=2)
    assert outcomes == {done.run_id: "done", held.run_id: "busy"} | {files.run_id: "done" for files in others}
    assert held.run_id not in str(view.started.call_args_list)
    assert not held.attempts.exists() and taken.mine()
    starts = [[line for line in store.read_lines(files.attempts) if line["event"] == "start"] for files in others]
    assert [len(lines) for lines in starts] == [1, 1, 1]
    assert len({lines[0]["pid"] for lines in starts}) <= 2  # a worker trains one run after another
    facts = {told.args[0]: told.args[3] for told in view.progress.call_args_list}
    assert facts[others[0].run_id]["error"] == store.status(others[0]).error


@pytest.mark.slow
def test_a_run_that_kills_its_workers_fails_and_says_so(tmp_path):
    make_folder(tmp_path / "toy")
    deadly = make_spec(**SHORT, data="image_folder", data__folder="toy", data__image_size=16)
    files, other = open_run(tmp_path, deadly), open_run(tmp_path, make_spec(**SHORT))
    view, outcomes = train(tmp_path, [files], watchdog=0.001)  # any pause is too long
    assert outcomes == {files.run_id: "failed"}
    message = read_json(files.failed)["message"]
    assert "its worker died 3 times at iteration 0: exit status 75: no step for" in message
    notes = [told.args[0] for told in view.note.call_args_list]
    assert len(notes) == 2 and f"{files.run_id} goes on from iteration 0" in notes[0]
    assert train(tmp_path, [files, other])[1] == {files.run_id: "done", other.run_id: "done"}


@pytest.mark.parametrize("how", ["no torch", pytest.param("other code", marks=pytest.mark.slow)])
def test_workers_that_cannot_start_end_the_command_and_fail_no_run(tmp_path, monkeypatch, how):
    says = r"is not what the command .* \(0123456789ab\)"
    if how == "no torch":
        (tmp_path / "broken").mkdir()
        (tmp_path / "broken/torch.py").write_text("raise SystemExit('no torch for you')\n")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "broken"))
        says = "no worker could start: exit status 1: no torch for you"
    else:
        monkeypatch.setattr(
            "study.launch.machine.code", lambda: "0123456789ab"
        )  # as if it had been edited since the parent began
    files = open_run(tmp_path, make_spec())
    with pytest.raises(StudyError, match=says):
        train(tmp_path, [files])
    assert store.status(files).state == "pending"


def test_bad_runs_of_a_pack_leave_the_others_alone(tmp_path):
    broken, changed, begun, good = (open_run(tmp_path, make_spec(**SHORT, seed=seed)) for seed in range(4))
    broken.spec.write_text('{"network": "plain"}')
    spec = read_json(changed.spec)
    spec["recipe"]["learning_rate"] = 5.0
    write_json(changed.spec, spec)
    checkpoint.save(begun, 1, {"fingerprint": "of others"})
    deep = make_spec(**SHORT, network="plain", depth=14, start_from="plain-8-digits-000000000000")
    bad = [
        (broken, ""),
        (changed, "changed by hand"),
        (begun, "the images of digits have changed"),
        (open_run(tmp_path, deep), "starts from plain-8-digits-000000000000 with seed 0, which is not under"),
    ]
    outcomes = attempt([files.folder for files, _ in bad] + [good.folder], tmp_path)
    assert outcomes == {files.run_id: "failed" for files, _ in bad} | {good.run_id: "done"}
    for files, says in bad:
        assert says in store.status(files).message and lease.holder(files) is None
        assert store.read_lines(files.attempts)[-1]["outcome"] == "failed"


def test_the_record_of_an_attempt(tmp_path):
    files = open_run(tmp_path, make_spec(**SHORT))
    attempt([files.folder], tmp_path)
    start, images, end = store.read_lines(files.attempts)
    assert start["executor"] == "test" and start["device"] == "cpu" and start["torch"] and start["threads"] >= 1
    assert end["outcome"] == "done" and end["iteration"] == 3
    assert images["data"] == read_json(files.done)["data"] == "ba97cca2f8286bfa"


@pytest.mark.parametrize(
    "terminal, width, words",
    [
        (True, 140, "50/100  1:23 left  error 12.3 %  1,234 images/s"),
        (True, 80, "50/100  1:23 left"),
        (False, 66, "seed 0 at 50/100"),
    ],
)
def test_progress_of_a_sweep(terminal, width, words, monkeypatch):
    monkeypatch.setattr("study.launch.local.terminal.FILE_SECONDS", 0.0)
    spec = make_spec(recipe__iterations=100)
    key = run_id(spec)
    console = Console(file=io.StringIO(), force_terminal=terminal, width=width)
    with Terminal(runs_shown({key: spec}, {key: spec}), 2, console) as view:
        view.started(key, 0)
        for step in (10, 50):
            beat = {"error": 12.34, "images_per_second": 1234.5, "seconds_left": 83.0}
            view.progress(key, step, 100, beat)
            view.tick()
        view._bars.refresh()
        view.ended(key, "done")
    text = console.file.getvalue()
    assert "2/3 runs finished in 0 s" in text and words in text and "…" not in text
    assert "3/3  ResNet-8 seed 0: done in 0 s, test error 12.34 %" in text


def test_a_process_without_its_lease_writes_nothing(tmp_path):
    files = open_run(tmp_path, make_spec(**SHORT | {"recipe__iterations": 12}))
    taken = []

    def take_over(progress):
        if progress.iteration == 5:
            files.lease.unlink()
            assert lease.claim(files) is not None  # another process, while this one was not heard of
            taken.append(files.curves.read_bytes())

    outcomes = attempt([files.folder], tmp_path, report=take_over)
    assert outcomes == {files.run_id: "busy"}
    assert files.curves.read_bytes() == taken[0] and not files.checkpoints()
    assert not files.done.exists() and not files.failed.exists()
    assert store.status(files).state == "running"  # by the other


def test_a_job_without_progress_in_three_attempts_fails(tmp_path):
    files = open_run(tmp_path, make_spec(**SHORT))
    for _ in range(3):
        store.start_attempt(files, {})  # and was killed before its first checkpoint
    assert attempt([files.folder], tmp_path, executor="slurm") == {files.run_id: "failed"}
    assert "3 attempts made no progress at iteration 0; give its jobs more time" in store.status(files).message
    # `--mode retry` grants three more attempts.
    assert attempt([files.folder], tmp_path, executor="slurm") == {files.run_id: "done"}

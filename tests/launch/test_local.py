from __future__ import annotations

import io
import queue
import subprocess
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from study.config.identity import run_id
from study.errors import StudyError
from study.launch.attempt.runs import attempt
from study.launch.local import pool as local
from study.launch.local import worker
from study.launch.local.terminal import Terminal
from study.store import lease
from study.store import runs as store
from study.store.files import read_json, write_json
from study.text import duration
from tests.helpers import make_folder, make_spec, open_run


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets how many cores and GPUs the machine has."""

    def pretend(cores: int, gpus: int) -> None:
        monkeypatch.setattr(local, "usable_cores", lambda: cores)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(gpus))))

    return pretend


@pytest.mark.parametrize(
    "cores, gpus, runs, device, workers, threads",
    [
        (2, 0, 18, ("cpu", "cpu"), None, 1),  # more runs than cores: one thread each
        (8, 0, 2, ("cpu",) * 8, None, 4),  # few runs: the cores shared out
        (8, 0, 1, ("cpu",) * 8, None, 8),
        (8, 0, 18, ("cpu",) * 2, 2, 4),
        (16, 4, 18, ("cuda:0", "cuda:1", "cuda:2", "cuda:3"), None, 4),
        (16, 2, 18, ("cuda:0", "cuda:1", "cuda:0"), 3, 5),
    ],
)
def test_the_pool(  # type: ignore[no-untyped-def]
    machine, cores: int, gpus: int, runs: int, device: tuple[str, ...], workers: int | None, threads: int
) -> None:
    machine(cores, gpus)
    assert local.pool(runs, workers=workers) == local.Pool(device, threads)


def test_a_gpu_is_left_alone_when_the_cpu_is_asked_for(machine) -> None:  # type: ignore[no-untyped-def]
    machine(4, 2)
    assert set(local.pool(9, device="cpu").devices) == {"cpu"}


def test_asking_for_a_gpu_that_is_not_there(machine) -> None:  # type: ignore[no-untyped-def]
    machine(4, 0)
    with pytest.raises(StudyError, match="no GPU is visible"):
        local.pool(9, device="cuda")


class _View:
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.outcomes: dict[str, str] = {}

    def started(self, run_id: str) -> None: ...
    def progress(self, facts: dict[str, Any]) -> None: ...
    def tick(self) -> None: ...

    def ended(self, run_id: str, outcome: str) -> None:
        self.outcomes[run_id] = outcome

    def note(self, message: str) -> None:
        self.notes.append(message)


def test_a_run_that_kills_its_worker_again_and_again_fails_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "torch.py").write_text("raise SystemExit('no torch for you')\n")
    monkeypatch.setenv("PYTHONPATH", str(broken))
    files = open_run(tmp_path, make_spec())
    view = _View()
    outcomes, complete = local.train([[files.folder]], local.Pool(("cpu",), 1), local.Job(tmp_path), view)
    assert complete and outcomes == {files.run_id: "failed"} == view.outcomes
    failed = read_json(files.failed)
    assert "died 3 times at iteration 0: exit status 1: no torch for you" in failed["message"]
    assert len(view.notes) == 2


def test_a_worker_with_other_code_than_its_parents_trains_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "code", lambda: "0123456789ab")  # as if it had been edited since the parent began
    files = open_run(tmp_path, make_spec())
    with pytest.raises(StudyError, match=r"is not what the command .* \(0123456789ab\)"):
        local.train([[files.folder]], local.Pool(("cpu",), 1), local.Job(tmp_path), _View())
    assert not files.attempts.exists()


def test_a_message_that_a_death_cut_short_hides_the_death_from_nobody() -> None:
    half = '{"event": "progress"}\n{"event": "en'
    dying = object.__new__(local._Worker)
    dying.process = subprocess.Popen(["printf", half], stdout=subprocess.PIPE, text=True)
    events: queue.Queue[Any] = queue.Queue()
    dying._follow(events)
    assert [events.get(timeout=60)[1] for _ in range(2)] == [{"event": "progress"}, None]
    assert list(worker._Orders(io.StringIO('{"folders": ["'))) == []  # and a worker whose parent died so ends


SHORT = {"recipe__iterations": 3, "recipe__batch_size": 8, "recipe__evaluate_every": 3}


def test_a_run_that_another_process_holds_is_left_to_it(tmp_path: Path) -> None:
    busy, free = (open_run(tmp_path, make_spec(**SHORT, seed=seed)) for seed in (0, 1))
    held = lease.claim(busy)
    outcomes = attempt([busy.folder, free.folder], tmp_path, "cpu", "test", checkpoint_seconds=60)
    assert outcomes == {busy.run_id: "busy", free.run_id: "done"}
    assert not busy.attempts.exists() and held is not None and held.mine()


def test_a_spec_changed_by_hand_is_refused(tmp_path: Path) -> None:
    files = open_run(tmp_path, make_spec(**SHORT))
    changed = read_json(files.spec)
    changed["recipe"]["learning_rate"] = 5.0
    write_json(files.spec, changed)
    assert attempt([files.folder], tmp_path, "cpu", "test", checkpoint_seconds=60) == {files.run_id: "failed"}
    assert "changed by hand" in store.status(files).message
    assert lease.holder(files) is None


def test_the_record_of_an_attempt(tmp_path: Path) -> None:
    files = open_run(tmp_path, make_spec(**SHORT))
    attempt([files.folder], tmp_path, "cpu", "test", checkpoint_seconds=60)
    start, images, end = store.read_lines(files.attempts)
    assert start["executor"] == "test" and start["device"] == "cpu" and start["torch"] and start["threads"] >= 1
    assert end["outcome"] == "done" and end["iteration"] == 3
    assert images["data"] == read_json(files.done)["data"] == "ba97cca2f8286bfa"


@pytest.mark.parametrize(
    "seconds, text",
    [(None, "?"), (0.4, "0 s"), (59, "59 s"), (60, "1:00"), (3599, "59:59"), (3661, "1:01:01"), (190_800, "2 d 5 h")],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_a_terminal_shows_a_live_line_a_run() -> None:
    spec = make_spec(recipe__iterations=100)
    key = run_id(spec)
    console = Console(file=io.StringIO(), force_terminal=True, width=140)
    with Terminal({key: spec}, 2, console) as view:
        view.started(key)
        view.tick()
        for i in (10, 50):
            view.progress({"run_id": key, "iteration": i, "iterations": 100, "error": 12.34, "seconds": 1.0})
        console.print(view._picture())
        view.ended(key, "done")
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "2/3 runs through" in text and "50/100" in text and "error 12.3 %" in text and "images/s" in text
    assert "3/3  ResNet-8 seed 0: done" in text and "test error 12.34 %" in text


def test_who_lost_its_lease_writes_nothing_more(tmp_path: Path) -> None:
    files = open_run(tmp_path, make_spec(**SHORT | {"recipe__iterations": 12}))
    taken: list[bytes] = []

    def take_over(progress: Any) -> None:
        if progress.iteration == 5:
            files.lease.unlink()
            assert lease.claim(files) is not None  # another process, while this one was not heard of
            taken.append(files.curves.read_bytes())

    outcomes = attempt([files.folder], tmp_path, "cpu", "test", checkpoint_seconds=60, report=take_over)
    assert outcomes == {files.run_id: "busy"}
    assert files.curves.read_bytes() == taken[0] and not files.checkpoints()
    assert not files.done.exists() and not files.failed.exists()
    assert store.status(files).state == "running"  # by the other


def test_one_bad_run_of_a_pack_leaves_the_others_alone(tmp_path: Path) -> None:
    bad, good = (open_run(tmp_path, make_spec(**SHORT, seed=seed)) for seed in (0, 1))
    bad.spec.write_text('{"network": "plain"}')
    outcomes = attempt([bad.folder, good.folder], tmp_path, "cpu", "test", checkpoint_seconds=60)
    assert outcomes == {bad.run_id: "failed", good.run_id: "done"}


def test_a_job_whose_attempts_get_nowhere_fails_and_says_so(tmp_path: Path) -> None:
    files = open_run(tmp_path, make_spec(**SHORT))
    for _ in range(3):
        store.start_attempt(files, {})  # and was killed before its first checkpoint
    assert attempt([files.folder], tmp_path, "cpu", "slurm", checkpoint_seconds=60) == {files.run_id: "failed"}
    assert "3 attempts made no progress at iteration 0; give its jobs more time" in store.status(files).message
    # `--mode retry` asks again, and three more attempts are granted.
    assert attempt([files.folder], tmp_path, "cpu", "slurm", checkpoint_seconds=60) == {files.run_id: "done"}


def test_a_worker_trains_on_images_that_processes_of_its_own_decode(tmp_path: Path) -> None:
    make_folder(tmp_path / "toy")
    stream = {"data": "image_stream", "data.folder": "toy", "data.image_size": 16, "recipe__pad": 0}
    files = open_run(tmp_path, make_spec(**SHORT | stream))
    # The worker's thread that reads orders must not be in the way of a fork: it would stand still.
    outcomes, complete = local.train([[files.folder]], local.Pool(("cpu",), 1), local.Job(tmp_path), _View())
    assert complete and outcomes == {files.run_id: "done"}

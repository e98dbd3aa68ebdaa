"""`study bench`, at its smallest: what it prints and keeps is what it measured."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from study.launch import bench, bench_report
from study.launch.bench import Case, noise
from study.launch.bench_process import textbook, textbook_script
from study.networks.memory import traffic
from study.networks.shape import macs
from study.store.curves import read_table
from study.training.ceilings import Ceilings
from study.training.precision import bf16_gain, slow_bf16
from tests.launch.command import wait_for

CPU = torch.device("cpu")


def test_a_report_has_every_way_to_train_and_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "cases", lambda device, quick: [Case("ResNet-8", [("residual", 8)], "fp32")])
    monkeypatch.setattr(bench, "noise", lambda: noise(300))
    monkeypatch.setattr(bench, "_steps", lambda contender, device: 1)
    monkeypatch.setattr("study.training.ceilings.SIDE", {"cpu": 128})
    lines = list(bench_report.report(tmp_path, "cpu", 1, quick=True))
    rows = {row["measure"]: row for row in read_table(tmp_path / "bench.parquet").to_pylist()}
    assert set(rows) == {"textbook", "workers", "bare", "step", "run"}
    for name, row in rows.items():
        assert row["images_per_second"] > 0 and row["rounds"] == 5 and row["threads"] == 1
        assert any(name in line and f"{row['images_per_second']:,.0f}" in line for line in lines)
    assert rows["textbook"]["ratio_to_textbook"] == 1 and rows["bare"]["over_bare"] == 0
    assert torch.get_num_threads() == 1


def test_the_floor_is_arithmetic_or_memory_whichever_is_more() -> None:
    [spec] = Case("ResNet-20", [("residual", 20)], "fp32").specs()
    fast = Ceilings({"fp32": 1e30}, copy=1e9, launch=0)
    slow = Ceilings({"fp32": 1e9}, copy=1e30, launch=0)
    assert fast.floor([spec]) == traffic(spec) / 1e9
    assert slow.floor([spec, spec]) == pytest.approx(2 * 6 * macs(spec) * 128 / 1e9)
    # 19 passes over the maps of 19 layers, in bytes: what He et al. 2015's ResNet-20 moves for a batch of 128.
    assert 1.5e9 < traffic(spec) < 2.5e9


def test_the_textbook_loop_stands_still_when_it_is_not_its_turn() -> None:
    script = textbook_script()
    assert script is not None
    with textbook(script, 8, "cpu") as loop:
        assert loop.train(1) > 0
        stat = Path(f"/proc/{loop.processes[0].pid}/stat")
        wait_for(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")
    assert loop.processes[0].returncode == -9


def test_the_textbook_loop_ends_with_a_parent_that_is_killed() -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import time\n"
            "from study.launch.bench_process import textbook, textbook_script\n"
            "loop = textbook(textbook_script(), 8, 'cpu').__enter__()\n"
            "print(loop.processes[0].pid, flush=True); time.sleep(60)",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    wait_for(lambda: not Path(f"/proc/{child}").exists())


def test_a_cpu_that_is_slower_in_bf16_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0.005 < bf16_gain(0.2) < 200  # of single tries: 21 was seen on a busy machine
    monkeypatch.setattr("study.training.precision.bf16_gain", lambda: 0.5)
    assert slow_bf16() == "precision bf16 is slower than fp32 on this CPU; precision=fp32 would be faster"
    monkeypatch.setattr("study.training.precision.bf16_gain", lambda: 2.0)
    assert slow_bf16() is None

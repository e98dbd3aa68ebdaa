"""`benchmarks/gpu.py` in its tiny mode on a CPU: interrupted, with a part that fails, resumed to its end."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.launch.command import wait_for

SCRIPT = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[2] / "benchmarks")!r})
import gpu, gpu_parts

def broken(bench):
    "Break."
    raise ValueError("on purpose")

gpu.PARTS.insert(1, gpu_parts.Part("broken", 1, broken))
sys.exit(gpu.main())
"""


def start(budget):
    options = ["--device", "cpu", "--tiny", "--out", "out", "--budget", str(budget)]
    return subprocess.Popen([sys.executable, "sitting.py", *options], stdout=subprocess.PIPE, text=True)


def states():
    file = Path("out/gpu.json")
    parts = json.loads(file.read_text())["parts"] if file.exists() else {}
    return {name: part["state"] for name, part in parts.items()}


@pytest.mark.slow
def test_a_sitting_is_resumed_and_outlives_a_part_that_fails():
    Path("sitting.py").write_text(SCRIPT)
    sitting = start(9999)
    wait_for(lambda: "recorded" in states())
    sitting.send_signal(signal.SIGTERM)
    assert sitting.wait() == 130
    assert states() == {"reference": "done", "broken": "failed", "recorded": "interrupted"}

    sitting = start(1)
    said, _ = sitting.communicate()
    for words in ("later  recorded", "done   reference", "0 of 12 parts left", "give at least"):
        assert words in said

    sitting = start(9999)
    said, _ = sitting.communicate()
    assert sitting.returncode == 1 and "broken: failed: ValueError: on purpose" in said
    found = states()
    assert found.pop("broken") == "failed" and set(found.values()) == {"done"} and len(found) == 12
    table = Path("out/gpu.md").read_text()
    assert "- broken: failed: ValueError: on purpose" in table and "-> keep" in table
    assert all(f"| {name} |" in table for name in found)

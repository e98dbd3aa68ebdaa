"""The cluster of the other SLURM tests leaves no process behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import PATIENCE
from tests.slurm.cluster import Cluster, processes, why_unavailable


def test_nothing_survives_the_death_of_the_tests(tmp_path: Path) -> None:
    if reason := why_unavailable():
        pytest.skip(reason)
    code = (
        "import os, sys; from tests.slurm.cluster import Cluster, processes\n"
        "cluster = Cluster(sys.argv[1]).start(); job = cluster.submit('setsid sleep 300 & sleep 300')\n"
        "cluster.wait_for(job, 'RUNNING'); cluster.wait(lambda: len(processes(cluster.mark)) > 6, 'the job begins')\n"
        "print(cluster.run_folder, flush=True); os.kill(os.getpid(), 9)"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == -9
    idle = Cluster(tmp_path)  # never started: for its waiting and its mark
    idle.wait(lambda: not processes(idle.mark), "processes outlive the tests")
    idle.wait(lambda: not Path(done.stdout.strip()).exists(), "the sockets' folder stays")

"""A user of the cluster: the real command line in a folder, against a real controller."""

import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from study import data
from study.store.files import read_lines
from study.store.layout import RunFiles, TaskFiles, task_files
from study.store.lease import holder
from study.store.runs import ENDED, status
from study.training.pack import train_pack
from study.training.session import Session
from tests.helpers import PATIENCE, make_spec, open_run
from tests.launch.command import curves, runs, study
from tests.slurm.cluster import Cluster

TWO = """
fixed: {data: digits, recipe: quick, depth: 8, recipe.evaluate_every: 20}
grid: {network: [plain, residual], seed: [0]}
"""


HELD = "sbatch: {hold: true}\n"
"""A profile whose jobs wait in the queue until somebody releases them."""


def lasting(seconds: float, folder: Path) -> str:
    """`TWO`, with so many iterations that a run takes these seconds of CPU time on this machine: to be disturbed in training."""
    pilot = make_spec(recipe__iterations=30, recipe__evaluate_every=30)
    images = data.load("digits", folder)
    began = time.process_time()
    train_pack([(pilot, open_run(folder, pilot))], images, Session())
    iterations = round(30 * seconds / (time.process_time() - began))
    return TWO.replace("evaluate_every: 20", f"evaluate_every: {iterations // 2}, recipe.iterations: {iterations}")


class User:
    """Somebody at the login node of a cluster, in a folder of their own."""

    def __init__(self, cluster: Cluster, folder: Path, sweep: str, profile: str = "") -> None:
        self.cluster, self.folder = cluster, folder
        self.env = {**cluster.env, "STUDY_EXECUTOR": "slurm", "COLUMNS": "200", "STUDY_CACHE": str(folder / "cache")}
        (folder / "tiny.yaml").write_text(sweep)
        (folder / "cluster.yaml").write_text(profile)
        self.env["STUDY_PROFILE"] = "cluster.yaml"

    def start(self, *words: str, **env: str) -> subprocess.Popen[str]:
        """`study WORDS`, running."""
        # -P: as for the installed command, its folder is not on Python's path.
        command = [*self.cluster.inside, sys.executable, "-P", "-m", "study", *words]
        return subprocess.Popen(
            command, cwd=self.folder, env=self.env | env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def study(self, *words: str, code: int = 0, **env: str) -> str:
        """`study WORDS` to its end, which must have this exit code; what it said, errors included."""
        process = self.start(*words, **env)
        out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == code, f"exit {process.returncode}: {out}{err}"
        return out + err

    def records(self) -> list[dict[str, Any]]:
        """`study status --json`."""
        records: list[dict[str, Any]] = json.loads(self.study("status", "tiny", "--json"))
        return records

    def runs(self) -> list[RunFiles]:
        """The runs of the sweep, by id."""
        return runs(self.folder)

    def ended(self) -> bool:
        """Whether every run has its result."""
        return all(status(files).state in ENDED for files in self.runs())

    def wait(self, true: Callable[[], object], what: str, timeout: float = PATIENCE) -> None:
        """Until something holds; the error shows the runs and the queue."""
        end = time.monotonic() + timeout
        while not true():
            if time.monotonic() > end:
                logs = "\n".join(path.read_text()[-600:] for path in self.folder.glob("results/tiny/slurm/*/*.out"))
                raise AssertionError(f"never: {what}\n{self.study('status', 'tiny')}\n{self.cluster.squeue()}\n{logs}")
            time.sleep(0.2)

    def finish(self) -> None:
        """Wait until the cluster has nothing of ours left and every run its result; `sweep` again where that is needed."""
        for _ in range(4):
            self.wait(lambda: self.ended() or not self.cluster.squeue(), "the queue is empty or all runs have finished")
            if self.ended():
                return
            self.study("sweep", "tiny.yaml")
        raise AssertionError(f"not complete after four calls: {self.study('status', 'tiny')}")

    def in_training(self) -> list[RunFiles]:
        """Runs that a job holds and that have taken a step, by their heartbeat."""
        return [f for f in self.runs() if (held := holder(f)) and held.get("iteration", 0) >= 1]

    def both_in_training(self) -> bool:
        """Whether two runs are in training and have a checkpoint."""
        return len([files for files in self.in_training() if files.checkpoints()]) == 2

    def ended_as(self, profile: str, *words: str, usr2: bool = False) -> list[dict[str, Any]]:
        """Submit under a profile, perhaps send USR2 once it trains; the runs' records when no job is left."""
        (self.folder / "cluster.yaml").write_text(profile)
        self.study(*words)
        if usr2:
            self.wait(self.in_training, "it trains")
            self.cluster.run("scancel", "--signal=USR2", self.cluster.squeue()[0]["id"])
        self.wait(lambda: not self.cluster.squeue(), "the job has ended")
        return self.records()

    def starts(self) -> dict[str, int]:
        """Attempts that each run has seen."""
        return {f.run_id: sum(line["event"] == "start" for line in read_lines(f.attempts)) for f in self.runs()}

    def submissions(self) -> list[dict[str, Any]]:
        """The records of all submissions, with their folders."""
        found = self.folder.glob("results/tiny/slurm/*/submission.json")
        return [json.loads(path.read_text()) | {"folder": path.parent} for path in found]

    def submitted(self) -> Counter[str]:
        """How often each run or chunk stands in an accepted submission."""
        accepted = [facts for facts in self.submissions() if facts["job_id"] is not None]
        return Counter(Path(folder).name for facts in accepted for pack in facts["packs"] for folder in pack)

    def pack(self, index: int) -> list[TaskFiles]:
        """The tasks of a job of the only submission."""
        [facts] = self.submissions()
        return [task_files(Path(folder)) for folder in facts["packs"][index]]

    def job_files(self) -> list[Path]:
        """The files that accepted arrays of several jobs wait for."""
        accepted = [facts for facts in self.submissions() if facts["job_id"] is not None]
        return [
            facts["folder"] / f"{facts['job_id']}{f'_{index}' if len(facts['packs']) > 1 else ''}_submitted.pkl"
            for facts in accepted
            for index in range(len(facts["packs"]))
        ]


def deadly_sbatch(cluster: Cluster, folder: Path, moment: str) -> str:
    """A PATH on which sbatch kills its caller, before or after it has submitted."""
    folder.mkdir()
    real = shutil.which("sbatch", path=cluster.env["PATH"])
    submit = f'{real} "$@"\n' if moment == "after" else ""
    script = folder / "sbatch"
    script.write_text(f"#!/bin/sh\n{submit}kill -9 $PPID\n")
    script.chmod(0o755)
    return f"{folder}:{cluster.env['PATH']}"


def local_curves(folder: Path, sweep: str, *words: str) -> dict[str, list[tuple[object, ...]]]:
    """The same sweep by the local executor, one thread a run, as jobs with one core have it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tiny.yaml").write_text(sweep)
    code, _, err = study(folder, "sweep", "tiny.yaml", "--threads", "1", *words)
    assert code == 0, err
    return curves(folder)

"""Time of `study sweep` to submit 1,000 runs to a real SLURM controller, and of `study status` to list them.

    python benchmarks/slurm_submit.py        # as root, with SLURM installed: starts a private cluster and ends it

The jobs are held; nothing is trained.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.slurm.cluster import Cluster

THOUSAND = """
fixed: {data: digits, recipe: quick}
grid: {network: [plain, residual], depth: [8, 14, 20, 26, 32], seed: [%s]}
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "thousand.yaml").write_text(THOUSAND % ", ".join(map(str, range(100))))
        (folder / "cluster.yaml").write_text("sbatch: {hold: true}\n")
        cluster = Cluster(folder / "cluster").start()
        try:
            for words in (("sweep", "thousand.yaml", "--profile", "cluster.yaml"), ("status", "thousand", "--json")):
                began = time.perf_counter()
                command = [sys.executable, "-m", "study", *words]
                subprocess.run(command, cwd=folder, env=cluster.env, check=True, capture_output=True)
                print(f"study {words[0]:<8} {time.perf_counter() - began:6.2f} s", flush=True)
            print(f"in the queue: {len(cluster.squeue())} jobs")
        finally:
            cluster.stop()


if __name__ == "__main__":
    main()

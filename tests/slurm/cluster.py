"""A real SLURM cluster of two nodes on this machine, private to one folder: daemons, ports, keys, state and logs.

Every process of the cluster carries its SLURM_CONF in its environment; that is how `stop` finds them all, steps and
jobs included, and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.helpers import PATIENCE
from tests.launch.command import descendants, marked

NODES = ("n1", "n2")
DEVICES = {"n1": "/dev/null", "n2": "/dev/zero"}  # any device file passes for a GPU
PROGRAMS = ("sbatch", "scontrol", "slurmctld", "slurmd", "munged")
ACCOUNTING_PROGRAMS = ("slurmdbd", "sacctmgr", "mariadbd", "mariadb-install-db")
ANSWER = 20.0
"""Seconds after which a client is asked anew: when a node has just died, one may wait for many minutes."""
PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])  # daemons live in sbin


class ClusterError(RuntimeError):
    """The cluster did not do in time what was asked of it; the message ends with the controller's last words."""


def why_unavailable(accounting: bool = False) -> str | None:
    """Why no cluster can be started here, or None."""
    if os.geteuid() != 0:
        return "a private SLURM cluster needs root"
    wanted = PROGRAMS + (ACCOUNTING_PROGRAMS if accounting else ())
    missing = [program for program in wanted if shutil.which(program, path=PATH) is None]
    return f"SLURM is not installed: no {', '.join(missing)} (.ci/install-slurm installs it)" if missing else None


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on, below the ephemeral range, so that no outgoing connection takes one while its daemon is down."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.SystemRandom().randrange(15_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in ports:
            ports.append(port)
    return ports


def processes(mark: str) -> set[int]:
    """Every live process with this NAME=value in its environment, and all that descend from one, but not ourselves."""
    ours = {os.getpid(), os.getppid()}
    found = set(marked(mark)) - ours
    return found.union(*map(descendants, found)) - ours


def kill(mark: str, patience: float = 10) -> set[int]:
    """SIGKILL what `processes` finds until nothing is left; what is left after `patience` seconds is returned."""
    deadline = time.monotonic() + patience
    while (found := processes(mark)) and time.monotonic() < deadline:
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.05)
    return found


class Cluster:
    """Nodes `n1` and `n2` with 2 CPUs and one pretend GPU each; partitions `debug` (default) and `high`, which preempts it.

    Further keywords are lines of slurm.conf (`MaxArraySize=5`); they win over the ones here.
    """

    def __init__(self, folder: Path | str, accounting: bool = False, **conf: object) -> None:
        self.folder = Path(folder).resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.accounting, self.conf = accounting, conf
        self.controller_port, *self.node_ports, self.accounting_port, self.database_port = free_ports(5)
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}
        self.mark = f"SLURM_CONF={self.folder / 'slurm.conf'}"
        self.run_folder = Path()  # of the sockets, whose paths must be short: 107 characters at most
        self.inside: list[str] = []
        """Words before each command, which take it into the cluster's network; none where it is this machine's."""

    @property
    def env(self) -> dict[str, str]:
        """The environment of every client: `subprocess.run(["sbatch", ...], env=cluster.env)`."""
        inherited = {
            k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_", "SQUEUE_", "SACCT_"))
        }
        return {**inherited, "PATH": PATH, "SLURM_CONF": str(self.folder / "slurm.conf")}

    # -- life ------------------------------------------------------------------------------------------------------

    def start(self) -> Cluster:
        """Start all daemons and wait until both nodes are idle; after a failure nothing is left running."""
        self.run_folder = Path(tempfile.mkdtemp(prefix="slurm-"))
        self.run_folder.chmod(0o755)  # munged wants its socket to be within everybody's reach
        try:
            if self.accounting:
                self._close_network()
            self._start_munge()
            self._write_conf()
            if self.accounting:
                self._start_accounting()
            self.start_controller()
            for node in NODES:
                self._start_node(node)
            self.wait(lambda: all(self.node_state(node) == "idle" for node in NODES), "the nodes did not start")
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End every process of this cluster: daemons, steps, jobs. What does not die is an error."""
        left = kill(self.mark)
        for daemon in self.daemons.values():
            daemon.wait(10)
        self.daemons.clear()
        if self.run_folder != Path():
            shutil.rmtree(self.run_folder, ignore_errors=True)
        if left:
            raise ClusterError(f"processes outlive SIGKILL: {sorted(left)}")

    def _close_network(self) -> None:
        """A network of the cluster's own, with nothing but loopback: slurmdbd listens wherever it can."""
        # The address, of a block kept for documentation, stays in here: without one glibc finds none to listen on.
        up = 'ip link set lo up && ip address add 192.0.2.1/32 dev lo && touch "$0" && exec sleep infinity'
        self._spawn("network", "unshare", "--net", "sh", "-c", up, str(self.run_folder / "network"))
        self.wait((self.run_folder / "network").exists, "no network of its own", daemon="network")
        self.inside = ["nsenter", f"--target={self.daemons['network'].pid}", "--net"]

    def _spawn(self, name: str, *command: str, **env: str) -> None:
        """Start a daemon in the foreground, so that its pid is known, in its own session, so that Ctrl-C spares it."""
        with (self.folder / f"{name}.out").open("ab") as out:
            self.daemons[name] = subprocess.Popen(
                [*self.inside, *command],
                env={**self.env, **env},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def _start_munge(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        paths = {"socket": self.run_folder / "munge", "pid-file": self.run_folder / "munge.pid", "key-file": key}
        paths |= {"log-file": self.folder / "munged.log", "seed-file": self.folder / "munge.seed"}
        # --force: a folder of pytest is closed to others, and munged runs as root here; both are warnings then
        self._spawn(
            "munged", "munged", "--foreground", "--force", *(f"--{name}={path}" for name, path in paths.items())
        )
        self.wait(paths["socket"].exists, "munged did not open its socket", daemon="munged")

    def _start_accounting(self) -> None:
        data, sock = self.folder / "database", self.run_folder / "db"
        install = ["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data}", "--skip-test-db"]
        self.run(*install, "--auth-root-authentication-method=normal")
        tuning = ["--skip-grant-tables", "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=64M"]
        where = [f"--datadir={data}", f"--socket={sock}", "--bind-address=127.0.0.1", f"--port={self.database_port}"]
        pid = f"--pid-file={self.run_folder / 'db.pid'}"
        self._spawn("mariadbd", "mariadbd", "--no-defaults", "--user=root", *where, pid, *tuning)
        self.wait(lambda: self._listens(self.database_port), "the database did not start", daemon="mariadbd")
        self._spawn("slurmdbd", "slurmdbd", "-D")
        self.wait(lambda: self._listens(self.accounting_port), "slurmdbd did not start", daemon="slurmdbd")
        self.run("sacctmgr", "-i", "add", "cluster", "study")

    def _listens(self, port: int) -> bool:
        probe = [*self.inside, "bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port}"]
        return subprocess.run(probe, capture_output=True, check=False).returncode == 0

    def _write_conf(self) -> None:
        folder, n1, n2 = self.folder, *self.node_ports
        settings: dict[str, object] = {
            "ClusterName": "study",
            "SlurmctldHost": "localhost(127.0.0.1)",
            "SlurmctldPort": self.controller_port,
            "CommunicationParameters": "NoInAddrAny,NoCtldInAddrAny",
            "AuthType": "auth/munge",
            "CredType": "cred/munge",
            # cred_expire is also the seconds a requeued job waits before it may start again
            "AuthInfo": f"socket={self.run_folder / 'munge'},cred_expire=5",
            "SlurmUser": "root",
            "SlurmdUser": "root",
            "ProctrackType": "proctrack/linuxproc",
            "TaskPlugin": "task/none",
            "MpiDefault": "none",
            "SwitchType": "switch/none",
            "MailProg": "/bin/true",
            "ReturnToService": 2,
            "SelectType": "select/cons_tres",
            "SelectTypeParameters": "CR_Core",
            "GresTypes": "gpu",
            "SlurmdParameters": "config_overrides",  # the nodes are as said here, whatever this machine has
            "SchedulerParameters": "batch_sched_delay=0,sched_min_interval=0,sched_interval=2,bf_interval=2",
            "SlurmctldParameters": "preempt_send_user_signal",
            "PreemptType": "preempt/partition_prio",
            "PreemptMode": "REQUEUE",
            "KillWait": 5,
            "UnkillableStepTimeout": 900,  # a busy machine takes its time, and a node would be drained for that
            "SlurmdTimeout": 10,
            "SlurmctldTimeout": 10,
            "StateSaveLocation": folder / "state",
            "SlurmdSpoolDir": folder / "spool-%n",
            "SlurmctldPidFile": folder / "slurmctld.pid",
            "SlurmdPidFile": folder / "slurmd-%n.pid",
            "SlurmctldLogFile": folder / "slurmctld.log",
            "SlurmdLogFile": folder / "slurmd-%n.log",
            "SlurmctldDebug": "verbose",
        }
        if self.accounting:
            settings |= {
                "AccountingStorageType": "accounting_storage/slurmdbd",
                "AccountingStorageHost": "127.0.0.1",
                "AccountingStoragePort": self.accounting_port,
                "AccountingStoragePass": self.run_folder / "munge",  # with munge this names the socket
                "AccountingStoreFlags": "job_comment",
                "JobAcctGatherType": "jobacct_gather/linux",
            }
        lines = [f"{name}={value}" for name, value in (settings | self.conf).items()]
        for node, port in zip(NODES, (n1, n2), strict=True):
            address = f"NodeName={node} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port}"
            lines.append(f"{address} CPUs=2 RealMemory=20000 Gres=gpu:1 State=UNKNOWN")
        partition = "Nodes=n1,n2 MaxTime=INFINITE State=UP"
        lines.append(f"PartitionName=debug {partition} Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=30")
        lines.append(f"PartitionName=high {partition} PriorityTier=10 PreemptMode=OFF")
        (folder / "slurm.conf").write_text("\n".join(lines) + "\n")
        gres = [f"NodeName={node} Name=gpu File={DEVICES[node]}" for node in NODES]
        (folder / "gres.conf").write_text("\n".join(gres) + "\n")
        self._write_accounting_conf()

    def _write_accounting_conf(self) -> None:
        settings = {
            "AuthType": "auth/munge",
            "AuthInfo": f"socket={self.run_folder / 'munge'}",
            "DbdHost": "localhost",
            "DbdAddr": "127.0.0.1",
            "DbdPort": self.accounting_port,
            "SlurmUser": "root",
            "StorageType": "accounting_storage/mysql",
            "StorageHost": "127.0.0.1",
            "StoragePort": self.database_port,
            "StorageUser": "root",
            "StorageLoc": "slurm",
            "LogFile": self.folder / "slurmdbd.log",
            "PidFile": self.folder / "slurmdbd.pid",
        }
        path = self.folder / "slurmdbd.conf"
        path.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        path.chmod(0o600)  # slurmdbd insists

    # -- asking ----------------------------------------------------------------------------------------------------

    def run(self, *command: object, check: bool = True, timeout: float = PATIENCE) -> str:
        """Standard output of a command under this cluster's configuration; its failure is a ClusterError."""
        words = [str(word) for word in command]
        done = subprocess.run(
            [*self.inside, *words], env=self.env, capture_output=True, text=True, timeout=timeout, check=False
        )
        if check and done.returncode:
            raise ClusterError(
                f"{' '.join(words)}: exit {done.returncode}: {done.stderr or done.stdout}{self._words()}"
            )
        return done.stdout

    def submit(self, command: str, *options: object) -> str:
        """The id of a job that runs a shell command."""
        answer = self.run("sbatch", "--parsable", "--output=/dev/null", *options, f"--wrap={command}")
        return answer.strip().split(";")[0]

    def squeue(self) -> list[dict[str, str]]:
        """A row for each job or array task in the queue: id, job (of its array), name, state, node, comment."""
        names = {"id": "%i", "job": "%F", "name": "%j", "state": "%T", "node": "%N"}
        # Names may have ends of lines in them.
        text = self.run("squeue", "--all", "-h", "-r", "-o", "\x1f".join([*names.values(), "%k\x1e"]))
        rows = text.split("\x1e\n")[:-1]
        return [dict(zip([*names, "comment"], row.split("\x1f"), strict=True)) for row in rows]

    def job(self, job: str) -> dict[str, str]:
        """What the controller knows of a job (of the first task, where it is an array); empty when it forgot it."""
        lines = self.run("scontrol", "-o", "show", "job", job, check=False).splitlines()
        return dict(word.split("=", 1) for word in lines[0].split() if "=" in word) if lines else {}

    def log(self, daemon: str = "slurmctld", lines: int = 40) -> str:
        """The last lines of a daemon's log: slurmctld, slurmd-n1, slurmd-n2, slurmdbd, munged, mariadbd."""
        path = self.folder / f"{daemon}.out"
        text = path.read_text(errors="replace") if path.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def _words(self, daemon: str = "slurmctld") -> str:
        return f"\n-- {daemon}'s log --\n{self.log(daemon)}"

    # -- waiting ---------------------------------------------------------------------------------------------------

    def wait(self, true: Callable[[], object], what: str, timeout: float = PATIENCE, daemon: str = "slurmctld") -> None:
        """Wait until `true()`; otherwise, or when the daemon it depends on ends, a ClusterError says `what`."""
        deadline = time.monotonic() + timeout
        while not true():
            process = self.daemons.get(daemon)
            if process and process.poll() is not None:
                raise ClusterError(f"{what}: {daemon} ended with {process.returncode}{self._words(daemon)}")
            if time.monotonic() > deadline:
                raise ClusterError(f"{what} within {timeout:g} s{self._words(daemon)}")
            time.sleep(0.1)

    def wait_for(self, job: str, state: str) -> None:
        """Wait until a job is in a state."""
        self.wait(lambda: self.job(job).get("JobState") == state, f"job {job} did not become {state}")

    # -- making things happen --------------------------------------------------------------------------------------

    def start_controller(self) -> None:
        """Start slurmctld and wait until it answers."""
        self._spawn("slurmctld", "slurmctld", "-D")
        self.wait(lambda: "is UP" in self.run("scontrol", "ping", check=False), "slurmctld did not answer")

    def stop_controller(self) -> None:
        """An outage: until `start_controller` no command works; running jobs go on."""
        daemon = self.daemons.pop("slurmctld")
        daemon.terminate()
        try:
            daemon.wait(20)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait(10)

    def restart_controller(self) -> None:
        """A short outage of the controller, after which it goes on from its saved state."""
        self.stop_controller()
        self.start_controller()

    def _start_node(self, node: str) -> None:
        self._spawn(f"slurmd-{node}", "slurmd", "-D", "-N", node, CLUSTER_NODE=f"{self.folder}:{node}")

    def kill_node(self, node: str) -> None:
        """A node's failure: slurmd, its steps and their jobs die at once.

        The controller is told so, as by a monitor of the nodes, and requeues these jobs.
        """
        left = kill(f"CLUSTER_NODE={self.folder}:{node}")
        self.daemons.pop(f"slurmd-{node}").wait(10)
        if left:
            raise ClusterError(f"processes of {node} outlive SIGKILL: {sorted(left)}")

        def down() -> bool:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.run("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=killed", timeout=ANSWER)
            return self.node_state(node).startswith("down")

        self.wait(down, f"{node} did not go down")

    def restart_node(self, node: str) -> None:
        """Start a killed node again and wait until the controller gives it work."""
        self._start_node(node)
        up = ("idle", "mixed", "allocated")
        self.wait(lambda: self.node_state(node) in up, f"{node} did not come back", daemon=f"slurmd-{node}")

    def node_state(self, node: str) -> str:
        """The controller's state of a node, such as idle, mixed, down+not_responding; empty where it does not answer.

        Not sinfo's: for minutes after a node went down in the midst of jobs, sinfo may still call it mixed.
        """
        try:
            told = self.run("scontrol", "show", "node", node, check=False, timeout=ANSWER)
        except subprocess.TimeoutExpired:
            return ""
        found = re.search(r"State=(\S+)", told)
        return found[1].lower() if found else ""

    def requeue(self, job: str) -> None:
        """What an administrator's `scontrol requeue` does; the job starts again about 6 s after it has ended."""
        self.run("scontrol", "requeue", job)

    def release(self) -> None:
        """Let all held jobs start."""
        self.run("scontrol", "release", ",".join({row["job"] for row in self.squeue() if row["state"] == "PENDING"}))

    def cancel(self, *jobs: str) -> None:
        """`scancel` of jobs, or of tasks such as `12_3`."""
        self.run("scancel", *jobs)

    def preempt(self) -> None:
        """Submit a job to `high` that takes both nodes from all jobs in `debug`, and wait until it has ended.

        A job that ignores the signal of `--signal` is killed only after the partition's GraceTime.
        """
        winner = self.submit("sleep 1", "-p", "high", "-N", 2, "--exclusive", "-J", "winner")
        self.wait_for(winner, "COMPLETED")

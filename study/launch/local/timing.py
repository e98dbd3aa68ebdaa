"""Time networks before they are trained, in as many processes as will train at once, because these slow each other.

A process reads its terms from standard input and then packs of specs, each a line of JSON. It answers each with a line on
standard output, and ends when standard input does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from subprocess import PIPE
from typing import Any

from study.config.run import RunSpec
from study.errors import StudyError
from study.launch.local.pool import Pool
from study.launch.local.worker import REFUSED
from study.launch.local.workers import Process
from study.launch.machine import Machine, Terms
from study.store.layout import RunFiles

Times = tuple[float, float]
"""A run's seconds of a step and of an evaluation."""


def measure(packs: Sequence[Mapping[str, RunSpec]], pool: Pool, machine: Machine) -> Iterator[dict[str, Times]]:
    """Yield the times of the runs of each pack in turn, as means over the pool's processes.

    Nothing is written into the results. Raises StudyError if a process dies.
    """
    with ExitStack() as stack:
        processes = []
        for device in pool.devices:
            processes.append(Process(pool.threads, "study.launch.local.timing", device, stdin=PIPE, stdout=PIPE))
            stack.callback(_end, processes[-1].process)
        _ask(processes, asdict(Terms.of(machine, "auto", pool.threads)))  # answered when all have started
        for pack in packs:
            told = _ask(processes, {name: spec.model_dump(mode="json") for name, spec in pack.items()})
            yield {name: (fmean(t[name][0] for t in told), fmean(t[name][1] for t in told)) for name in pack}


def _ask(processes: Sequence[Process], question: Any) -> list[Any]:
    """Give all processes the same line, and wait for their answers."""
    pipes = [(started.process.stdin, started.process.stdout) for started in processes]
    with suppress(BrokenPipeError):  # of one that died, which gives no answer either
        for stdin, _ in pipes:
            assert stdin is not None
            stdin.write(json.dumps(question).encode() + b"\n")
            stdin.flush()
    answers = []
    for started, (_, stdout) in zip(processes, pipes, strict=True):
        assert stdout is not None
        if not (line := stdout.readline()):
            started.process.wait()
            raise StudyError(f"the networks could not be timed: {started.failure_message()}")
        answers.append(json.loads(line))
    return answers


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(subprocess.TimeoutExpired, BrokenPipeError):
        process.communicate(timeout=5)  # which ends its standard input
    process.kill()


def main() -> None:
    """Entry of a process that times networks on a device (`study.boot`)."""
    import torch

    from study.launch.attempt.runs import load_data
    from study.training.session import never
    from study.training.timing import time_pack

    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints goes to standard error
    try:
        terms = Terms(**json.loads(sys.stdin.readline()))
        session = terms.session(sys.argv[1], "local", never)
        torch.set_num_threads(terms.threads)
        print(json.dumps("ready"), file=answers, flush=True)
        for line in sys.stdin:
            runs = [(RunSpec.model_validate(fields), RunFiles(Path(name))) for name, fields in json.loads(line).items()]
            times = time_pack(runs, load_data(runs[0][0], session.data_root), session)
            print(json.dumps(times), file=answers, flush=True)
    except StudyError as error:
        print(error, file=sys.stderr)
        sys.exit(REFUSED)

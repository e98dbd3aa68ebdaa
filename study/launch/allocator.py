"""What a process that trains tells glibc's allocator."""

from __future__ import annotations

import os
import sys

from study.boot import command, environment

ALLOCATOR = {"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=1000000000000:glibc.malloc.mmap_threshold=1000000000000"}
"""Environment of a process that trains: what is freed stays with it. A step on a CPU frees and allocates hundreds of
megabytes, and a tenth of its time and more goes into page faults else (benchmarks/allocator.py)."""


def become_a_worker() -> None:
    """Start this command again in the environment of a process that trains, unless it has it: malloc reads it but once."""
    if not ALLOCATOR.items() <= os.environ.items():
        os.execve(sys.executable, command("study.__main__", *sys.argv[1:]), environment() | ALLOCATOR)

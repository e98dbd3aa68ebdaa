"""What a process that trains tells glibc's allocator."""

from __future__ import annotations

ALLOCATOR = {"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=1000000000000:glibc.malloc.mmap_threshold=1000000000000"}
"""Environment of a process that trains: what is freed stays with it. A step on a CPU frees and allocates hundreds of
megabytes, and a tenth of its time and more goes into page faults else (benchmarks/allocator.py)."""

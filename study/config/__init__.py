"""Specs, components and sweep files; here the choices that the command line shares with them.

This module imports nothing, so that `study --help` stays fast.
"""

from typing import Literal

Device = Literal["auto", "cpu", "cuda", "mps"]
Executor = Literal["auto", "slurm", "local", "debug"]
Mode = Literal["missing", "retry", "force"]
Precision = Literal["fp32", "tf32", "bf16"]
Plane = Literal["random", "interpolate", "pca", "hessian"]
BatchNorm = Literal["frozen", "recalibrated", "batch"]
Split = Literal["train", "test", "both"]

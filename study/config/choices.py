"""Choices that the command line shares with specs and profiles. Imports nothing, so `study --help` stays fast."""

from typing import Literal

Device = Literal["auto", "cpu", "cuda"]
Executor = Literal["auto", "slurm", "local", "debug"]
Mode = Literal["missing", "retry", "force"]
Precision = Literal["fp32", "tf32", "bf16"]
Plane = Literal["random", "interpolate", "pca", "hessian"]
BatchNorm = Literal["frozen", "recalibrated", "batch"]
Split = Literal["train", "test", "both"]

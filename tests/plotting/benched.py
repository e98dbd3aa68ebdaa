"""Synthetic rows of `study bench`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

MACHINE = {
    "time": "2026-11-22T12:27:51", "device": "Intel(R) Xeon(R) Processor", "threads": 2, "torch": "2.14.1",
    "fp32_flops": 2.7e11, "bf16_flops": 1.5e11, "copy_bytes_per_second": 5.3e10, "launch_seconds": 2e-6,
}  # fmt: skip
SPEEDS = {"textbook": 320.0, "workers": 520.0, "run": 476.0, "step": 490.0, "bare": 500.0}


def bench(ceiling: float = 1100.0, **machine: Any) -> pd.DataFrame:
    """ResNet-20 and 56 alone in two precisions, and two ResNet-20 together, which have no textbook loop beside them."""
    rows: list[dict[str, Any]] = []
    for networks, lanes, slow in (("ResNet-56", 1, 0.36), ("ResNet-20", 1, 1.0), ("2 ResNet-20", 2, 1.0)):
        for precision, share in (("bf16", 0.8), ("fp32", 1.0)) if lanes == 1 else (("fp32", 1.0),):
            for measure, speed in SPEEDS.items():
                if lanes == 1 or measure not in ("textbook", "workers"):
                    rows.append({
                        "networks": networks, "lanes": lanes, "precision": precision, "measure": measure,
                        "images_per_second": speed * slow * share, "rounds": 25,
                        "ratio_to_textbook": speed / SPEEDS["textbook"] if lanes == 1 else np.nan,
                        "share_of_floor": speed / ceiling, "over_bare": 500.0 / speed - 1, **(MACHINE | machine),
                    })  # fmt: skip
    return pd.DataFrame(rows)

"""Whether bf16 changes the final errors, paired by seed, relative to the spread over seeds.

    study sweep precision_gate.yaml
    python benchmarks/precision_gate.py precision_gate [--results results]

For each network and depth: the mean over seeds of (bf16 - fp32) of the final error, its standard error, and the standard
deviation over seeds in fp32. The gate is passed if the difference is within two standard errors of zero.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

from study.errors import StudyError
from study.store.read import read_curves


def differences(curves: pd.DataFrame) -> pd.DataFrame:
    """One row per network, depth and split."""
    table = curves.sort_values("iteration").groupby(["run_id", "split"], as_index=False).last()
    table = table[table["split"].isin(["train_clean", "test"])]
    wide = table.pivot_table(index=["network", "depth", "split", "seed"], columns="precision", values="error").dropna()
    rows = []
    for (network, depth, split), group in wide.groupby(level=["network", "depth", "split"]):
        difference = group["bf16"] - group["fp32"]
        rows.append(
            {
                "network": network,
                "depth": depth,
                "split": split,
                "n": len(group),
                "fp32": group["fp32"].mean(),
                "bf16": group["bf16"].mean(),
                "difference": difference.mean(),
                "standard error": difference.std() / len(group) ** 0.5,
                "seeds' std (fp32)": group["fp32"].std(),
            }
        )
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sweep")
    parser.add_argument("--results", type=Path, default=Path("results"))
    options = parser.parse_args()
    try:
        table = differences(read_curves(options.results / options.sweep))
    except StudyError as error:
        sys.exit(str(error))
    if table.empty:
        sys.exit(
            f"{options.sweep}: no seed is there in both precisions yet; go on with: study sweep precision_gate.yaml"
        )
    print(table.to_string(index=False, float_format=lambda value: f"{value:.2f}"))
    moved = table[table["difference"].abs() > 2 * table["standard error"]]
    print("bf16 moves the errors of:" if len(moved) else "no difference is beyond two standard errors")
    for _, row in moved.iterrows():
        print(f"  {row['network']}-{row['depth']} ({row['split']}): {row['difference']:+.2f} points")


if __name__ == "__main__":
    main()

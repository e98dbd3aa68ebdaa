"""R15's figures of curves over iterations: figures 1, 4 and 6, on any sweep that has such networks."""

from __future__ import annotations

import pandas as pd

from study.papers.values import R15_IMAGENET, VALUES, of_kind
from study.plotting.base import style
from study.plotting.base.frames import restricted, tidy
from study.plotting.base.page import Plot
from study.plotting.curves.degradation import PAPERS, paneled
from study.plotting.curves.lines import MEASURED, Training
from study.stats.naming import network_title

EXTREME = 110  # layers: figure 6 has deeper networks in a panel of their own, beside this depth


def fig1(
    curves: pd.DataFrame,
    runs: pd.DataFrame | None = None,
    *,
    training: Training = "train_clean",
    ymax: float | None = None,
) -> Plot:
    """R15 figure 1: training error (left) and test error (right) of a shallow and a deep plain network.

    Shown are plain-20 and plain-56 of the CIFAR family, or else its shallowest and its deepest plain network, in the
    paper's window of 0 to 20 % and, where they lie above it, in a part of the axis of their own. Arguments and errors as
    for `study.plotting.curves.degradation.plot`.
    """
    evidence = tidy(curves, runs)
    plain = of_kind(evidence.runs, "plain")
    depths = sorted(evidence.runs.loc[plain, "depth"].unique())
    pair = [20, 56] if {20, 56} <= set(depths) else [*depths[:1], *depths[-1:]] if len(depths) > 1 else []
    chosen = evidence.runs[plain & evidence.runs["depth"].isin(pair)]
    evidence = restricted(evidence, chosen, "plain networks of the CIFAR family at two depths")
    panels = {style.SPLIT_NAMES[split]: evidence.curves["split"] == split for split in (training, "test")}
    shows = f"He et al. 2015, figure 1: plain networks over iterations. Left, dashed: {MEASURED[training]}; right: test error."
    return paneled(evidence, panels, shows, training, ymax, window=PAPERS)


def fig4(
    curves: pd.DataFrame,
    runs: pd.DataFrame | None = None,
    *,
    training: Training = "train_clean",
    ymax: float | None = None,
) -> Plot:
    """R15 figure 4: the ImageNet family of 18 and 34 layers, plain beside residual.

    On ImageNet the test error is that of centre crops, and the y axis has 20 to 60 %, as there. Arguments and errors as
    for `study.plotting.curves.degradation.plot`.
    """
    evidence = tidy(curves, runs)
    option = (evidence.runs["shortcut"] == "A") | (evidence.runs["network"] == "plain")
    pair = (evidence.runs["family"] == "imagenet") & evidence.runs["depth"].isin([18, 34]) & option
    evidence = restricted(evidence, evidence.runs[pair], "networks of the ImageNet family with 18 and 34 layers")
    panels = {network_title(name): evidence.curves["network"] == name for name in ("plain", "residual")}
    imagenet = (evidence.runs["dataset"] == R15_IMAGENET.dataset).all()
    shows = (
        f"He et al. 2015, figure 4: error over iterations. Thin, dashed: {MEASURED[training]}; bold: test error"
        f"{' of centre crops' if imagenet else ''}."
    )
    window = (20, 60) if imagenet else None
    return paneled(evidence, panels, shows, training, ymax, paper=R15_IMAGENET, window=window)


def fig6(
    curves: pd.DataFrame,
    runs: pd.DataFrame | None = None,
    *,
    training: Training = "train_clean",
    ymax: float | None = None,
) -> Plot:
    """R15 figure 6: plain networks, residual networks, and the deepest ones; dashed training error, bold test error.

    Of the CIFAR family of basic blocks with option A, up to 110 layers in the first two panels; deeper residual networks are
    in a third one, beside that of 110. Where runs follow the paper's protocol, its values stand at the end of their lines.
    The window is as in `fig1`, and so are arguments and errors.
    """
    evidence = tidy(curves, runs)
    canonical = of_kind(evidence.runs, "plain") | of_kind(evidence.runs, "residual")
    what = "plain or residual networks of the CIFAR family (basic blocks, option A)"
    evidence = restricted(evidence, evidence.runs[canonical], what)
    plain, depth = evidence.curves["network"] == "plain", evidence.curves["depth"]
    panels = {"plain": plain, "ResNet": ~plain & (depth <= EXTREME)}
    if (~plain & (depth > EXTREME)).any():
        panels[f"ResNet, {EXTREME}+"] = ~plain & (depth >= EXTREME)
    shows = f"He et al. 2015, figure 6: error over iterations. Bold: test error; thin, dashed: {MEASURED[training]}."
    return paneled(evidence, panels, shows, training, ymax, window=PAPERS, values=VALUES["fig6"])

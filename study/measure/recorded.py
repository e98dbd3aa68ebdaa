"""Whether a network that is measured again is the one that was trained: its loss beside what the training recorded."""

from __future__ import annotations

from study.store.files import DamagedError
from study.store.layout import RunFiles
from study.store.tables import read_table

SAMPLE = 100
"""Images that tell something of the mean loss of all."""


def contradiction(
    run: RunFiles, split: str, loss: float, images: int | None = None, iteration: int | None = None
) -> str:
    """A warning where the loss of a run's network is another one than its training recorded; empty where it is not.

    Parameters
    ----------
    split
        `train`, which is compared with the clean training loss, or `test`.
    loss
        Mean cross-entropy in nats, with BN's running statistics, of images that are not augmented.
    images
        How many it is of; None for all, of which it must be within 5 % and 0.01 nats, for it may be of another precision.
        Of some it must not be three times as large, or small, by more than 0.25 nats.
    iteration
        Of the network; by default the last one.
    """
    try:
        rows = read_table(run.curves).to_pylist()
    except (FileNotFoundError, DamagedError):
        return ""  # whoever reads curves says so
    name = "train_clean" if split == "train" else "test"
    losses = {row["iteration"]: row["loss"] for row in rows if row["split"] == name}
    known = losses.get(max(losses, default=0) if iteration is None else iteration)
    if known is None or (images is not None and images < SAMPLE):
        return ""
    allowed = 0.01 + 0.05 * abs(known) if images is None else 0.25 + 2 * min(loss, known)
    if abs(loss - known) <= allowed:
        return ""
    of = "" if images is None else f" of {images:,} images"
    return (
        f"{run.run_id}: its network has a {split} loss of {loss:.4g}{of}, but its training recorded {known:.4g}: checkpoint "
        "or data are not those of the training, and nothing measured here can be trusted; train it again with --mode force"
    )

"""Whether what is measured of a trained network agrees with what its training recorded. Imports no torch."""

from __future__ import annotations

from study.store.files import DamagedError
from study.store.layout import RunFiles
from study.store.tables import read_table

SAMPLE = 100
"""Fewer images tell little about the mean loss of all."""


def contradiction(
    run: RunFiles, split: str, loss: float, images: int | None = None, iteration: int | None = None
) -> str:
    """Warn if a network's loss differs from the one that its training recorded; return nothing if it does not.

    `split` is `train`, compared with the clean training loss, or `test`; `loss` is the mean cross-entropy in nats of
    images that are not augmented, with BN's running statistics; `iteration` is the network's, by default the last.
    The loss of all images must be within 5 % and 0.01 nats, since its precision may differ. That of some (`images`)
    must not be three times as large, or small, by more than 0.25 nats.
    """
    try:
        rows = read_table(run.curves).to_pylist()
    except (FileNotFoundError, DamagedError):
        return ""  # whoever reads curves reports it
    name = "train_clean" if split == "train" else "test"
    losses = {row["iteration"]: row["loss"] for row in rows if row["split"] == name}
    known = losses.get(max(losses, default=0) if iteration is None else iteration)
    if known is None or (images is not None and images < SAMPLE):
        return ""
    allowed = 0.01 + 0.05 * abs(known) if images is None else 0.25 + 2 * min(loss, known)
    if abs(loss - known) <= allowed or str(loss) == str(known):  # such as nan
        return ""
    of = "" if images is None else f" of {images:,} images"
    return (
        f"{run.run_id}: its network has a {split} loss of {loss:.4g}{of}, but its training recorded {known:.4g}: checkpoint "
        "or data are not those of the training, and nothing measured here can be trusted; train it "
        "again with `study sweep FILE --mode force`"
    )

"""Train a sweep, load its networks and their predictions from Python."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.errors import StudyError
from study.store.layout import RunFiles, SweepFiles, default_results
from study.text import user_path

if TYPE_CHECKING:  # torch and pandas take seconds to import
    import pandas as pd
    from torch import nn

    from study.config import Executor
    from study.stats.verdict import Verdict
    from study.training.feeds.feed import Feed


@dataclass(frozen=True)
class Sweep:
    """A trained sweep."""

    folder: Path

    @property
    def curves(self) -> pd.DataFrame:
        """As `study.read_curves`."""
        from study.store.read import read_curves

        return read_curves(self.folder)

    @property
    def runs(self) -> pd.DataFrame:
        """As `study.read_runs`."""
        from study.store.read import read_runs

        return read_runs(self.folder)

    def verdict(self) -> Verdict:
        """As `study.verdict`."""
        from study.stats.verdict import verdict

        return verdict(self.curves, self.runs)


def sweep(
    file: str | Path,
    *,
    executor: Executor = "auto",
    workers: int | None = None,
    results: str | Path | None = None,
    figures: str | Path = "figures",
    data_root: str | Path | None = None,
    **fields: Any,
) -> Sweep:
    """Train the unfinished runs of a sweep file, as `study sweep` does, and return its results.

    Parameters
    ----------
    file
        A sweep file, or the name of a ready one.
    fields
        Values of fields, or lists of values, instead of the file's: `seed=[0, 1]`, `**{"recipe.iterations": 1000}`.

    Raises
    ------
    StudyError
        A mistake in the file or a field; or training was interrupted, or a run failed.
    """
    from study.cli.train import run
    from study.config.ready import find_sweep_file
    from study.config.sweep import load
    from study.data import default_root
    from study.launch.machine import Machine
    from study.launch.slurm.profile import load_profile
    from study.launch.sweep import plan_sweep

    words = [f"{name}={_word(value)}" for name, value in fields.items()]
    planned = plan_sweep(load(find_sweep_file(str(file)), words), _folder(results, default_results()))
    machine = Machine(_folder(data_root, default_root()), executor, workers=workers)
    code = run(planned, machine, load_profile(None), "missing", Path(figures))
    if code:
        what = "was interrupted; call it again to continue" if code == 130 else "has failed or unfinished runs"
        raise StudyError(f"{planned.sweep.name} {what}")
    return Sweep(planned.files.folder)


def _word(value: Any) -> str:
    """A value as an override on the command line."""
    import yaml

    values = value if isinstance(value, list | tuple | range) else [value]
    return ",".join(yaml.safe_dump(one, default_flow_style=True).removesuffix("\n...\n").strip() for one in values)


def _folder(given: str | Path | None, usual: Path) -> Path:
    return usual if given is None else user_path(given)


def load_network(
    sweep: str | Path, *, fold: bool = False, data_root: str | Path | None = None, **fields: Any
) -> nn.Module:
    """Load the trained network of one run, in float32 on the CPU, in evaluation mode.

    Parameters
    ----------
    sweep
        A sweep's results folder, such as `results/quickstart`.
    fold
        Return the same function as ordinary convolutions with biases: without the BN that directly follows them, and, of
        `block: repvgg` and `convolution: dirac`, without what stands beside or in them.
    data_root
        The data folder; the images say how many inputs and classes the network has.
    fields
        Fields that tell the run from others: `network="plain", depth=20, seed=0`, `**{"block.ratio": 0.5}`.

    Returns
    -------
    Module
        From normalised images (N, channels, H, W) to logits (N, classes); of a family of the user's own, the user's module.

    Raises
    ------
    StudyError
        No run or several have these fields; it is not finished, or was trained on other images.
    """
    from study.networks.merge import merge
    from study.training.start import trained

    files, feed = _opened(sweep, data_root, fields)
    network = trained(files, feed)
    network = merge(network) if fold else network
    return getattr(network, "module", network)


def predictions(
    sweep: str | Path, *, split: str = "test", data_root: str | Path | None = None, **fields: Any
) -> pd.DataFrame:
    """Predict every image of a split by the trained network of one run. Arguments as for `load_network`.

    Returns
    -------
    DataFrame
        A row an image, in order, not augmented: `index`, `label`, `prediction` (numbers of classes), `loss` (nats).

    Raises
    ------
    StudyError
        As `load_network`; or the split is neither `train` nor `test`.
    """
    import pandas as pd
    import torch
    from torch.nn import functional as F  # noqa: N812

    from study.training.start import trained

    if split not in ("train", "test"):
        raise StudyError(f"split must be train or test, not {split!r:.80}")
    files, feed = _opened(sweep, data_root, fields)
    network, parts = trained(files, feed), []
    with torch.no_grad():
        for images, labels in feed.every(split):
            logits = network(images)
            losses = F.cross_entropy(logits, labels, reduction="none")
            parts.append(pd.DataFrame({"label": labels, "prediction": logits.argmax(1), "loss": losses}))
    return pd.concat(parts, ignore_index=True).rename_axis("index").reset_index()


def _opened(sweep: str | Path, data_root: str | Path | None, fields: dict[str, Any]) -> tuple[RunFiles, Feed]:
    import torch

    from study.data import default_root
    from study.launch.attempt.runs import load_data
    from study.store.runs import read_spec
    from study.training.feeds.open import open_feed

    files = _run(user_path(sweep), fields)
    spec = read_spec(files)
    return files, open_feed(spec, load_data(spec, _folder(data_root, default_root())), torch.device("cpu"))


def _run(folder: Path, fields: dict[str, Any]) -> RunFiles:
    from study.config.fields import ALIASES, flat
    from study.config.stored import upgraded
    from study.errors import nearest
    from study.store.sweeps import read_sweep

    files = SweepFiles(folder.parent, folder.name)
    rows = {name: flat(upgraded(stored)) for name, stored in read_sweep(files)["runs"].items()}
    known = dict.fromkeys(field for row in rows.values() for field in row)
    if strange := [field for field in fields if field not in known]:
        raise StudyError(f"unknown field '{strange[0]}'{nearest(strange[0], known, ALIASES)}")
    found = [name for name, row in rows.items() if all(row.get(field) == value for field, value in fields.items())]
    if len(found) == 1:
        return files.run(found[0])
    varying = [field for field in known if len({str(rows[name].get(field)) for name in found or rows}) > 1]
    told = f"{len(found)} of its {len(rows)} runs have" if found else "no run has"
    asked = ", ".join(f"{field}={value}" for field, value in fields.items()) or "no field given"
    raise StudyError(f"{folder}: {told} {asked}; they differ in {', '.join(varying)}")

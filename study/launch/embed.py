"""The identity-embedding certificate: a trained network, stretched, computes the same; so a deeper one as good exists."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch.nn import functional as F  # noqa: N812

from study.config import recipes, stretching
from study.config.fields import NAME_RULE, sweep_name
from study.config.identity import point_id
from study.config.recipe import Recipe
from study.config.run import RunSpec
from study.config.sweep import Value, resolve
from study.errors import StudyError
from study.launch.attempt.runs import load_data
from study.launch.machine import prepare_data
from study.measure.recorded import contradiction
from study.networks.network import Network
from study.store import runs as store
from study.store.files import write_bytes, write_json
from study.store.find import find_run, run_of_point
from study.store.layout import RunFiles
from study.store.tables import read_table
from study.training.feeds.feed import Feed
from study.training.feeds.open import open_feed
from study.training.start import deeper, trained


@dataclass(frozen=True)
class Evaluation:
    """A network on the whole training and test set, in evaluation mode, not augmented."""

    train_loss: float
    """Mean cross-entropy, nats."""
    train_error: float
    """Percent."""
    test_loss: float
    test_error: float


@dataclass(frozen=True)
class Certificate:
    """The comparison of a trained network with the deeper one made from it."""

    run_id: str
    title: str
    stretched: str
    """The deeper network's title."""
    blocks: int
    """Identity blocks that were inserted."""
    small: Evaluation
    large: Evaluation
    difference: float
    """The largest difference of a logit, over all training and test images."""
    largest: float
    """The largest absolute logit."""
    disagreements: int
    """Images that the two classify differently."""
    images: int
    trained_deep: float | None
    """Final training error (percent) of the deeper network trained from its seed's weights, if that run exists."""
    contradiction: str = ""
    """A warning if the trained network has another loss than its training recorded."""


def embed(name: str, depth: int, results: Path, data_root: Path, device: torch.device) -> tuple[RunSpec, Certificate]:
    """Stretch a run's trained network to `depth` layers, compare the two, and leave the certificate with the run.

    Returns the spec of a run that trains on from the stretched network, too.

    Raises
    ------
    StudyError
        There is no such run, it is not done, or its network can't be stretched so.
    """
    files = find_run(results, name)
    small = store.read_spec(files)
    large = _deeper_spec(small, depth)
    stretching.check(small, large)
    prepare_data([small], data_root)
    images = open_feed(small, load_data(small, data_root), device)
    shallow = trained(files, images)
    deep = deeper(shallow, large, images)
    certificate = _compare(files, small, large, shallow, deep, images)
    facts = asdict(certificate) | {"version": 1, "time": time.time(), "data": images.fingerprint, "depth": depth}
    write_json(files.certificate(depth), facts)
    return large.model_copy(update={"start_from": point_id(small)}), certificate


def _deeper_spec(spec: RunSpec, depth: int) -> RunSpec:
    """The same run with another depth, checked as a sweep file's is."""
    fields = spec.model_dump(mode="json") | {"depth": depth, "start_from": None}
    return resolve({key: Value(value, "--depth") for key, value in fields.items()}, "--depth")


def _compare(
    files: RunFiles, small: RunSpec, large: RunSpec, shallow: Network, deep: Network, images: Feed
) -> Certificate:
    sums = {split: torch.zeros(2, 2, dtype=torch.float64) for split in ("train", "test")}
    difference, largest, disagreements = 0.0, 0.0, 0
    for split, total in sums.items():
        for one, other, labels in _logits(shallow, deep, images, split):
            total += torch.stack([_loss_and_errors(logits, labels) for logits in (one, other)])
            difference = max(difference, float((one - other).abs().max()))
            largest = max(largest, float(one.abs().max()))
            disagreements += int((one.argmax(1) != other.argmax(1)).sum())
    before = _evaluation(sums, 0, images)
    doubts = (contradiction(files, "train", before.train_loss), contradiction(files, "test", before.test_loss))
    return Certificate(
        run_id=files.run_id,
        title=small.title,
        stretched=large.title,
        blocks=len(list(deep.blocks())) - len(list(shallow.blocks())),
        small=before,
        large=_evaluation(sums, 1, images),
        difference=difference,
        largest=largest,
        disagreements=disagreements,
        images=images.count("train") + images.count("test"),
        trained_deep=_trained_from_seed(files, large),
        contradiction=next(filter(None, doubts), ""),
    )


def _evaluation(sums: Mapping[str, torch.Tensor], which: int, images: Feed) -> Evaluation:
    facts: dict[str, float] = {}
    for split, total in sums.items():
        loss, wrong = (total[which] / images.count(split)).tolist()
        facts |= {f"{split}_loss": loss, f"{split}_error": 100.0 * wrong}
    return Evaluation(**facts)


@torch.no_grad()
def _logits(
    shallow: Network, deep: Network, images: Feed, split: str
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    first = 0
    for size in images.evaluation_sizes(split):
        x, labels = images.in_order(split, torch.tensor(first, device=images.device), size)
        yield shallow(x), deep(x), labels
        first += size


def _loss_and_errors(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    loss = F.cross_entropy(logits, labels, reduction="sum")
    return torch.stack([loss.double(), (logits.argmax(1) != labels).sum().double()]).cpu()


def _trained_from_seed(files: RunFiles, spec: RunSpec) -> float | None:
    other = run_of_point(files.results, point_id(spec), spec.seed)
    if other is None or store.status(other).state != "done":
        return None
    rows = read_table(other.curves).to_pylist()
    return max((row["iteration"], row["error"]) for row in rows if row["split"] == "train_clean")[1]  # type: ignore[no-any-return]


def lines(found: Certificate) -> list[str]:
    """The certificate in words."""
    width = max(len(found.title), len(found.stretched))
    rows = [(found.title, found.small), (found.stretched, found.large)]
    table = [
        f"  {title:<{width}}  {e.train_error:>9.2f} % {e.train_loss:>11.5f} {e.test_error:>9.2f} % {e.test_loss:>11.5f}"
        for title, e in rows
    ]
    head = f"  {'':<{width}}  {'training error':>11} {'and loss':>9} {'test error':>12} {'and loss':>10}"
    verdict = f"so there is a {found.stretched} with a training error of {found.large.train_error:.2f} %"
    if found.trained_deep is not None:
        verdict += f"; trained from its seed's weights it ended at {found.trained_deep:.2f} %"
    return [
        f"{found.run_id}: {found.title} stretched to {found.stretched} by {found.blocks} identity blocks",
        head,
        *table,
        f"  logits differ by at most {found.difference:.1e} (the largest is {found.largest:.3g}); "
        f"{found.disagreements} of {found.images:,} images are classified differently",
        f"  {verdict}",
        *([f"WARNING: {found.contradiction}"] if found.contradiction else []),
    ]


def check_new(path: Path) -> None:
    """Raise StudyError if a file exists, or has no name for a sweep."""
    if path.exists():
        raise StudyError(f"{path}: exists; name another file")
    if path.suffix != ".yaml" or sweep_name(path.stem) is None:
        raise StudyError(f"{path}: must be called NAME.yaml, NAME of {NAME_RULE}")


def sweep_file(path: Path, specs: Sequence[RunSpec]) -> None:
    """Write a sweep that continues from stretched networks; its runs may differ only in their seed."""
    check_new(path)
    common = [spec.model_dump(mode="json", exclude={"seed"}, exclude_defaults=True) for spec in specs]
    if any(fields != common[0] for fields in common):
        raise StudyError(f"{path}: the runs differ in more than their seed; give each kind a sweep of its own")
    content: dict[str, Any] = {
        "name": sweep_name(path.stem),
        "description": f"{specs[0].title}, trained on from shallower networks stretched by identity layers",
        "fixed": common[0] | {"recipe": _recipe(specs[0].recipe)},
        "grid": {"seed": list(dict.fromkeys(spec.seed for spec in specs))},
        "figures": ["degradation"],
    }
    write_bytes(path, yaml.safe_dump(content, sort_keys=False, width=120).encode())


def _recipe(recipe: Recipe) -> dict[str, Any]:
    """The recipe's name, and its changed fields."""
    named = Recipe.model_validate(recipes.preset(recipe.name)).model_dump(mode="json")
    fields = recipe.model_dump(mode="json")
    return {"name": recipe.name} | {key: value for key, value in fields.items() if value != named[key]}

"""The identity-embedding certificate: a trained network, stretched, computes the same; so a deeper one as good exists."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch.nn import functional as F  # noqa: N812

from study.config import recipes
from study.config.differences import check_stretch
from study.config.fields import NAME_RULE, sweep_name
from study.config.identity import point_id
from study.config.recipes import Recipe
from study.config.run import RunSpec
from study.config.sweep import Value, resolve
from study.errors import StudyError
from study.launch.attempt.runs import feed_of
from study.launch.machine import prepare_data
from study.measure.recorded import contradiction
from study.networks.network import Network
from study.store import runs as store
from study.store.files import write_bytes, write_json
from study.store.find import find_run, run_of_point
from study.store.tables import read_table
from study.training.feeds.feed import Feed
from study.training.session import Session
from study.training.start import deeper, trained


@dataclass(frozen=True)
class Certificate:
    """The comparison of a trained network with the deeper one made from it."""

    run_id: str
    title: str
    stretched: str
    """The deeper network's title."""
    blocks: int
    """Identity blocks that were inserted."""
    small: dict[str, float]
    """`train_loss`, `train_error`, `test_loss` and `test_error` of all images, not augmented: nats and percent."""
    large: dict[str, float]
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
    """A warning if the trained network's loss differs from the one that its training recorded."""


def embed(name: str, depth: int, results: Path, session: Session) -> tuple[RunSpec, Certificate]:
    """Stretch a run's trained network to `depth` layers, compare the two, and write the certificate beside the run.

    Also returns the spec of a run that trains on from the stretched network. Raises StudyError if there is no such run, it
    is not done, or its network cannot be stretched so.
    """
    files = find_run(results, name)
    small = store.read_spec(files)
    fields = small.model_dump(mode="json") | {"depth": depth, "start_from": None}
    large = resolve({key: Value(value, "--depth") for key, value in fields.items()}, "--depth")
    check_stretch(small, large)
    prepare_data([small], session.data_root)
    images = feed_of(small, session)
    shallow = trained(files, images)
    deep = deeper(shallow, large, images)
    evaluations, comparison = _compare(shallow, deep, images)
    doubts = (contradiction(files, split, evaluations[0][f"{split}_loss"]) for split in ("train", "test"))
    certificate = Certificate(
        run_id=files.run_id,
        title=small.title,
        stretched=large.title,
        blocks=len(list(deep.blocks())) - len(list(shallow.blocks())),
        small=evaluations[0],
        large=evaluations[1],
        **comparison,
        images=images.count("train") + images.count("test"),
        trained_deep=_trained_from_seed(results, large),
        contradiction=next(filter(None, doubts), ""),
    )
    facts = asdict(certificate) | {"version": 1, "time": time.time(), "data": images.fingerprint, "depth": depth}
    write_json(files.certificate(depth), facts)
    return large.model_copy(update={"start_from": point_id(small)}), certificate


@torch.no_grad()
def _compare(shallow: Network, deep: Network, images: Feed) -> tuple[list[dict[str, float]], dict[str, Any]]:
    """The losses and errors of both networks on all images, and how their outputs differ."""
    evaluations: list[dict[str, float]] = [{}, {}]
    difference, largest, disagreements = 0.0, 0.0, 0
    for split in ("train", "test"):
        sums = torch.zeros(2, 2, dtype=torch.float64)
        for x, labels in images.every(split):
            one, other = shallow(x), deep(x)
            for total, logits in zip(sums, (one, other), strict=True):
                total[0] += F.cross_entropy(logits, labels, reduction="sum").double().cpu()
                total[1] += (logits.argmax(1) != labels).sum().cpu()
            difference = max(difference, float((one - other).abs().max()))
            largest = max(largest, float(one.abs().max()))
            disagreements += int((one.argmax(1) != other.argmax(1)).sum())
        for found, (loss, wrong) in zip(evaluations, (sums / images.count(split)).tolist(), strict=True):
            found |= {f"{split}_loss": loss, f"{split}_error": 100.0 * wrong}
    return evaluations, {"difference": difference, "largest": largest, "disagreements": disagreements}


def _trained_from_seed(results: Path, spec: RunSpec) -> float | None:
    other = run_of_point(results, point_id(spec), spec.seed)
    if other is None or store.status(other).state != "done":
        return None
    rows = read_table(other.curves).to_pylist()
    return max((row["iteration"], row["error"]) for row in rows if row["split"] == "train_clean")[1]  # type: ignore[no-any-return]


def lines(found: Certificate) -> list[str]:
    """The certificate in words."""
    width = max(len(found.title), len(found.stretched))
    table = [
        f"  {title:<{width}}  {e['train_error']:>9.2f} % {e['train_loss']:>11.5f} {e['test_error']:>9.2f} % "
        f"{e['test_loss']:>11.5f}"
        for title, e in ((found.title, found.small), (found.stretched, found.large))
    ]
    head = f"  {'':<{width}}  {'training error':>11} {'and loss':>9} {'test error':>12} {'and loss':>10}"
    verdict = f"so there is a {found.stretched} with a training error of {found.large['train_error']:.2f} %"
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
    """Raise StudyError if a file exists, or its name cannot be a sweep's."""
    if path.exists():
        raise StudyError(f"{path}: exists; name another file")
    if path.suffix != ".yaml" or sweep_name(path.stem) is None:
        raise StudyError(f"{path}: must be called NAME.yaml, NAME of {NAME_RULE}")


def sweep_file(path: Path, specs: Sequence[RunSpec]) -> None:
    """Write a sweep that continues from stretched networks; its runs may differ only in their seed."""
    check_new(path)
    common = [spec.model_dump(mode="json", exclude={"seed"}, exclude_defaults=True) for spec in specs]
    if any(fields != common[0] for fields in common):
        raise StudyError(f"{path}: the runs differ in more than their seed; write a sweep file for each kind")
    recipe = specs[0].recipe.model_dump(mode="json")
    named = Recipe.model_validate(recipes.preset(recipe["name"])).model_dump(mode="json")
    changed = {key: value for key, value in recipe.items() if value != named[key]}
    content: dict[str, Any] = {
        "name": sweep_name(path.stem),
        "description": f"{specs[0].title}, trained on from shallower networks stretched by identity layers",
        "fixed": common[0] | {"recipe": {"name": recipe["name"], **changed}},
        "grid": {"seed": list(dict.fromkeys(spec.seed for spec in specs))},
        "figures": ["degradation"],
    }
    write_bytes(path, yaml.safe_dump(content, sort_keys=False, width=120).encode())

"""The identity-embedding certificate: a trained network, stretched, computes the same; so a deeper one as good exists."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from study.config.differences import check_stretch
from study.config.identity import point_id
from study.config.run import RunSpec
from study.config.stored import recorded
from study.config.sweep import Value, resolve
from study.errors import StudyError
from study.launch.attempt.runs import feed_of
from study.launch.machine import prepare_data
from study.measure.probes.subject import scores
from study.measure.recorded import contradiction
from study.networks.merge import merge
from study.networks.network import Network
from study.store import runs as store
from study.store.files import write_json
from study.store.find import find_run, run_of_point
from study.store.tables import read_table
from study.training.feeds.feed import Feed
from study.training.session import Session
from study.training.start import deeper, trained


def embed(name: str, depth: int | None, results: Path, session: Session) -> list[str]:
    """Stretch a run's trained network to `depth` layers, or fold it, and write beside the run how the two compare."""
    files = find_run(results, name)
    if recorded(fields := store.stored_spec(files)).elsewhere:
        name = recorded(fields).title
        raise StudyError(
            f"{files.run_id}: {name} was trained elsewhere; only what `study sweep` trained is stretched or folded"
        )
    small = store.read_spec(files)
    fields = small.model_dump(mode="json") | {"depth": depth or small.depth, "start_from": None}
    large = resolve({key: Value(value, "--depth") for key, value in fields.items()}, "--depth")
    if depth is not None:
        check_stretch(small, large)
    prepare_data([small], session.data_root)
    images = feed_of(small, session)
    shallow = trained(files, images)
    deep = merge(shallow) if depth is None else deeper(shallow, large, images)
    found = _compare(shallow, deep, images)
    doubts = (contradiction(files, split, found["small"][f"{split}_loss"]) for split in ("train", "test"))
    certificate = {
        "version": 1,
        "time": time.time(),
        "run_id": files.run_id,
        "data": images.fingerprint,
        "depth": large.depth,
        "title": small.title,
        "stretched": f"{small.title} folded" if depth is None else large.title,
        "blocks": len(list(deep.blocks())) - len(list(shallow.blocks())),  # that were inserted
        **found,
        "trained_deep": None if depth is None else _trained_from_seed(results, large),
        "contradiction": next(filter(None, doubts), ""),
    }
    write_json(files.certificate(depth), certificate)
    return _words(certificate, point_id(small) if depth is not None else "")


@torch.no_grad()
def _compare(shallow: Network, deep: Network, images: Feed) -> dict[str, Any]:
    """The losses (nats) and errors (percent) of both networks on all images, not augmented, and how their logits differ."""
    found: dict[str, Any] = {"small": {}, "large": {}}
    found |= dict.fromkeys(("difference", "largest", "disagreements", "images"), 0)
    for split in ("train", "test"):
        sums = torch.zeros(2, 2, dtype=torch.float64)
        for x, labels in images.every(split):
            one, other = shallow(x), deep(x)
            for total, logits in zip(sums, (one, other), strict=True):
                total += scores(logits, labels)
            found["difference"] = max(found["difference"], float((one - other).abs().max()))
            found["largest"] = max(found["largest"], float(one.abs().max()))
            found["disagreements"] += int((one.argmax(1) != other.argmax(1)).sum())
        found["images"] += images.count(split)
        for name, (loss, wrong) in zip(("small", "large"), (sums / images.count(split)).tolist(), strict=True):
            found[name] |= {f"{split}_loss": loss, f"{split}_error": 100.0 * wrong}
    return found


def _trained_from_seed(results: Path, spec: RunSpec) -> float | None:
    """Final training error (percent) of the deeper network trained from its seed's weights, if that run exists."""
    other = run_of_point(results, point_id(spec), spec.seed)
    if other is None or store.status(other).state != "done":
        return None
    rows = read_table(other.curves).to_pylist()
    return max((row["iteration"], row["error"]) for row in rows if row["split"] == "train_clean")[1]  # type: ignore[no-any-return]


def _words(found: dict[str, Any], point: str) -> list[str]:
    title, stretched = found["title"], found["stretched"]
    errors = [
        f"  {name}: training error {of['train_error']:.2f} %, loss {of['train_loss']:.5f}; "
        f"test error {of['test_error']:.2f} %, loss {of['test_loss']:.5f}"
        for name, of in ((title, found["small"]), (stretched, found["large"]))
    ]
    verdict = f"so there is a {stretched} with a training error of {found['large']['train_error']:.2f} %"
    if found["trained_deep"] is not None:
        verdict += f"; trained from its seed's weights it ended at {found['trained_deep']:.2f} %"
    if not point:
        verdict = "so the folded network is the same; load_network(..., fold=True) returns it"
    done = f"stretched to {stretched} by {found['blocks']} identity blocks" if point else "folded"
    return [
        f"{found['run_id']}: {title} {done}",
        *errors,
        f"  logits differ by at most {found['difference']:.1e} (the largest is {found['largest']:.3g}); "
        f"{found['disagreements']} of {found['images']:,} images are classified differently",
        f"  {verdict}",
        *([f"  to train on from it, set depth={found['depth']} start_from={point}"] if point else []),
        *([f"WARNING: {found['contradiction']}"] if found["contradiction"] else []),
    ]

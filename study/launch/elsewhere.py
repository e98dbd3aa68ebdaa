"""Networks that were trained elsewhere, as finished runs that `study surface` and `study probe` can measure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from study.config.fields import NAME_RULE, sweep_name
from study.config.identity import run_id
from study.config.recipes import ELSEWHERE
from study.config.run import RunSpec
from study.config.sweep import Sweep, Value, resolve
from study.config.use import use
from study.config.yaml import scalar
from study.errors import StudyError
from study.launch.attempt.runs import feed_of
from study.launch.machine import prepare_data
from study.measure.probes.subject import scores
from study.networks.graph import depth_and_sum
from study.networks.network import Network, loaded
from study.store import runs as store
from study.store.files import digest
from study.store.layout import RunFiles, SweepFiles
from study.store.lease import claim
from study.store.sweeps import kept, read_sweep, write_sweep
from study.store.tables import CURVES
from study.training import checkpoint
from study.training.feeds.feed import Feed
from study.training.session import Session

AROUND = ("state_dict", "model_state_dict", "model", "net")
"""Keys of checkpoint files that hold the state of the network."""
BEFORE = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before its names."""
END = 1
"""The iteration that stands for the end of a training of unknown length."""
RECIPE = {"name": ELSEWHERE, "iterations": END, "evaluate_every": END, "batch_size": 128, "learning_rate": 1.0,
          "weight_decay": 0.0, "pad": 0, "flip": False}  # fmt: skip
"""Of these numbers only the batch of measurements is used."""


def add(
    files: SweepFiles, model: str, weights: Path, data: str, normalised: tuple[str, str], session: Session,
    told: Callable[[str], None],
) -> tuple[RunFiles, str]:  # fmt: skip
    """Add a network to a sweep as a finished run, with its errors; returns the run and a line about it.

    `model` is `FILE.py:NAME`; `data` is written as in a sweep file, or as `name=...,option=...`; `normalised` are means and
    deviations, each a number or one for each channel; `told` is told what is being done. A network that is there is not
    evaluated again. Raises StudyError, with nothing written, if code, weights and data do not fit together.
    """
    if sweep_name(files.name) is None:
        raise StudyError(f"--name {files.name}: must be text of {NAME_RULE}")
    if not model.partition(".py:")[2].isidentifier():
        raise StudyError(f"--model {model}: write it as FILE.py:NAME, NAME a function or class that makes the network")
    use(model)
    content, state = _state(weights)
    spec = _spec(model.rpartition(":")[2], digest(content), data, normalised)
    prepare_data([spec], session.data_root)
    images = feed_of(spec, session)
    try:
        network = loaded(spec, state, images.channels, images.classes, images.native[0]).placed(images.device).eval()
        spec = _looked_at(spec, network, images)
    except Exception as error:  # of the user's code, perhaps
        what = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        size = " x ".join(map(str, (images.channels, *images.native)))
        raise StudyError(
            f"{model} with {weights}, on images of {size}, {images.classes} classes ({spec.dataset}): "
            + what.replace("module.", "")
        ) from None
    run = files.run(run_id(spec))
    if store.status(run).state != "done":
        _write(run, spec, network, images, _evaluated(network, images, told))
    errors = {row["split"]: row["error"] for row in CURVES.read(run.curves).to_pylist()}
    size = f"{sum(parameter.numel() for parameter in network.parameters()):,}"
    line = f"{spec.title}: {spec.network}, {spec.depth} weighted layers, {size} parameters"
    return run, f"{line}; training error {errors['train_clean']:.2f} %, test error {errors['test']:.2f} %"


def _state(path: Path) -> tuple[bytes, dict[str, Tensor]]:
    """The content of a file, and the state of `Own` in it. Nothing but tensors and plain values is loaded."""
    try:
        content = path.read_bytes()
        state: Any = checkpoint.load_tensors(content, torch.device("cpu"))
    except OSError as error:
        raise StudyError(f"--weights {path}: {error.strerror or error}") from None
    except ValueError as error:
        _, found, named = str(error.__cause__).partition("GLOBAL ")
        raise StudyError(
            f"--weights {path}: is not tensors alone{f' (it has {named.split()[0]})' if found else ''}, and no other file is "
            "opened, since it could run code; save the state by torch.save(network.state_dict(), FILE)"
        ) from None
    while key := next((key for key in AROUND if isinstance(state.get(key), Mapping)), None):
        state = state[key]
    for prefix in BEFORE:
        if all(str(name).startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise StudyError(f"--weights {path}: has no state dict, at its top or under {', '.join(AROUND)}")
    return content, {f"module.{name}": value for name, value in state.items()}


def _spec(family: str, weights: str, data: str, normalised: tuple[str, str]) -> RunSpec:
    """The run, without what the network itself says."""
    data = data if data.startswith("{") or "=" not in data else f"{{{data.replace('=', ': ')}}}"
    try:
        chosen = scalar(data)
    except StudyError:
        raise StudyError(f"--data {data}: write it as in a sweep file, or as name=...,option=...") from None
    try:
        numbers = [[float(word) for word in text.split(",")] for text in normalised]
    except ValueError:
        raise StudyError("--mean, --std: write a number, or one for each channel, such as 0.49,0.48,0.45") from None
    fields = {"network": "plain", "depth": 1, "seed": 0, "family": {"name": family, "weights": weights}}
    fields |= {f"recipe.{name}": value for name, value in RECIPE.items()}
    point = {name: Value(value, "--model") for name, value in fields.items()}
    said = {"data": Value(chosen, "--data"), "recipe.normalise": Value(numbers, "--mean, --std")}
    return resolve(point | said)


def _looked_at(spec: RunSpec, network: Network, images: Feed) -> RunSpec:
    """The run with the kind, depth and norm that a pass of two images shows. Raises what the network raises."""
    [(x, _)] = images.batches("test", [torch.arange(2, device=images.device)])
    logits = network(x.requires_grad_().clone())
    if (shape := tuple(getattr(logits, "shape", ()))) != (2, images.classes):
        raise ValueError(f"gives {shape or type(logits).__name__} for 2 images, not (2, {images.classes}) logits")
    depth, residual = depth_and_sum(x, logits)
    normed = any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    kind = {"network": "residual" if residual else "plain", "norm": "batch" if normed else "none"}
    return RunSpec.model_validate(spec.model_dump() | kind | {"depth": max(1, depth)})


@torch.no_grad()
def _evaluated(network: Network, images: Feed, told: Callable[[str], None]) -> dict[str, list[float]]:
    """Mean loss (nats) and share of errors of each split, by its name in curves."""
    found = {}
    for split, name in (("train", "train_clean"), ("test", "test")):
        sums, seen, count = torch.zeros(2, dtype=torch.float64), 0, images.count(split)
        for x, labels in images.every(split):
            sums += scores(network(x), labels)
            seen += len(labels)
            told(f"evaluating: {seen:,} of {count:,} {split} images")
        found[name] = (sums / count).tolist()
    return found


def _write(run: RunFiles, spec: RunSpec, network: Network, images: Feed, found: Mapping[str, Any]) -> None:
    rows = [{"run_id": run.run_id, "iteration": END, "split": split, "loss": loss, "error": 100.0 * wrong}
            for split, (loss, wrong) in found.items()]  # fmt: skip
    known = {"fingerprint": images.fingerprint, "threads": torch.get_num_threads()}
    state = {name: tensor.cpu() for name, tensor in network.state_dict().items()}
    facts = {"iteration": END, "error": rows[-1]["error"], "data": images.fingerprint}
    if (lease := claim(run)) is None:
        raise StudyError(f"{run.run_id} is busy: another process adds or measures it")
    try:
        store.write_spec(run, spec)
        written = CURVES.write(run.curves, rows)
        checkpoint.save(run, END, {"network": state, **known}, keep=1)
        store.write_done(run, {run.curves.name: written}, outcome="finished", **facts)
    finally:
        lease.release()


def record(run: RunFiles, files: SweepFiles, command: str) -> None:
    """Add a run to the record of its sweep, which may have others, with the command that added it."""
    before = {"description": "", "file": "", "figures": ()} | (read_sweep(files) if files.sweep.exists() else {})
    commands = " && ".join(dict.fromkeys([*filter(None, before.get("command", "").split(" && ")), command]))
    told = {"command": commands, "file": before["file"], "figures": tuple(before["figures"])}
    sweep = Sweep(files.name, before["description"], {run.run_id: store.read_spec(run)}, **told)
    write_sweep(files, sweep, kept(files, {run.run_id}))

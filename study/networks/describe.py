"""A network's table of layers and its shortcuts, without building it. Needs no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from study.config.components import Shortcut
from study.config.registry import BLOCKS, DATA, FAMILIES, ORDERS, SHORTCUTS
from study.config.run import RunSpec
from study.config.sweep import one
from study.networks.count import counted, measured
from study.networks.shape import Layer, large_stem, layers, places, stages


def run_of(words: Sequence[str]) -> RunSpec:
    """Make the run of `field=value` words, by default a ResNet-20 or the family's shallowest network.

    The images have the usual size unless a data set is named. Raises `StudyError` as `study.config.sweep.one`.
    """
    usual: dict[str, Any] = {"network": "residual", "depth": 20, "recipe": "he2015_cifar", "seed": 0}
    family = next((word for word in words if word.startswith("family=")), "")
    if "imagenet" in family:
        usual["depth"] = 18
    if "vgg" in family:
        usual |= {"network": "plain", "depth": 19}
    if not any(word.startswith("data=") for word in words):
        usual |= {"data": "image_folder", "data.folder": "any"}
    return one(words, usual)


def images(spec: RunSpec) -> tuple[int, int, int]:
    """Return size, channels and classes of a run's images; of a folder, whose images are unknown, ImageNet's or CIFAR's."""
    entry = DATA[spec.data.name]
    large = "imagenet" in (spec.family.options.get("stem"), spec.family.options.get("head"))
    size = entry.size or spec.data.options.get("image_size") or (224 if large else 32)
    return size, entry.channels, entry.classes or (1000 if large else 10)


def describe(spec: RunSpec) -> str:
    """Return a table of layers as in He et al. 2015, table 1, the totals, and the shortcuts."""
    size, channels, classes = images(spec)
    if measured(spec):
        return _describe_own(spec, channels, classes, size)
    plan = list(layers(spec, channels, classes, size))
    rows = [("", "output", "layers", "parameters", "multiply-adds"), *_rows(spec, plan)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = [_aligned(row, widths) for row in rows]
    total, work = sum(layer.parameters for layer in plan), sum(layer.macs for layer in plan)
    depth = sum(not layer.beside for layer in plan)
    parts = [spec.title, f"{spec.block.name} blocks"]
    parts += [] if spec.convolution is None else [f"{spec.convolution.name} convolutions"]
    if spec.network == "residual":
        parts += [f"order {spec.order.name}", _shortcut_words(spec)]
    heading = ", ".join(parts)
    sums = [f"{depth} weighted layers", f"{total:,} parameters", f"{_millions(work)} multiply-adds for an image"]
    pixels = f"{size}x{size}x{channels}, {classes:,} classes"
    return "\n".join([f"{heading}; images of {pixels}", "", *table, "", ", ".join(sums), *_shortcuts(spec)]) + "\n"


def _describe_own(spec: RunSpec, channels: int, classes: int, size: int) -> str:
    """A row for each part of a network with parts of the user's own, as it was counted without values."""
    count = counted(spec, channels, classes, size)
    rows = [("", "output", "layers", "parameters")]
    groups: dict[str, list[Any]] = {}
    for layer in count.layers:
        groups.setdefault(".".join(layer[0].split(".")[:2]), []).append(layer)
    for name, members in groups.items():
        kinds = ", ".join(f"{n} {kind}" for kind, n in Counter(kind for _, kind, *_ in members).items())
        output = "x".join(map(str, next((shape for *_, shape, _ in reversed(members) if shape), ())))
        rows.append((name, output, kinds, f"{sum(own for *_, own in members):,}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = [_aligned(row, widths) for row in rows]
    sums = f"{count.parameters:,} parameters, {_millions(count.macs)} multiply-adds for an image"
    own = FAMILIES[spec.family.name].source is not None
    heading = f"{spec.title}, family {spec.family.name}" + ("" if own else f", {spec.block.name} blocks")
    return (
        "\n".join([f"{heading}; images of {size}x{size}x{channels}, {classes:,} classes", "", *table, "", sums]) + "\n"
    )


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell.ljust(w) if i < 3 else cell.rjust(w) for i, (cell, w) in enumerate(zip(cells, widths, strict=True))]
    return "  ".join(padded).rstrip()


def _shortcut_words(spec: RunSpec) -> str:
    if spec.shortcut is None:
        return "no shortcut"
    options = [f"{name} {value:g}" for name, value in spec.shortcut.options.items() if value is not None]
    return f"shortcut {spec.shortcut.name} ({', '.join([SHORTCUTS[spec.shortcut.name].summary, *options])})"


def _rows(spec: RunSpec, plan: Sequence[Layer]) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield a row for the stem, each stage, and the head."""
    for name, group in groupby(plan, key=lambda layer: layer.name.partition(".")[0]):
        members = list(group)
        size = members[-1].size
        yield (
            name,
            f"{size}x{size}",
            _structure(spec, name, members),
            f"{sum(layer.parameters for layer in members):,}",
            _millions(sum(layer.macs for layer in members)),
        )


def _structure(spec: RunSpec, name: str, members: Sequence[Layer]) -> str:
    """`[3x3, 16; 3x3, 16] x 9`."""
    if name.startswith("head"):
        pooled = "average pool, " if name == "head" and spec.family.options.get("head") != "imagenet" else ""
        return f"{pooled}{members[0].out_maps}-way linear"
    if name == "stem":
        pool = ", 3x3 max pool /2" if large_stem(spec) else ""
        return _conv(members[0]) + (" /2" if pool else "") + pool
    number = int(name.removeprefix("stage")) - 1
    stage = stages(spec)[number]
    block = [layer for layer in members if ".block1." in layer.name]
    inner = "; ".join(_conv(layer) for layer in block if not layer.beside)
    pooled = "".join(f"; pooled, {layer.out_maps}" for layer in block if ".pooled" in layer.name)
    pooled += "; a 1x1 beside each" if any(".side" in layer.name for layer in block) else ""
    after = "; 2x2 max pool" if spec.family.name == "vgg" else ""
    return f"[{inner}{pooled}] x {stage.blocks}{after}{' /2' if stage.stride == 2 else ''}"


def _conv(layer: Layer) -> str:
    return f"{layer.kernel}x{layer.kernel}, {layer.out_maps}"


def _millions(count: int) -> str:
    return f"{count / 1e9:.2f} G" if count >= 1e9 else f"{count / 1e6:.2f} M"


def _shortcuts(spec: RunSpec) -> list[str]:
    """Describe each kind of shortcut connection, one per line."""
    if spec.shortcut is None:
        return ["no shortcuts"]
    shortcut = SHORTCUTS[spec.shortcut.name]
    changing, same = [], 0
    for place in places(spec):
        if place.changes:
            way = _way(spec, shortcut) or "subsampled, " * (place.stride == 2) + "padded with zeros"
            shape = f"{place.in_maps} to {place.out_maps} maps, stride {place.stride}"
            changing.append(f"  {place.name}: {shape} ({way})")
        else:
            same += 1
    as_it_is = shortcut.summary if shortcut.changes_input or shortcut.weighs else "identity"
    keep = "1x1 convolution, BN" if shortcut.projects == "every" else as_it_is
    return [f"{same + len(changing)} shortcuts: {same} of unchanged shape ({keep})", *changing]


def _way(spec: RunSpec, shortcut: Shortcut) -> str:
    """Describe a shortcut that changes the shape; return nothing if it has no convolution."""
    if shortcut.projects != "order":
        return "1x1 convolution, BN" if shortcut.projects in ("change", "every") else ""
    steps = ORDERS[spec.order.name].load()(len(BLOCKS[spec.block.name].kernels))
    before = ", ".join({"B": "BN", "R": "ReLU"}[letter] for letter in steps.before)
    shared = f"{before} before both paths, " if before else ""
    return f"{shared}1x1 convolution{', BN' if steps.normalised else ''}"

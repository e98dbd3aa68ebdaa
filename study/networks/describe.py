"""A network in words, before it is built: its table of layers and its shortcuts. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from study.config.components import Shortcut
from study.config.registry import BLOCKS, DATA, ORDERS, SHORTCUTS
from study.config.run import RunSpec
from study.config.sweep import one
from study.networks.shape import Layer, large_stem, layers, stages


class Images(NamedTuple):
    """What a network is for."""

    size: int
    """Height and width in pixels."""
    channels: int
    classes: int


def run_of(words: Sequence[str]) -> RunSpec:
    """The run of `field=value` words: a ResNet-20, or the shallowest of the family, on images of the usual size unless a
    data set is named.

    Raises
    ------
    StudyError
        As `study.config.sweep.one`.
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


def images(spec: RunSpec) -> Images:
    """The images of a run's data set; of a folder, whose content only the folder tells, ImageNet's or CIFAR's."""
    entry = DATA[spec.data.name]
    large = "imagenet" in (spec.family.options.get("stem"), spec.family.options.get("head"))
    size = entry.size or spec.data.options.get("image_size") or (224 if large else 32)
    return Images(size, entry.channels, entry.classes or (1000 if large else 10))


def describe(spec: RunSpec) -> str:
    """The layer table in the manner of He et al. 2015, table 1, the totals, and the shortcuts."""
    about = images(spec)
    plan = list(layers(spec, about.channels, about.classes, about.size))
    rows = [("", "output", "layers", "parameters", "multiply-adds"), *_rows(spec, plan)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = [_aligned(row, widths) for row in rows]
    total, work = sum(layer.parameters for layer in plan), sum(layer.macs for layer in plan)
    depth = sum(not layer.beside for layer in plan)
    parts = [spec.title, f"{spec.block.name} blocks"]
    if spec.network == "residual":
        parts += [f"order {spec.order.name}", _shortcut_words(spec)]
    heading = ", ".join(parts)
    sums = [f"{depth} weighted layers", f"{total:,} parameters", f"{_millions(work)} multiply-adds for an image"]
    pixels = f"{about.size}x{about.size}x{about.channels}, {about.classes:,} classes"
    return "\n".join([f"{heading}; images of {pixels}", "", *table, "", ", ".join(sums), *shortcuts(spec, plan)]) + "\n"


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell.ljust(w) if i < 3 else cell.rjust(w) for i, (cell, w) in enumerate(zip(cells, widths, strict=True))]
    return "  ".join(padded).rstrip()


def _shortcut_words(spec: RunSpec) -> str:
    if spec.shortcut is None:
        return "no shortcut"
    options = [f"{name} {value:g}" for name, value in spec.shortcut.options.items()]
    return f"shortcut {spec.shortcut.name} ({', '.join([SHORTCUTS[spec.shortcut.name].summary, *options])})"


def _rows(spec: RunSpec, plan: Sequence[Layer]) -> Iterator[tuple[str, str, str, str, str]]:
    """A row for the stem, each stage, and the head."""
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
    after = "; 2x2 max pool" if spec.family.name == "vgg" else ""
    return f"[{inner}{pooled}] x {stage.blocks}{after}{' /2' if stage.stride == 2 else ''}"


def _conv(layer: Layer) -> str:
    return f"{layer.kernel}x{layer.kernel}, {layer.out_maps}"


def _millions(count: int) -> str:
    return f"{count / 1e9:.2f} G" if count >= 1e9 else f"{count / 1e6:.2f} M"


def shortcuts(spec: RunSpec, plan: Sequence[Layer]) -> list[str]:
    """A line on each kind of shortcut connection; none for a plain network."""
    if spec.shortcut is None:
        return ["no shortcuts"]
    shortcut = SHORTCUTS[spec.shortcut.name]
    changing, same = [], 0
    maps = plan[0].out_maps
    for number, stage in enumerate(stages(spec), start=1):
        out = stage.maps * BLOCKS[spec.block.name].expansion
        for b in range(stage.blocks):
            if b == 0 and (stage.stride != 1 or out != maps):
                way = _way(spec, shortcut) or "subsampled, " * (stage.stride == 2) + "padded with zeros"
                changing.append(f"  stage{number}.block1: {maps} to {out} maps, stride {stage.stride} ({way})")
            else:
                same += 1
            maps = out
    as_it_is = shortcut.summary if shortcut.changes_input else "identity"
    keep = "1x1 convolution, BN" if shortcut.projects == "every" else as_it_is
    return [f"{same + len(changing)} shortcuts: {same} of unchanged shape ({keep})", *changing]


def _way(spec: RunSpec, shortcut: Shortcut) -> str:
    """What a shortcut that changes the shape does; empty where it has no convolution."""
    if shortcut.projects != "order":
        return "1x1 convolution, BN" if shortcut.projects in ("change", "every") else ""
    steps = ORDERS[spec.order.name].load()(len(BLOCKS[spec.block.name].kernels))
    before = ", ".join({"B": "BN", "R": "ReLU"}[letter] for letter in steps.before)
    shared = f"{before} before both paths, " if before else ""
    return f"{shared}1x1 convolution{', BN' if steps.normalised else ''}"

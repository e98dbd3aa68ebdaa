"""The parts of `gpu.py`: each checks or measures one thing on a GPU, and says in a line what follows from it.

Times are of whole turns between two synchronisations, after recording and warming up. What is compared takes turns in one
process; a ratio is the median over the rounds.
"""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from ceilings import measure
from harness import FIGURE_6, Train, alternate, median_ratio, noise, timed_steps
from loops import TEXTBOOK, textbook
from surface import Case, ours
from torch import Tensor, nn

from study.config.identity import run_id
from study.config.run import RunSpec
from study.config.sweep import Value, resolve
from study.data import ImageSet, load
from study.networks.shape import needed
from study.store import runs as store
from study.store.layout import RunFiles
from study.store.tables import read_table
from study.training.engine import engine
from study.training.feeds.images import Images
from study.training.lane import Lane
from study.training.pack import train_pack
from study.training.precision import backends
from study.training.program import Program
from study.training.session import Progress, Session, Tuning

PRECISIONS = ("fp32", "tf32", "bf16")
Found = tuple[dict[str, Any], list[str]]
"""Numbers by their names, and lines that say what follows from them."""


class Bench:
    """The device, the images, and networks in training; `tiny` makes everything small enough for a CPU."""

    def __init__(self, device: torch.device, tiny: bool, data_root: Path | None) -> None:
        self.device, self.tiny = device, tiny
        self.ten = FIGURE_6[-2:] if tiny else FIGURE_6
        if tiny:
            torch.set_num_threads(1)
        if data_root is None:
            self.data = noise(200, 100) if tiny else noise(50_000, 10_000)
        else:
            found = load("image_folder", data_root, folder="cifar10-jpeg", image_size=32)
            assert isinstance(found, ImageSet)
            self.data = found
        self.rounds, self.turn, self.few = (2, 0.0, 2) if tiny else (7, 0.3, 32)

    @cached_property
    def images(self) -> Images:
        return Images(self.data, self.device)

    def spec(self, depth: int = 20, network: str = "residual", precision: str = "fp32", **fields: Any) -> RunSpec:
        """A run of He et al. 2015's recipe, as `fig6.yaml` has it; `recipe__log_every=10` sets a field of the recipe."""
        tiny = {"depth": 8, "recipe.batch_size": 16} if self.tiny else {}
        named = {"network": network, "depth": depth, "precision": precision, "data": "cifar10", "seed": 0}
        fields = {name.replace("__", "."): value for name, value in fields.items()}
        given = {**named, "recipe": "he2015_cifar", **tiny, **fields}
        return resolve({name: Value(value, "gpu.py") for name, value in given.items()})

    def train(
        self,
        specs: Sequence[RunSpec],
        tuning: Tuning = Tuning(),  # noqa: B008 -- it is immutable
        change: Callable[[Program], None] = lambda program: None,
    ) -> Train:
        """Training of networks side by side, recorded and warmed up."""
        context = partial(backends, {specs[0].precision}, self.device, tuning.deterministic)

        def train(steps: int) -> float:
            with context():
                return timed(steps)

        with context():
            timed = timed_steps(list(specs), self.images, tuning, change)
        return train

    def losses(self, specs: Sequence[RunSpec], images: Images, steps: int, tuning: Tuning) -> list[list[float]]:
        """The loss of each step of each network, side by side."""
        with backends({specs[0].precision}, images.device, tuning.deterministic):
            lanes = [Lane(spec, None, images) for spec in specs]  # type: ignore[arg-type]  # writes nothing
            runner, found = engine([lane.program for lane in lanes], tuning), []
            for _ in range(steps):
                for lane in lanes:
                    lane.prepare()
                    lane.program.loss.zero_()
                runner.steps(1)
                for lane in lanes:
                    lane.iteration += 1
                found.append([float(lane.program.loss) for lane in lanes])
        return found

    def sweep(self, results: Path, specs: Sequence[RunSpec], **session: Any) -> list[list[str]]:
        """Train runs side by side as a sweep does, from where they are; return their curves without times."""
        runs = [(spec, RunFiles(results / run_id(spec))) for spec in specs]
        for spec, files in runs:
            store.write_spec(files, spec)
        train_pack(runs, self.data, Session(device=self.device, **session))
        rows = [read_table(files.curves).to_pylist() for _, files in runs]
        return [[repr([row[k] for k in ("iteration", "split", "loss", "error")]) for row in part] for part in rows]


def far_apart(ours: list[list[float]], theirs: list[list[float]]) -> float:
    """Largest relative difference of losses. Raises `ValueError` if one is not finite."""
    pairs = [(a, b) for x, y in zip(ours, theirs, strict=True) for a, b in zip(x, y, strict=True)]
    if not all(map(math.isfinite, (value for pair in pairs for value in pair))):
        raise ValueError(f"a loss is not finite: {ours}, {theirs}")
    return max(abs(a - b) / b for a, b in pairs)


# -- correctness ------------------------------------------------------------------------------------------------------------


def reference(bench: Bench) -> Found:
    """Samples equal the CPU's; the first losses of eager steps are within 1e-4 (fp32), 5e-3 (tf32) and 3e-2 (bf16)."""
    cpu, steps, eager = Images(bench.data, torch.device("cpu")), 3, Tuning(graphs=False)
    spec = partial(bench.spec, recipe__learning_rate=0.01)
    batches = []
    for images in (cpu, bench.images):
        lane = Lane(spec(), None, images)  # type: ignore[arg-type]
        lane.prepare()
        batches.append(images.batch(lane.program.draws(), 4)[0].cpu())
    assert torch.equal(*batches), "the samples differ from the CPU's"
    theirs = bench.losses([spec()], cpu, steps, eager)
    found = {p: far_apart(bench.losses([spec(precision=p)], bench.images, steps, eager), theirs) for p in PRECISIONS}
    wrong = [p for p, most in zip(PRECISIONS, (1e-4, 5e-3, 3e-2), strict=True) if not found[p] < most]
    assert not wrong, f"losses differ from the CPU's by {found}"
    said = ", ".join(f"{off:.1e} in {precision}" for precision, off in found.items())
    return found, [f"eager steps: samples equal the CPU's, losses within {said} -> sound"]


def recorded(bench: Bench) -> Found:
    """Recorded steps give the losses of eager ones: bit for bit, or within 1e-3 over 25 steps."""
    found, steps = {}, 3 if bench.tiny else 25
    for precision in PRECISIONS:
        fields = {"precision": precision, "recipe__learning_rate": 0.01}
        pair = [bench.spec(network="plain", **fields), bench.spec(56, **fields)]
        eager = bench.losses(pair, bench.images, steps, Tuning(graphs=False))
        found[precision] = far_apart(bench.losses(pair, bench.images, steps, Tuning(steps_per_graph=1)), eager)
    assert all(off < 1e-3 for off in found.values()), f"recorded steps are off by {found}"
    said = ", ".join(
        f"{precision} {'bit for bit' if off == 0 else f'within {off:.1e}'}" for precision, off in found.items()
    )
    return found, [f"recorded steps: as eager ones, {said} -> sound"]


def packed(bench: Bench) -> Found:
    """Curves are the same bit for bit alone, in a pack with one that diverges, and stopped and resumed."""
    steps, batch = (12, 16) if bench.tiny else (200, 128)
    short = {
        "recipe__iterations": steps,
        "recipe__schedule__at": [5],
        "recipe__log_every": 4,
        "recipe__batch_size": batch,
    }
    make = partial(bench.spec, **short, recipe__evaluate_every=steps // 2)
    specs = [make(network="plain"), make(), make(seed=1)]
    wild = make(network="plain", recipe__learning_rate=1e30)
    taken = [0]
    stopping = {"stopped": lambda: taken[-1] >= steps // 2, "report": lambda progress: taken.append(progress.iteration)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        alone = [bench.sweep(folder / "alone", [spec])[0] for spec in specs]
        *pack, diverged = bench.sweep(folder / "pack", [*specs, wild])
        [part] = bench.sweep(folder / "again", specs[1:2], **stopping)
        [again] = bench.sweep(folder / "again", specs[1:2])
    assert len(part) < len(again), "the run was not stopped"
    assert pack == alone, "a lane's numbers in a pack are not its numbers alone"
    assert again == alone[1], "a run that was stopped has another curve"
    assert "nan" in diverged[-1] or "inf" in diverged[-1], "the lane that should diverge did not"
    return {"steps": steps}, [
        f"packs: {steps} steps and evaluations as alone, and as stopped and resumed, bit for bit -> sound"
    ]


# -- speed ------------------------------------------------------------------------------------------------------------------


def resnet_20(bench: Bench) -> Found:
    """ResNet-20 alone, recorded and eager, against the textbook loop (goal: 10x)."""
    with textbook(TEXTBOOK, bench.spec().depth, bench.device.type) as loop:
        trains: dict[str, Train] = {"textbook": loop.train}
        trains |= {p: bench.train([bench.spec(precision=p, recipe__bn_groups=1)]) for p in PRECISIONS}
        trains["eager fp32"] = bench.train([bench.spec(recipe__bn_groups=1)], Tuning(graphs=False))
        seconds = alternate(trains, bench.rounds, bench.turn, bench.few)
    numbers = {f"{name}, ms a step": 1e3 * statistics.median(found) for name, found in seconds.items()}
    ratios = {name: median_ratio(seconds["textbook"], found) for name, found in seconds.items() if name != "textbook"}
    graphs = median_ratio(seconds["eager fp32"], seconds["fp32"])
    reached = "reached" if ratios["fp32"] >= 10 else "missed"
    lines = [
        f"ResNet-20: {', '.join(f'{r:.1f}x in {name}' for name, r in ratios.items())} of the textbook loop (10x {reached})"
    ]
    lines.append(
        f"graphs: recorded steps are {graphs:.1f}x of eager ones -> {'keep' if graphs > 1.02 else 'drop'} graphs"
    )
    return numbers | {f"{name}, over textbook": ratio for name, ratio in ratios.items()}, lines


def figure_6(bench: Bench) -> Found:
    """Figure 6's ten networks as one pack, trained as by a sweep for 2,000 steps; the time of 64,000; memory."""
    half = 8 if bench.tiny else 1000
    fields = {"recipe__iterations": 2 * half, "recipe__evaluate_every": half, "recipe__schedule__at": [half]}
    specs = [bench.spec(depth, network, **fields) for network, depth in bench.ten]
    marks, began = {0: 0.0}, time.perf_counter()

    def report(progress: Progress) -> None:
        marks.setdefault(progress.iteration, time.perf_counter() - began)

    with tempfile.TemporaryDirectory() as name:
        bench.sweep(Path(name), specs, report=report)
    first, second = marks[half], marks[2 * half] - marks[half]
    numbers = {"first thousand steps, s": first, "second thousand steps, s": second}
    if bench.device.type == "cuda":
        taken, estimate = torch.cuda.max_memory_reserved(), sum(map(needed, specs))
        numbers |= {"memory, GiB": taken / 2**30, "memory over its estimate": taken / estimate}
    ceilings = measure(bench.device)
    numbers |= {f"{p} product, TFLOP/s": rate / 1e12 for p, rate in ceilings.flops.items()}
    numbers |= {"copy, TB/s": ceilings.copy / 1e12, "launch in a graph, us": ceilings.launch * 1e6}
    minutes = (first + 63 * second) / 60
    numbers |= {"64,000 steps, minutes": minutes, "floor of 64,000 steps, minutes": 64_000 * ceilings.floor(specs) / 60}
    lines = [f"figure 6: 64,000 steps of all ten networks take {minutes:.1f} minutes, one seed, as fig6.yaml has them"]
    if "memory, GiB" in numbers:
        over = numbers["memory over its estimate"]
        lines.append(f"memory: {over:.2f}x of the estimate -> {'keep' if 0.5 < over <= 1 else 'change'} the estimate")
    return numbers, lines


def surface(bench: Bench) -> Found:
    """Points of the surface of ResNet-56 on all training images, recorded and eager."""
    count = len(bench.data.train_images)
    options = Namespace(
        device=bench.device.type, images=count, run=None, network="residual", depth=bench.spec(56).depth
    )
    case, seconds, losses = Case(options), {}, {}
    ways = {f"recorded {p}": (p, True) for p in PRECISIONS} | {"eager fp32": ("fp32", False)}
    points = {name: ours(case, precision, graph) for name, (precision, graph) in ways.items()}
    for turn in range(-1, bench.rounds):  # the first records
        for name, way in points.items():
            with backends({ways[name][0]}, bench.device, deterministic=True):
                if turn < 0:
                    next(way)
                began = time.perf_counter()
                losses[name] = way.send((0.02 * turn, -0.01 * turn))
                seconds.setdefault(name, []).append(time.perf_counter() - began)
    seconds = {name: found[1:] for name, found in seconds.items()}
    base = seconds["eager fp32"]
    numbers: dict[str, Any] = {f"{name}, s a point": statistics.median(found) for name, found in seconds.items()}
    numbers |= {f"{name}, loss off eager fp32": abs(losses[name] - losses["eager fp32"]) for name in losses}
    assert numbers["recorded fp32, loss off eager fp32"] < 1e-4, f"losses of a point differ: {losses}"
    hours = 51 * 51 * statistics.median(seconds["recorded fp32"]) * 50_000 / count / 3600
    ratio = median_ratio(base, seconds["recorded fp32"])
    choice = "keep" if ratio > 0.98 else "drop"
    lines = [f"surface of ResNet-56: 51 x 51 points of 50,000 images take {hours:.2f} h in fp32"]
    lines.append(f"recorded points: {ratio:.2f}x of eager ones -> {choice} the recording")
    return numbers | {"51 x 51 points of 50,000 images, h": hours}, lines


# -- choices ----------------------------------------------------------------------------------------------------------------


Sets = Iterable[tuple[str, dict[str, Train]]]
"""Networks, and the ways to train them: the default first."""


def compare(bench: Bench, name: str, sets: Sets, limit: float = 1.02, decided: str | None = None) -> Found:
    """Compare ways to train with the default, which stays unless one is faster by more than `limit` and by more than noise.

    Noise is the distance between the quartiles of the default's times; `decided` says what happens whatever is fastest.
    """
    numbers: dict[str, Any] = {}
    speeds: dict[str, list[float]] = {}
    for networks, trains in sets:
        seconds = alternate(trains, bench.rounds, bench.turn, bench.few)
        numbers[networks] = {f"{way}, ms a step": 1e3 * statistics.median(found) for way, found in seconds.items()}
        default, *others = seconds
        low, middle, high = statistics.quantiles(seconds[default], n=4)
        limit = max(limit, 1 + (high - low) / middle)
        for way in others:
            speeds.setdefault(way, []).append(median_ratio(seconds[default], seconds[way]))
            numbers[networks][f"{way}, speed over {default}"] = speeds[way][-1]
    means = {way: statistics.geometric_mean(found) for way, found in speeds.items()}
    best = max(means, key=lambda way: means[way])
    said = ", ".join(f"{way} is {' and '.join(f'{speed:.2f}' for speed in found)}x" for way, found in speeds.items())
    choice = decided or (f"take {best}" if means[best] > limit else f"keep {default}")
    return numbers, [f"{name}: {said} of {default} ({'; '.join(numbers)}) -> {choice}"]


def ways(bench: Bench, each: dict[str, dict[str, Any]], **how: Callable[[str], Any]) -> Sets:
    """Networks on which choices are measured, small ones alone and a pack; each way has fields of its own."""
    pack = [(network, depth) for depth in (20, 56) for network in ("plain", "residual")]
    for name, networks in (("ResNet-20 alone", pack[1:2]), ("plain and residual, 20 and 56", pack)):
        yield (
            name,
            {
                way: bench.train(
                    [bench.spec(depth, network, **fields) for network, depth in networks],
                    **{argument: choose(way) for argument, choose in how.items()},
                )
                for way, fields in each.items()
            },
        )


def serial(bench: Bench) -> Found:
    """Figure 6's ten networks as one pack against one after another."""
    specs = [bench.spec(depth, network) for network, depth in bench.ten]
    each = [bench.train([spec]) for spec in specs]
    trains = {"a pack": bench.train(specs), "one after another": lambda steps: sum(train(steps) for train in each)}
    return compare(bench, "packs", [("ten networks", trains)])


def precision(bench: Bench) -> Found:
    """tf32 and bf16 against fp32."""
    decided = "fp32 stays the default; precision_gate.yaml tests what bf16 changes"
    return compare(bench, "precision", ways(bench, {p: {"precision": p} for p in PRECISIONS}), decided=decided)


def steps_per_graph(bench: Bench) -> Found:
    """Steps in a graph."""
    choices = {f"{n}": Tuning(steps_per_graph=n) for n in dict.fromkeys((Tuning().steps_per_graph, 1, 2, 8, 16))}
    return compare(bench, "steps per graph", ways(bench, {n: {} for n in choices}, tuning=choices.__getitem__))


def batch_norm(bench: Bench) -> Found:
    """BN over parts of a batch and over all; other norms."""
    each = {"BN in 2 parts": {}, "BN of the batch": {"recipe__bn_groups": 1}}
    each |= {f"norm {norm}": {"norm": norm, "recipe__bn_groups": 1} for norm in ("group", "none")}
    return compare(bench, "BN", ways(bench, each), decided="a recipe decides; he2015_cifar keeps the paper's 2 parts")


def bn_kernels(bench: Bench) -> Found:
    """BN by torch's own kernels against cuDNN's."""
    changes = {"cuDNN's": lambda program: None, "torch's": without_cudnn}
    return compare(bench, "BN kernels", ways(bench, {k: {} for k in changes}, change=changes.__getitem__))


def any_order(bench: Bench) -> Found:
    """Sums in any order against deterministic ones; a run that repeats bit for bit may cost 10 %."""
    choices = {"deterministic": Tuning(), "any order": Tuning(deterministic=False)}
    return compare(bench, "sums", ways(bench, {k: {} for k in choices}, tuning=choices.__getitem__), limit=1.1)


def without_cudnn(program: Program) -> None:
    """Have torch's own kernels compute BN."""

    def forward(module: nn.BatchNorm2d, x: Tensor) -> Tensor:
        with torch.backends.cudnn.flags(enabled=False):
            return nn.BatchNorm2d.forward(module, x)

    for module in program.network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.forward = partial(forward, module)  # type: ignore[method-assign]


class Part(NamedTuple):
    """One thing to find out."""

    name: str
    seconds: float
    """Expected on an H100 or H200, without the start of its process."""
    work: Callable[[Bench], Found]

    @property
    def what(self) -> str:
        """What it does."""
        return (self.work.__doc__ or "").split(";")[0].split("\n")[0].rstrip(".")


PARTS = [
    Part("reference", 15, reference), Part("recorded", 20, recorded), Part("packed", 40, packed),
    Part("resnet_20", 50, resnet_20), Part("figure_6", 110, figure_6), Part("surface", 50, surface),
    Part("serial", 90, serial), Part("precision", 40, precision), Part("steps_per_graph", 60, steps_per_graph),
    Part("batch_norm", 50, batch_norm), Part("bn_kernels", 30, bn_kernels), Part("any_order", 30, any_order),
]  # fmt: skip

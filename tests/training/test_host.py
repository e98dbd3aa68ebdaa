"""What a CUDA graph records of a step, an evaluation and a point of a surface needs no host.

No GPU is needed: the programs live on the device `meta`, whose tensors have no values, and run under `FakeTensorMode`. What
CUDA forbids in a recording (torch's notes on CUDA semantics, NVIDIA's checklist for graphs in PyTorch), and what notices it:

- waiting for the device (`item`, `tolist`, `bool`), shapes that hang on values (`nonzero`, a mask as index): `FakeTensorMode`
- a tensor made on the host, copied from it or to it; random numbers, whose generator no checkpoint holds: `Recording`
- a number, a shape or a branch of Python that changes from step to step: each replay must repeat the recorded operations
- state that a step replaces instead of changing, or that the warm-up cannot undo: `held`, `Program.changing`

Found by reading alone: each program has one stream, which forks from the recording one and joins it; nothing between queries an
event or pins memory (`Program.load_window` does, before a step); cuDNN tries no algorithms; `torch.autograd.grad` leaves no node
of the recorded backward pass behind; images that come from files are never recorded.
"""

from functools import cache
from itertools import count, zip_longest

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
)
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from study import data
from study.config.identity import run_id
from study.config.registry import ACTIVATIONS, NORMS, OPTIMIZERS, ORDERS, SCHEDULES, SHORTCUTS
from study.config.surface import Surface
from study.config.use import use
from study.data.images import image_set
from study.measure.surface.evaluate import Evaluator
from study.measure.surface.flat import Flat
from study.measure.surface.plane import Plane
from study.networks.network import build
from study.training.engine import Eager, Graphs
from study.training.feeds.images import Images
from study.training.feeds.stream import Stream
from study.training.lane import Lane
from study.training.session import never
from tests.helpers import make_folder, make_spec, slow, tiny_images
from tests.networks.test_cures import CURES

META = torch.device("meta")
SMALL = {"block": "single", "depth": 5, "recipe__batch_size": 16}
FIELDS = ("shortcut", "order", "norm", "activation", "recipe__optimizer", "recipe__schedule")
COUNT = count()


@cache
def fake():
    return FakeTensorMode(allow_non_fake_inputs=True)


def tensors(value):
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, torch.Tensor)]


class Recording(TorchDispatchMode):
    """Refuses what needs the host; keeps the operations, with all numbers and shapes, and the storages written to."""

    def __init__(self, uploads=False):
        super().__init__()
        self.uploads, self.operations, self.written = uploads, [], set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        # torch's fused optimisers write and return nothing, and have no version for `meta`.
        out = None if func.__name__.startswith("_fused_") else func(*args, **(kwargs or {}))
        devices = {tensor.device for tensor in tensors((args, kwargs, out))}
        if self.uploads and devices == {torch.device("cpu")}:
            return out
        assert torch.Tag.nondeterministic_seeded not in func.tags, f"{func}: a random number"
        uploaded = self.uploads and (kwargs or {}).get("non_blocking")
        assert devices <= {META} or uploaded, f"{func}: a tensor on the host"
        known = [tuple(x.shape) if isinstance(x, torch.Tensor) else x for x in tree_leaves((args, kwargs, out))]
        self.operations.append((str(func), known))
        for argument, value in zip(func._schema.arguments, args, strict=False):
            if argument.alias_info is not None and argument.alias_info.is_write:
                self.written |= {storage(tensor) for tensor in tensors(value) if type(tensor) is not FakeTensor}
        return out


def storage(tensor):
    return tensor.untyped_storage()._cdata


class FromPython(TorchFunctionMode):
    """Refuses tensors made of Python's numbers, which a GPU would fetch from the host."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        assert func not in (torch.tensor, torch.as_tensor, torch.from_numpy), f"{func}: a tensor on the host"
        return func(*args, **(kwargs or {}))


class Recorder:
    """Stands for `Cuda`: a replay does the work again, which must consist of the recorded operations."""

    def __init__(self):
        self.written, self.recording = set(), False

    def side_by_side(self, programs, work):
        for program in programs if self.recording else ():  # the warm-up does the same work
            work(program)

    def record(self, work):
        first = self.operations(work)

        def replay():
            assert self.operations(work) == first, "another step does other operations"

        return replay

    def operations(self, work):
        self.recording = True
        with FromPython(), fake(), Recording() as recording:
            work()
        self.recording = False
        self.written |= recording.written
        return recording.operations


def lanes_of(*fields, images=None, device=META):
    feed = Images(images or tiny_images(train=520), device)
    return [Lane(make_spec(**SMALL | each), None, feed) for each in fields]


def play(lanes):
    """Record and replay steps and evaluations; return the storages that they wrote to."""
    recorder, programs = Recorder(), [lane.program for lane in lanes]
    graphs = Graphs(programs, 1, recorder)
    for lane in lanes:
        lane.prepare()
    graphs.steps(1)
    for lane in lanes:
        lane.iteration = 40  # in another window, at another rate
        lane.prepare()
    graphs.steps(1)
    assert graphs.evaluate(programs, "train", never)
    return recorder.written


def held(program):
    """The tensors of a program, and of what belongs to it, by identity."""
    network, feed = program.network, program.images
    owned = [vars(program), program.optimizer.state, *network.named_parameters(), *network.named_buffers(), vars(feed)]
    return {id(tensor) for tensor in tensors(owned)}


RECIPES = [
    {"optimizer": "adam", "clip_norm": 1.0}, {"bn_groups": 2}, {"label_smoothing": 0.1, "decay": "weights"},
    {"mixup": 0.4, "cutmix": 1.0}, {"ema": 0.9}, {"stochastic_depth": 0.5}, {"pad": 0, "flip": False, "mean": "channel"},
]  # fmt: skip
CASES = [
    {"network": "plain", "precision": "bf16"}, {"block": "basic", "depth": 8, "zero_gamma": True},
    {"block": "bottleneck", "depth": 11, "precision": "bf16", "recipe__ema": 0.9},
    {"family": "imagenet", "block": "basic", "depth": 18},
    {"family": "vgg", "family.head": "cifar", "network": "plain", "block": None, "depth": 11},
    slow({"family": "vgg", "network": "plain", "block": None, "depth": 11}),
    *({f"recipe__{name}": value for name, value in recipe.items()} for recipe in RECIPES),
    *({"block": "basic", "depth": 8} | cure for cure in CURES if cure.get("initialisation") != "lsuv"),  # which reads images
    *(
        {field: name for field, name in zip(FIELDS, names, strict=True) if name}
        for names in zip_longest(SHORTCUTS, ORDERS, NORMS, sorted(ACTIVATIONS.keys() - {"crelu"}), OPTIMIZERS, SCHEDULES)
    ),
]  # fmt: skip


@pytest.mark.parametrize("fields", CASES, ids=str)
def test_graphs_need_no_host_and_change_their_state_in_place(fields):
    size = 64 if "family" in fields else 8
    [lane] = lanes_of(fields, images=tiny_images(train=520, size=size))
    before = held(lane.program)
    written = play([lane])
    assert held(lane.program) == before
    assert written <= {storage(tensor) for tensor in lane.program.changing()}


def test_graphs_of_a_pack_on_float_images_need_no_host():
    images = np.zeros((520, 8, 8, 1), np.float32), np.arange(520) % 10
    floats = image_set("floats", images, images, tuple("0123456789"))
    play(lanes_of({}, {"recipe__optimizer": "lars", "recipe__ema": 0.5}, {"shortcut": "dropout"}, images=floats))


@pytest.mark.parametrize("spoil, error", [
    (lambda program: program.loss.item(), DataDependentOutputException),
    (lambda program: bool(program.wrong > 0), DataDependentOutputException),
    (lambda program: program._rates[program._rates > 0], DynamicOutputShapeException),
    (lambda program: program.loss.cpu(), "tensor on the host"),
    (lambda program: program.loss.add_(torch.ones(())), "tensor on the host"),
    (lambda program: program.loss.add_(torch.tensor(1.0, device=META)), "tensor on the host"),
    (lambda program: torch.rand_like(program.loss), "random number"),
    (lambda program: program.loss.mul_(next(COUNT)), "other operations"),
], ids=["item", "bool", "mask", "cpu", "host", "python", "random", "counter"])  # fmt: skip
def test_what_needs_the_host_is_noticed(spoil, error):
    [lane] = lanes_of({})
    step = lane.program.step
    lane.program.step = lambda: (step(), spoil(lane.program))
    text, kind = (error, AssertionError) if isinstance(error, str) else (None, error)
    with pytest.raises(kind, match=text):
        play([lane])


def test_state_that_is_replaced_or_cannot_be_restored_is_noticed():
    [lane] = lanes_of({})
    program, before = lane.program, held(lane.program)
    step = program.step
    program.step = lambda: (step(), setattr(program, "loss", program.loss + 1), program.images.mean.add_(1))
    known = {storage(tensor) for tensor in program.changing()}
    assert play([lane]) - known == {storage(program.images.mean)}
    assert held(program) != before


OWN = """
from torch import nn
import study

@study.family
def counting(depth: int, residual: bool, channels: int, classes: int, size: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(size**2), nn.Linear(size**2, classes))
"""


def test_a_network_of_the_users_own_needs_no_host_and_its_counters_have_no_means(tmp_path):
    (tmp_path / "mine.py").write_text(OWN)
    use("mine.py", tmp_path)
    fields = {"family": "counting", "recipe__ema": 0.9}
    play(lanes_of(fields))
    [lane] = lanes_of(fields, device=torch.device("cpu"))
    lane.prepare()
    lane.program.step()


def test_streamed_images_are_uploaded_without_waiting(tmp_path):
    make_folder(tmp_path / "toy")
    fields = {"data": "image_stream", "data.folder": "toy", "data.image_size": 16, "recipe__pad": 0}
    spec = make_spec(**SMALL | fields, recipe__colour="pca", recipe__bn_groups=2)
    lane = Lane(spec, None, Stream(data.load("image_stream", tmp_path, folder="toy", image_size=16), spec.recipe, META))
    lane.prepare()
    with Recording(uploads=True):
        Eager([lane.program]).steps(1)
        assert Eager([lane.program]).evaluate([lane.program], "test", never)


@pytest.mark.parametrize("bn", ["frozen", "recalibrated"])
def test_a_point_of_a_surface_needs_no_host(bn):
    spec, feed, recorder = make_spec(**SMALL), Images(tiny_images(), META), Recorder()
    flat = Flat(build(spec, 1, 10, 8))
    plane = Plane(torch.zeros(flat.size), torch.zeros(2, flat.size), ((-1.0, 1.0),) * 2, "", 1)
    evaluator = Evaluator(Surface.model_validate({"run": run_id(spec), "bn": bn}), spec, plane, feed)
    recorder.record(evaluator._eager)()

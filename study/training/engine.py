"""How the programs of a pack run: one operation after another, or as CUDA graphs with a branch per program.

A small network alone is bound by launching its operations, not by arithmetic. A graph launches a whole step at once,
and its branches let the networks of a pack fill the device together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from study.training.feeds.feed import EVALUATION_BATCH
from study.training.program import Program
from study.training.session import Tuning


class Eager:
    """One operation after another: the reference; used on CPUs, for several ranks and for streamed images."""

    stride = 1
    """The most steps between two questions to the host, such as whether to stop."""

    def __init__(self, programs: Sequence[Program]) -> None:
        self.programs = programs

    def steps(self, count: int) -> None:
        """Take `count` steps of each program."""
        for program in self.programs:
            for _ in range(count):
                program.step()

    def evaluate(self, programs: Sequence[Program], source: str, stopped: Callable[[], bool]) -> bool:
        """Evaluate some of the programs on `train` or `test`; return False if `stopped` cut it short."""
        for program in programs:
            program.begin_evaluation()
            ranks = program.ranks
            for images, labels in program.images.every(source, ranks.rank, ranks.size):
                if ranks.size == 1 and stopped():  # several ranks stop together, later
                    return False
                program.evaluate_batch(images, labels)
        return True


class Cuda:
    """Records CUDA graphs, in which each program has its own stream and so its own branch.

    The graphs share their memory: they run one after another, and no allocation in one outlives it.
    """

    def __init__(self, programs: Sequence[Program]) -> None:
        self._recording, *streams = _streams(torch.cuda.current_device(), 1 + len(programs))
        self._stream = {id(program): stream for program, stream in zip(programs, streams, strict=True)}
        self._pool = torch.cuda.graph_pool_handle()

    def side_by_side(self, programs: Sequence[Program], work: Callable[[Program], None]) -> None:
        """Do the work of all programs concurrently; later work waits for it."""
        here = torch.cuda.current_stream()
        begun = []
        try:
            for program in programs:
                stream = self._stream[id(program)]
                stream.wait_stream(here)
                begun.append(stream)
                with torch.cuda.stream(stream):
                    work(program)
        finally:  # a recording that fails must be completed, or CUDA hides why it failed
            for stream in begun:
                here.wait_stream(stream)

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Return a function that does the work; recording does not do it."""
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=self._recording):
            work()
        return graph.replay


_made: dict[int, list[torch.cuda.Stream]] = {}


def _streams(device: int, count: int) -> list[torch.cuda.Stream]:
    """Return `count` streams of a device, always the same: torch has 32 in rotation, two branches on one would wait for
    each other, and each used stream keeps a cuBLAS workspace."""
    streams = _made.setdefault(device, [])
    while len(streams) < count:
        streams.append(torch.cuda.Stream(device))  # type: ignore[no-untyped-call]
    return streams[:count]


class Graphs:
    """Graphs of a pack's steps and evaluations, recorded when first needed."""

    stride = 32

    def __init__(self, programs: Sequence[Program], steps_per_graph: int, recorder: Cuda) -> None:
        self.programs, self.steps_per_graph, self.recorder = programs, steps_per_graph, recorder
        self._recorded: dict[tuple[object, int], Callable[[], None]] = {}
        self._warm: set[object] = set()

    def steps(self, count: int) -> None:
        whole, rest = divmod(count, self.steps_per_graph)
        for _ in range(whole):
            self._play(self.programs, "step", lambda program: program.step(), self.steps_per_graph)
        for _ in range(rest):
            self._play(self.programs, "step", lambda program: program.step())

    def evaluate(self, programs: Sequence[Program], source: str, stopped: Callable[[], bool]) -> bool:
        for program in programs:
            program.begin_evaluation()
        whole, rest = divmod(programs[0].images.count(source), EVALUATION_BATCH)
        for _ in range(whole):
            if stopped():
                return False
            self._play(programs, source, lambda program: program.evaluate_next(source))
        if rest and stopped():
            return False
        for program in programs if rest else ():
            program.evaluate_next(source, rest)
        return True

    def _play(self, programs: Sequence[Program], name: str, work: Callable[[Program], None], times: int = 1) -> None:
        def repeated(program: Program) -> None:
            for _ in range(times):
                work(program)

        what = (name, *map(id, programs))
        if (what, times) not in self._recorded:
            if what not in self._warm:
                self._warm_up(programs, work)
                self._warm.add(what)
            self._recorded[what, times] = self.recorder.record(lambda: self.recorder.side_by_side(programs, repeated))
        self._recorded[what, times]()

    def _warm_up(self, programs: Sequence[Program], work: Callable[[Program], None]) -> None:
        """Do the work, so that libraries choose their algorithms before the recording; then undo it."""
        before = [(tensor, tensor.clone()) for program in programs for tensor in program.changing()]
        for _ in range(2):
            self.recorder.side_by_side(programs, work)
            for tensor, value in before:
                tensor.copy_(value)


Engine = Eager | Graphs
"""Runs the programs of a pack side by side."""


def engine(programs: Sequence[Program], tuning: Tuning) -> Engine:
    """Choose the engine: graphs on a GPU, unless several ranks exchange gradients or images come from files."""
    first = programs[0]
    recordable = all(program.images.recordable for program in programs)
    if first.images.device.type == "cuda" and first.ranks.size == 1 and recordable and tuning.graphs:
        return Graphs(programs, tuning.steps_per_graph, Cuda(programs))
    return Eager(programs)

"""A sweep of a second, to be disturbed at every operation, and its results when it is left alone."""

from __future__ import annotations

from collections import Counter

from tests.faults import whole
from tests.faults.kills import kind_of
from tests.faults.warm import Warm

SMALL = """
fixed: {data: digits, network: plain, train_subset: 100, depth: 8, seed: 0, probes: [weights], probe_every: 6,
  snapshot_every: 6, recipe: {name: quick, iterations: 12, batch_size: 16, evaluate_every: 6, log_every: 3}}
surfaces:
  - {dims: 1, points: 2, data: train, subset: 32}
"""
WORDS = ("sweep", "tiny.yaml", "--threads", "1", "--checkpoint-seconds", "0")


class Undisturbed:
    """The results of a sweep, and how many operations of each kind it does on each kind of file."""

    def __init__(self, warm: Warm, text: str = SMALL) -> None:
        self.text = text
        self.folder = warm.layer.root / "undisturbed"
        whole.sweep_file(self.folder, text)
        warm.layer.arm()
        ended = warm.run(self.folder, *WORDS)
        assert ended.code == 0, ended.err
        self.whole, self.curves = whole.read(self.folder), whole.curves_of(self.folder)
        self.operations = Counter((kind_of(o.path), o.kind) for o in warm.layer.operations())

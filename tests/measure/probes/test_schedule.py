"""When a run is measured and its network kept; neither changes the training."""

import math
import time

import pytest
import torch

from study.config.registry import PROBES
from study.measure.probes.record import during
from study.store.runs import status
from study.store.tables import read_table
from study.training import checkpoint
from tests.helpers import SHORT, kept, long, make_spec, open_run, points, slow, stopping, train_runs

CPU = torch.device("cpu")
MEASURED = [name for name in PROBES if name != "hessian"]
"""But that one, which takes minutes."""
SOME = {
    "probes": ["responses", "weights", "batch_norm"], "probe_every": 3, "probe_images": 32, "snapshot_every": "epoch",
}  # fmt: skip
EPOCHS = [0, 3, 5, 8, 10, 12]  # 16 images a step, 40 an epoch


def rows(files):
    """What was measured, without the seconds; as text, in which NaN is itself."""
    return [tuple(repr(v) for k, v in row.items() if k != "seconds") for row in read_table(files.probes).to_pylist()]


def measured(files):
    """The iterations at which each probe measured."""
    taken = {(row["probe"], row["iteration"]) for row in read_table(files.probes).to_pylist()}
    return {probe: sorted(i for name, i in taken if name == probe) for probe in {name for name, _ in taken}}


def train(results, *specs, **options):
    """Train runs as a pack, with their probes."""
    return train_runs(results, *specs, **{"probe": during} | options)


def trained(files):
    """Everything that training made: the curve but for the run's id, weights, BN statistics and momentum."""
    state = checkpoint.load_newest(files, CPU)
    tensors = [*state["network"].values(), *state["optimizer"]["momentum"]]
    return [[point[1:] for point in points(files)], *(tensor.numpy().tobytes() for tensor in tensors)]


def everything(files):
    return rows(files), {path.name: path.read_bytes() for path in files.snapshots()}, trained(files)


# -- a probe changes nothing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"shortcut": "dropout", "order": "pre"},
        slow({"shortcut": "exclusive_gate", "precision": "bf16"}),
        slow({"recipe__bn_groups": 2, "block": "bottleneck", "depth": 11}),
        long({"network": "plain", "family": "vgg", "block": "single", "depth": 11, "family.head": "cifar"}),
    ],
    ids=lambda fields: next(iter(fields.values())),
)
def test_probes_do_not_change_the_training(tmp_path, fields):
    short = SHORT | {"block": "basic", "depth": 8, "recipe__iterations": 2}
    [bare] = train(tmp_path / "bare", make_spec(**short | fields))
    every = 2 if fields.get("family") == "vgg" else 1  # nine million weights
    [probed] = train(
        tmp_path / "probed", make_spec(**short | fields | SOME | {"probes": MEASURED, "probe_every": every})
    )
    assert trained(bare) == trained(probed)
    found = read_table(probed.probes).to_pylist()
    assert {row["probe"] for row in found} == set(MEASURED)
    assert all(math.isfinite(row["value"]) for row in found)


# -- when it measures -----------------------------------------------------------------------------------------------------


def test_probes_run_before_during_and_after_training(tmp_path):
    usual = make_spec(**SHORT, probes=["weights"])
    [files] = train(tmp_path, usual)
    assert measured(files) == {"weights": [0, 5, 10, 12]}  # as the evaluations, and at the start
    [files] = train(tmp_path / "every 7", make_spec(**SHORT, probes=["weights", "responses"], probe_every=7))
    assert measured(files) == {"responses": [0, 7, 12], "weights": [0, 7, 12]}
    counts = {row["probe"]: row["images"] for row in read_table(files.probes).to_pylist()}
    assert counts == {"responses": 32, "weights": 0}  # of the 40 there are, two batches; weights look at none
    [files] = train(tmp_path / "every 100", make_spec(**SHORT, probes="weights", probe_every=100))
    assert measured(files) == {"weights": [0, 12]}
    at_start = [row for row in read_table(files.probes).to_pylist() if row["measure"] == "distance"]
    assert {row["value"] for row in at_start if row["iteration"] == 0} == {0.0}
    assert all(row["value"] > 0 for row in at_start if row["iteration"] == 12)


def test_time_of_probes_is_not_training_time(tmp_path):
    spec, taken, began = make_spec(**SHORT, probes="weights", probe_every=2), [], time.perf_counter()
    [files] = train(tmp_path, spec, probe=lambda lane, stopped: time.sleep(0.5) or taken.append(0.5) or True)
    assert len(taken) == 7 and 0 < status(files).seal["seconds"] < time.perf_counter() - began - sum(taken)


def test_diverged_lane_is_not_measured(tmp_path):
    spec = make_spec(**SHORT, network="plain", recipe__learning_rate=1e30, probes=["weights"], probe_every=4)
    [files] = train(tmp_path, spec)
    assert measured(files) == {"weights": [0]}


# -- stopping and going on ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run without interruption."""
    torch.set_num_threads(1)
    return train(tmp_path_factory.mktemp("whole"), make_spec(**SHORT | SOME))[0]


@pytest.mark.parametrize("stop_at", [0, 3, slow(12)])
def test_resume_gives_equal_measurements_and_snapshots(tmp_path, stop_at, whole):
    spec = make_spec(**SHORT | SOME)
    [files] = train(tmp_path, spec, **stopping(stop_at))
    assert kept(files) == [i for i in EPOCHS if i <= stop_at]
    train(tmp_path, spec)
    assert everything(files) == everything(whole)


@pytest.mark.parametrize("checkpointed", [0, 4])
def test_measurements_and_snapshots_after_the_checkpoint_are_taken_again_after_a_kill(tmp_path, checkpointed, whole):
    spec = make_spec(**SHORT | SOME)

    def die(progress):
        if progress.iteration == 11:
            raise InterruptedError

    if checkpointed:
        train(tmp_path, spec, **stopping(checkpointed))
    with pytest.raises(InterruptedError):
        train(tmp_path, spec, report=die)
    files = open_run(tmp_path, spec)
    assert status(files).iteration == checkpointed
    assert max(measured(files)["weights"]) == 9 and kept(files) == EPOCHS[:-1]
    train(tmp_path, spec)
    assert everything(files) == everything(whole)


@pytest.mark.slow
def test_run_is_sealed_after_its_last_measurement(tmp_path, whole):
    spec, cut = make_spec(**SHORT | SOME), [False]

    def measure(lane, stopped):
        cut[0] = lane.iteration == 12
        return not cut[0] and during(lane)

    [files] = train(tmp_path, spec, stopped=lambda: cut[0], probe=measure)
    assert max(measured(files)["weights"]) == 9 and not files.done.exists()
    train(tmp_path, spec)
    assert everything(files) == everything(whole) and files.done.exists()

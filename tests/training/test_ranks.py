"""One run on one process and on several: the same samples, the same curves up to the order of sums."""

import multiprocessing
import socket
from pathlib import Path

import pytest
import torch

from study import data
from study.config.use import use
from study.store.runs import status
from study.training import checkpoint
from study.training.pack import train_pack
from study.training.ranks import Ranks
from study.training.session import Session, Tuning
from tests.helpers import PATIENCE, make_folder, make_spec, open_run, read_rows, stopping, tiny_images, train_runs

FIELDS = {
    "recipe__iterations": 8, "recipe__batch_size": 16, "recipe__evaluate_every": 4, "recipe__log_every": 3,
    "recipe__bn_groups": 2, "recipe__learning_rate": 0.01, "snapshot_every": 3,
    "shortcut": "dropout",  # its masks follow the images, wherever they are worked on
}  # fmt: skip
STREAM = FIELDS | {
    "data": "image_stream", "data.folder": "toy", "data.image_size": 16, "recipe__pad": 0, "recipe__scales": [20, 28],
    "recipe__colour": "pca",
}  # fmt: skip
CPU = torch.device("cpu")
RANKS = multiprocessing.get_context("forkserver")
"""Forks from a process that has only imported torch, so that ranks need not import it."""
RANKS.set_forkserver_preload(["pytest", "study.data", "study.training.pack"])


def _rank(rank, size, port, results, stop_at, fields, code):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=size)
    if code:
        use(code)
    spec = make_spec(**fields)
    chosen = spec.data
    images = (
        tiny_images() if chosen.name == "digits" else data.load(chosen.name, Path(results).parent, **chosen.options)
    )
    options = stopping(stop_at)
    stopped = options.pop("stopped")
    session = Session(
        ranks=Ranks(rank, size),
        tuning=Tuning(decoders=rank),  # as different as can be
        stopped=lambda: rank == size - 1 and stopped(),  # asked of one, obeyed by all
        **options,
    )
    train_pack([(spec, open_run(Path(results), spec))], images, session)
    torch.distributed.destroy_process_group()


def train(results, size, stop_at=100, fields=FIELDS, code=""):
    """Train the run with so many ranks, and a file of the user's own; it is stopped at a step, if told so."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ranks = [
        RANKS.Process(target=_rank, args=(r, size, port, str(results), stop_at, fields, code)) for r in range(size)
    ]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(PATIENCE)
        assert process.exitcode == 0


def curve(results, fields=FIELDS):
    """Loss and error at each point of the curve."""
    rows = read_rows(open_run(results, make_spec(**fields)).curves)
    return {(row["split"], row["iteration"]): (row["loss"], row["error"]) for row in rows}


def assert_close(results, fields=FIELDS, error=5.1):
    """The runs of one process and of two have the same curve; `error` percent is an image or two on the edge."""
    one, two = (curve(results / name, fields) for name in ("one", "two"))
    assert one.keys() == two.keys() and len(one) >= 7
    for point, (loss, wrong) in one.items():
        assert two[point] == (pytest.approx(loss, rel=1e-3), pytest.approx(wrong, abs=error))


def test_two_ranks_train_as_one_and_one_resumes_their_run(tmp_path):
    train(tmp_path / "one", 1)
    train(tmp_path / "two", 2, stop_at=5)
    files = open_run(tmp_path / "two", make_spec(**FIELDS))
    assert [path.name.split("-")[1] for path in files.checkpoints()] == ["00000005"]
    train(tmp_path / "two", 1)
    assert status(files).state == "done"
    assert_close(tmp_path)
    ways = [list(checkpoint.load_snapshots(open_run(tmp_path / n, make_spec(**FIELDS)), CPU)) for n in ("one", "two")]
    # Written by the first rank alone: the other's statistics differ, and would make another file.
    assert [[state["iteration"] for state in way] for way in ways] == [[0, 3, 6, 8]] * 2
    for ours, theirs in zip(*ways, strict=True):
        for name, tensor in ours["network"].items():
            torch.testing.assert_close(theirs["network"][name], tensor, atol=1e-3, rtol=1e-2)


@pytest.mark.slow
def test_two_ranks_train_on_streamed_images_as_one(tmp_path):
    make_folder(tmp_path / "toy", train=24, test=12)
    train(tmp_path / "one", 1, fields=STREAM)
    train(tmp_path / "two", 2, fields=STREAM, stop_at=5)
    train(tmp_path / "two", 2, fields=STREAM)
    assert_close(tmp_path, STREAM, error=8.4)


def test_bn_groups_change_the_result(tmp_path):
    runs = [train_runs(tmp_path, make_spec(**FIELDS | {"recipe__bn_groups": groups}))[0] for groups in (1, 2)]
    assert len({read_rows(files.curves)[-1]["loss"] for files in runs}) == 2


def test_ranks_share_all_parts_of_a_batch():
    for size in (1, 2, 4):
        shares = [part for rank in range(size) for part in Ranks(rank, size).share(4)]
        assert shares == [0, 1, 2, 3]

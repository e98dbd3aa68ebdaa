"""No step waits for the device: under fake tensors, which have no values, whatever asks for one raises."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from study.training.feeds.images import Images
from study.training.program import Program
from tests.helpers import make_spec, tiny_images
from tests.networks.test_cures import CURES


def faked(mode, value):
    """Tensors, and those in lists, tuples and mappings, without values."""
    if type(value) is torch.Tensor:
        return mode.from_tensor(value)
    if isinstance(value, list | tuple) and value and not hasattr(value, "_fields"):
        return type(value)(faked(mode, item) for item in value)
    if isinstance(value, dict):
        return {key: faked(mode, item) for key, item in value.items()}
    return value


def run_without_values(spec, spoil=None):
    """A step and an evaluation of a program whose state has no values."""
    images = Images(tiny_images(), torch.device("cpu"))
    program = Program(spec, images)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        for owner in (program, program.optimizer, images):
            for name, value in vars(owner).items():
                if name not in ("parameters", "_leaves", "_copied"):
                    setattr(owner, name, faked(mode, value))
        program.step()
        program.evaluate_next("train", 20)
        if spoil:
            spoil(program)


@pytest.mark.parametrize("fields", [
    {}, {"network": "plain"}, {"shortcut": "dropout"}, {"shortcut": "exclusive_gate"}, {"order": "pre"},
    {"block": "bottleneck", "depth": 11}, {"family": "vgg", "network": "plain", "depth": 11, "block": None},
    {"precision": "bf16"}, {"recipe__bn_groups": 2}, {"recipe__optimizer": "adam"}, {"recipe__optimizer": "adamw"},
    {"recipe__optimizer": "rmsprop"}, {"recipe__optimizer": "adagrad"}, {"recipe__optimizer": "lars"},
    {"recipe__clip_norm": 1.0}, {"recipe__decay": "weights"}, {"recipe__label_smoothing": 0.1},
    {"recipe__mixup": 0.4, "recipe__cutmix": 1.0}, {"recipe__ema": 0.9},
    {"recipe__stochastic_depth": 0.5}, {"norm": "group"}, {"norm": "none", "activation": "gelu"}, {"zero_gamma": True}, *CURES,
], ids=str)  # fmt: skip
def test_a_step_and_an_evaluation_ask_the_device_for_no_value(fields):
    run_without_values(make_spec(recipe__batch_size=16, **fields))


@pytest.mark.parametrize("spoil", [
    lambda program: program.loss.item(), lambda program: bool(program.wrong > 0),
    lambda program: float(program.optimizer.state["momentum"][0].sum()),
], ids=["item", "bool", "optimizer"])  # fmt: skip
def test_what_waits_for_the_device_is_noticed(spoil):
    with pytest.raises(DataDependentOutputException):
        run_without_values(make_spec(recipe__batch_size=16), spoil)

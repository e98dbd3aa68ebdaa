"""Whole networks: against torchvision's, against their plain twins, and their gradients."""

from __future__ import annotations

import pytest
import torch

from study.networks.network import build, structure
from tests.helpers import long, make_spec

CIFAR = {"data": "cifar10", "recipe": "he2015_cifar"}


def random_bn(network):
    """BN parameters and statistics other than those of the start, so that each of them matters."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(std=0.1)
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.5, 1.5)


def drawn(spec, classes, dtype=torch.float32):
    """A network of random weights of He's variance: by torch, for a seed's own take seconds for a hundred million."""
    with torch.device("meta"):
        network = structure(spec, 3, classes).to(dtype)
    network.to_empty(device="cpu")
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
                module.weight.normal_(std=(2 / module.weight[0].numel()) ** 0.5)
                if module.bias is not None:
                    module.bias.normal_(std=0.1)
            elif isinstance(module, torch.nn.BatchNorm2d):
                module.reset_running_stats()
    random_bn(network)
    return network


def torchvisions(name, network, **options):
    """Its network with copies of this one's weights, and zeros for the biases of convolutions, where it has any."""
    from torchvision import models  # late: it brings a compiler, and who collects tests need not wait for that

    with torch.device("meta"):
        theirs = getattr(models, name)(**options)
    biases = {f"{name}.bias": m.bias for name, m in theirs.named_modules() if isinstance(m, torch.nn.Conv2d)}
    zeros = {name: torch.zeros(bias.shape) for name, bias in biases.items() if bias is not None}
    names = [name for name in theirs.state_dict() if name not in zeros]
    values = [value.clone() for value in network.state_dict().values()]
    theirs.load_state_dict(zeros | dict(zip(names, values, strict=True)), assign=True)
    return theirs


@pytest.mark.parametrize("depth", [18, long(34), 50, long(101), long(152)])
def test_an_imagenet_network_computes_what_torchvisions_does(depth):
    stride = {"block.stride_in": "3x3"} if depth >= 50 else {}
    spec = make_spec(**CIFAR, family="imagenet", network="residual", shortcut="B", depth=depth, **stride)
    ours = drawn(spec, 1000, torch.float64)
    theirs = torchvisions(f"resnet{depth}", ours)
    images = torch.randn(2, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for mode in (False, True):
        ours.train(mode)
        theirs.train(mode)
        with torch.no_grad():
            torch.testing.assert_close(ours(images), theirs(images), rtol=0, atol=1e-10)
    # Training mode has moved the running statistics, of both in the same way.
    for value, other in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
        torch.testing.assert_close(value, other, rtol=0, atol=1e-10)


def test_a_bottleneck_with_its_stride_in_the_1x1_is_torchvisions_with_the_stride_moved():
    ours = drawn(make_spec(**CIFAR, family="imagenet", shortcut="B", depth=50), 1000, torch.float64).eval()
    theirs = torchvisions("resnet50", ours).eval()
    for stage in (theirs.layer2, theirs.layer3, theirs.layer4):
        stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
    images = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images), rtol=0, atol=1e-10)


@pytest.mark.parametrize("depth", [11, long(19)])
def test_a_vgg_computes_what_torchvisions_does_without_biases_and_dropout(depth):
    ours = drawn(make_spec(**CIFAR, network="plain", family="vgg", depth=depth), 10).eval()
    theirs = torchvisions(f"vgg{depth}_bn", ours, num_classes=10, init_weights=False).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = theirs(images)
        torch.testing.assert_close(ours(images), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_a_vgg_for_small_images_ends_in_one_linear_layer_on_the_pooled_maps():
    ours = build(make_spec(**CIFAR, network="plain", family="vgg", depth=19, family__head="cifar"), 3, 10).eval()
    x = images = torch.randn(2, 3, 32, 32)
    for stage in ours.stages:
        x = stage(x)
    assert x.shape == (2, 512, 1, 1)
    torch.testing.assert_close(ours(images), x.flatten(1) @ ours.head.weight.T + ours.head.bias)
    assert ours(torch.randn(2, 3, 8, 8)).shape == (2, 10)  # five halvings of eight pixels


def test_twins_have_the_same_state_and_differ_in_what_they_compute():
    plain = build(make_spec(**CIFAR, network="plain", depth=14), 3, 10).eval()
    residual = build(make_spec(**CIFAR, network="residual", depth=14), 3, 10).eval()
    shapes = [[(name, value.shape) for name, value in net.state_dict().items()] for net in (plain, residual)]
    assert shapes[0] == shapes[1]
    images = torch.randn(2, 3, 16, 16)
    assert not torch.allclose(plain(images), residual(images))


def test_a_plain_network_is_its_residual_twin_with_the_shortcuts_taken_out():
    plain = build(make_spec(**CIFAR, network="plain", depth=14), 3, 10)
    residual = build(make_spec(**CIFAR, network="residual", depth=14), 3, 10)
    for stage in residual.stages:
        for block in stage:
            block.shortcut = None
    images = torch.randn(4, 3, 16, 16)
    assert torch.equal(plain(images), residual(images))


def test_a_residual_network_whose_branches_are_zero_is_its_stem_pooled():
    network = build(make_spec(**CIFAR, network="residual", depth=20), 3, 10).double()
    with torch.no_grad():
        for stage in network.stages:
            for block in stage:
                block.bn2.weight.zero_()
        images = torch.randn(4, 3, 16, 16).double()
        stem = network.stem(images)[:, :, ::4, ::4].mean((2, 3))
        expected = stem @ network.head.weight[:, :16].T + network.head.bias
        torch.testing.assert_close(network(images), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("width", [1, 2, 4])
@pytest.mark.parametrize("family, maps", [({"depth": 8}, (16, 32, 64)), (
    {"depth": 18, "family": "imagenet", "family.stem": "cifar"}, (64, 128, 256, 512),
)], ids=["cifar", "imagenet"])  # fmt: skip
def test_width_multiplies_the_maps_of_every_stage(width, family, maps):
    with torch.device("meta"):
        network = structure(make_spec(**CIFAR, **family, family__width=width), 3, 10)
    assert network.stem[0].out_channels == width * maps[0]
    assert [stage[-1].conv2.out_channels for stage in network.stages] == [width * m for m in maps]
    assert network.head.in_features == width * maps[-1]


@pytest.mark.parametrize("stem, sizes", [("cifar", [32, 16, 8, 4]), ("imagenet", [8, 4, 2, 1])])
def test_the_stages_have_the_papers_resolutions(stem, sizes):
    network = build(make_spec(**CIFAR, family="imagenet", depth=18, family__stem=stem), 3, 10)
    seen = []
    for stage in network.stages:
        stage.register_forward_hook(lambda module, given, out: seen.append(out.shape[-1]))
    network(torch.randn(2, 3, 32, 32))
    assert seen == sizes


@pytest.mark.parametrize("fields", [
    {"network": "plain"}, {"shortcut": "A"}, {"shortcut": "B"}, {"shortcut": "C"},
    {"shortcut": "scaled"}, {"shortcut": "exclusive_gate", "shortcut.bias": -1.0},
    {"shortcut": "shortcut_gate", "shortcut.bias": -1.0}, {"order": "bn_after_add"}, {"order": "relu_before_add"},
    {"order": "relu_only_pre"}, {"order": "pre"}, {"block": "bottleneck", "depth": 11}, {"block": "single"},
    {"block": "bottleneck", "depth": 11, "order": "pre", "shortcut": "B"},
], ids=str)  # fmt: skip
def test_gradients_agree_with_finite_differences(fields):
    network = build(make_spec(**CIFAR | {"depth": 8} | fields), 1, 2).double().eval()
    random_bn(network)
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(2, 1, 4, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    inputs = dict(network.named_parameters())
    chosen = ["stem.1.weight", next(n for n in inputs if n.startswith("stages.1.0.bn")), "head.bias"]
    chosen += [name for name in inputs if name.endswith("stages.1.0.shortcut.gate.bias")]

    def output(images, *values):
        state = inputs | dict(zip(chosen, values, strict=True))
        return torch.func.functional_call(network, state, (images,))

    assert torch.autograd.gradcheck(output, (images, *(inputs[name] for name in chosen)), eps=1e-6, atol=1e-6)


@pytest.mark.parametrize("mode", [True, False], ids=["train", "eval"])
def test_every_parameter_has_a_gradient(mode):
    network = build(make_spec(**CIFAR, depth=14, shortcut="B"), 3, 10).train(mode)
    network(torch.randn(8, 3, 16, 16)).logsumexp(1).sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []

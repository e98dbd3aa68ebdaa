import pytest
import torch
from torch import optim

from study.training.optimizer import optimizer
from tests.helpers import make_spec

RATE = torch.tensor(0.01, dtype=torch.float64)


def problem(seed=0):
    """Parameters of a small network in float64, where rounding does not grow, and its gradients on a changing target."""
    torch.manual_seed(seed)
    layers = torch.nn.Sequential(
        torch.nn.Conv2d(2, 3, 3, bias=False), torch.nn.BatchNorm2d(3), torch.nn.Flatten(), torch.nn.Linear(27, 2)
    )
    layers.double()
    inputs = [torch.randn(6, 2, 5, 5, dtype=torch.float64) for _ in range(5)]

    def gradients(step):
        loss = (layers(inputs[step % 5]) ** 2).mean() + layers(inputs[0]).sin().mean()
        return list(torch.autograd.grad(loss, list(layers.parameters())))

    return list(layers.parameters()), gradients


def ours(steps, **recipe):
    parameters, gradients = problem()
    each = optimizer(parameters, make_spec(**{f"recipe__{k}": v for k, v in recipe.items()}).recipe)
    for i in range(steps):
        each.step(gradients(i), RATE)
    return parameters


def theirs(steps, make, clip=None):
    parameters, gradients = problem()
    each = make(parameters)
    for i in range(steps):
        for parameter, gradient in zip(parameters, gradients(i), strict=True):
            parameter.grad = gradient
        if clip:
            torch.nn.utils.clip_grad_norm_(parameters, clip)
        each.step()
    return parameters


def by_kind(parameters, **more):
    """Weights decay, biases and BN do not."""
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": 0.1, **more},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0, **more},
    ]


@pytest.mark.parametrize("recipe, make", [
    ({"optimizer": "sgd"}, lambda p: optim.SGD(p, 0.01, 0.9, weight_decay=0.1)),
    ({"optimizer": {"name": "sgd", "nesterov": True, "momentum": 0.8}},
     lambda p: optim.SGD(p, 0.01, 0.8, weight_decay=0.1, nesterov=True)),
    ({"optimizer": "adam"}, lambda p: optim.Adam(p, 0.01, weight_decay=0.1)),
    ({"optimizer": {"name": "adam", "betas": [0.8, 0.95], "eps": 1e-4}},
     lambda p: optim.Adam(p, 0.01, (0.8, 0.95), 1e-4, weight_decay=0.1)),
    ({"optimizer": "adamw"}, lambda p: optim.AdamW(p, 0.01, weight_decay=0.1)),
    ({"optimizer": "adamw", "decay": "weights"}, lambda p: optim.AdamW(by_kind(p), 0.01)),
    ({"optimizer": "rmsprop"}, lambda p: optim.RMSprop(p, 0.01, weight_decay=0.1)),
    ({"optimizer": {"name": "rmsprop", "momentum": 0.5, "alpha": 0.9}},
     lambda p: optim.RMSprop(p, 0.01, 0.9, weight_decay=0.1, momentum=0.5)),
    ({"optimizer": "adagrad"}, lambda p: optim.Adagrad(p, 0.01, weight_decay=0.1)),
    ({"optimizer": {"name": "adagrad", "lr_decay": 0.1}}, lambda p: optim.Adagrad(p, 0.01, 0.1, weight_decay=0.1)),
])  # fmt: skip
def test_200_steps_are_those_of_torch(recipe, make):
    for mine, reference in zip(ours(200, weight_decay=0.1, **recipe), theirs(200, make), strict=True):
        torch.testing.assert_close(mine, reference, atol=1e-9, rtol=1e-7)


@pytest.mark.parametrize("largest", [0.01, 0.5, 1e6])
def test_the_norm_of_the_whole_gradient_is_clipped_as_torch_does(largest):
    expected = theirs(50, lambda p: optim.SGD(p, 0.01, 0.9), clip=largest)
    for mine, reference in zip(ours(50, clip_norm=largest, weight_decay=0.0), expected, strict=True):
        torch.testing.assert_close(mine, reference, atol=1e-12, rtol=1e-9)


def test_lars_takes_the_steps_of_its_paper():
    """You et al. 2017, algorithm 1, in float64; biases and norms take plain SGD steps."""
    parameters, gradients = problem()
    weights = [p.detach().double() for p in parameters]
    speeds = [torch.zeros_like(w) for w in weights]
    each = optimizer(parameters, make_spec(recipe__optimizer="lars", recipe__weight_decay=0.1).recipe)
    for i in range(100):
        slopes = gradients(i)
        for place, (w, g) in enumerate(zip(weights, slopes, strict=True)):
            g = g.double()
            local = 0.001 * w.norm() / (g.norm() + 0.1 * w.norm()) if w.ndim > 1 else 1.0
            speeds[place] = 0.9 * speeds[place] + 0.01 * local * (g + 0.1 * w)
            weights[place] = w - speeds[place]
        each.step(slopes, RATE)
    for mine, reference in zip(parameters, weights, strict=True):
        torch.testing.assert_close(mine.double(), reference, atol=1e-12, rtol=1e-9)


def test_a_layer_of_zeros_still_moves_with_lars():
    parameters = [torch.zeros(3, 3, requires_grad=True)]
    optimizer(parameters, make_spec(recipe__optimizer="lars").recipe).step([torch.ones(3, 3)], RATE)
    assert float(parameters[0].detach().abs().min()) > 0

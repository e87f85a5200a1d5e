import numpy as np
import pytest
import torch
from torch.optim import SGD, Adam, AdamW, RMSprop

from jspsr_cli.training.config import TrainingConfig
from jspsr_cli.training.losses import LOSSES, berhu, gradient, losses_of
from jspsr_cli.training.schedule import learning_rates, make_optimizer


def config(**keys: object) -> TrainingConfig:
    known = {
        "name": "x",
        "train_set": ["a"],
        "valid_set": ["b"],
        "resolution": 8,
        "input_data": {"COP30": 1, "image": 3},
    }
    return TrainingConfig.model_validate({**known, **keys})


def plane(slope_x: float = 0.0, slope_y: float = 0.0) -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(9.0), torch.arange(9.0), indexing="ij")
    return (slope_x * x + slope_y * y)[None, None]


def test_gradient_loss_is_the_mean_slope_over_both_directions() -> None:
    loss = gradient(plane(0.2, 0.5), plane())
    inner = (0.2 + 0.5) / 2
    # the replicated edge halves the slope across it in two of nine rows or columns
    assert float(loss) == pytest.approx(inner * 8 / 9, rel=1e-5)
    assert float(gradient(plane() + 7, plane())) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("errors", "expected"), [([0.0, 0.0], 0.0), ([1.0, 10.0], (1 + (100 + 4) / 4) / 2)])
def test_berhu_is_linear_below_a_fifth_of_the_largest(errors: list[float], expected: float) -> None:
    error = torch.tensor(errors, requires_grad=True)
    loss = berhu(error, torch.zeros(2))
    assert float(loss.detach()) == pytest.approx(expected)
    loss.backward()  # type: ignore[no-untyped-call]
    assert error.grad is not None
    assert torch.isfinite(error.grad).all()


@pytest.mark.parametrize("name", LOSSES)
def test_a_pixel_without_truth_pulls_at_nothing(name: str) -> None:
    chance = torch.Generator().manual_seed(1)
    predicted = torch.rand((2, 1, 8, 8), generator=chance).requires_grad_()
    truth = torch.rand((2, 1, 8, 8), generator=chance)
    truth[:, :, 2:6, 2:6] = torch.nan
    loss = losses_of(predicted, truth, weights={name: 2.0})
    assert float(loss["total"].detach()) == pytest.approx(2 * float(loss[name].detach()))
    loss["total"].backward()  # type: ignore[no-untyped-call]
    assert predicted.grad is not None
    assert torch.isfinite(predicted.grad).all()
    assert predicted.grad[:, :, 3:5, 3:5].abs().max() == 0
    assert predicted.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("ConstantLR", {}, [0.1] * 6),
        ("StepLR", {"step_size": 2, "gamma": 0.5}, [0.1, 0.1, 0.05, 0.05, 0.025, 0.025]),
        ("CosineAnnealingLR", {}, [0.05 * (1 + np.cos(np.pi * i / 6)) for i in range(6)]),
        ("WarmupStepLR", {"warmup_epoch": 2, "step_size": 2}, [0.001, 0.01, 0.1, 0.1, 0.05, 0.05]),
        ("WarmupStepLR", {"warmup_epoch": 0, "step_size": 9, "max_lr": 0.4}, [0.4] * 6),
    ],
)
def test_schedules(name: str, options: dict[str, float], expected: list[float]) -> None:
    settings = config(scheduler=name, scheduler_kwargs=options, optimizer_kwargs={"lr": 0.1}, epochs=6)
    assert learning_rates(settings) == pytest.approx(expected)


def test_one_cycle_rises_to_its_highest_and_falls() -> None:
    rates = learning_rates(config(scheduler="OneCycleLR", scheduler_kwargs={"max_lr": 0.4}, epochs=10))
    top = rates.index(max(rates))
    assert rates[top] == pytest.approx(0.4)
    assert 0 < top < 9
    assert rates[-1] < rates[0] < 0.4


@pytest.mark.parametrize("kind", [AdamW, Adam, SGD, RMSprop])
def test_optimisers_get_their_options(kind: type[torch.optim.Optimizer]) -> None:
    options = {"lr": 0.3, "weight_decay": 0.02, "momentum": 0.7}
    optimizer = make_optimizer(
        config(optimizer=kind.__name__, optimizer_kwargs=options), [torch.nn.Parameter(torch.zeros(1))]
    )
    assert type(optimizer) is kind
    group = optimizer.param_groups[0]
    assert (group["lr"], group["weight_decay"]) == (0.3, 0.02)
    assert group.get("momentum", 0.7) == 0.7

"""Against one training step of the published code (F = 4, float32, CPU)."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from jspsr_cli.assess.metrics import compare, sample_metrics
from jspsr_cli.scaling import HeightScale
from jspsr_cli.training.config import TrainingConfig
from jspsr_cli.training.losses import losses_of
from jspsr_cli.training.reading import read_config
from jspsr_cli.training.schedule import learning_rates, make_optimizer
from jspsr_models import JSPSR
from jspsr_models.convert import released_name
from tests.models.conftest import fill

ROOT = Path(__file__).parents[2]
PAPER = ROOT / "configs" / "8m-image.yaml"


@pytest.fixture(scope="module")
def config() -> TrainingConfig:
    return read_config(PAPER)[0]


@pytest.fixture(scope="module")
def stored() -> dict[str, Tensor]:
    with np.load(ROOT / "tests" / "data" / "training_image_64x64.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


@pytest.fixture(scope="module")
def filled(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """Values before the step, by the names of `JSPSR`."""
    state = JSPSR(num_feature=4).state_dict()
    return {name: fill(released_name(name), tuple(v.shape), int(stored["seed"])) for name, v in state.items()}


@pytest.fixture(scope="module")
def stepped(
    stored: dict[str, Tensor], filled: dict[str, Tensor], config: TrainingConfig
) -> tuple[JSPSR, Tensor, dict[str, Tensor]]:
    """The network after one step at the first epoch's rate, its output before it, and its losses."""
    network = JSPSR(num_feature=4).train()
    network.load_state_dict(filled)
    output = network(stored["dem"], image=stored["image"])
    losses = losses_of(output, stored["gt"], weights=config.loss)
    optimizer = make_optimizer(config, network.parameters())
    optimizer.param_groups[0]["lr"] = learning_rates(config)[0]
    losses["total"].backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return network, output.detach(), {name: loss.detach() for name, loss in losses.items()}


def test_output_in_training(stepped: tuple[JSPSR, Tensor, dict[str, Tensor]], stored: dict[str, Tensor]) -> None:
    assert (stepped[1][..., ::2, ::2] - stored["train_mode_output"]).abs().max() < 1e-5


@pytest.mark.parametrize(("name", "key"), [("L1", "l1"), ("L2", "l2"), ("Grad", "grad"), ("total", "total")])
def test_losses(
    stepped: tuple[JSPSR, Tensor, dict[str, Tensor]], stored: dict[str, Tensor], name: str, key: str
) -> None:
    assert float(stepped[2][name]) == pytest.approx(float(stored[f"loss_{key}"]), rel=1e-6)


def test_learning_rate_of_all_epochs(config: TrainingConfig, stored: dict[str, Tensor]) -> None:
    rates = stored["learning_rate_per_epoch"].tolist()
    assert len(rates) == 300
    assert learning_rates(config) == pytest.approx(rates, rel=1e-12)


def test_parameters_after_the_step(
    stepped: tuple[JSPSR, Tensor, dict[str, Tensor]], stored: dict[str, Tensor], filled: dict[str, Tensor]
) -> None:
    state = {name: tensor for name, tensor in stepped[0].state_dict().items() if tensor.is_floating_point()}
    moves = [(t.double() - filled[name].double()).ravel() for name, t in state.items() if "running" not in name]
    expected = stored["parameter_moves_every_ninth"].double() * 1e-6
    assert expected.abs().max() > 9e-7
    off = (torch.cat(moves)[::9] - expected).abs()
    # The first step of Adam is g / (|g| + 1e-8): where a gradient is as small, it is the processor's rounding.
    assert (off < 1e-7).double().mean() > 0.999
    assert off.max() < 2e-6
    statistics = torch.cat([tensor.ravel() for name, tensor in state.items() if "running" in name])
    assert (statistics - stored["running_statistics"]).abs().max() < 1e-6


def test_evaluation_after_the_step(stepped: tuple[JSPSR, Tensor, dict[str, Tensor]], stored: dict[str, Tensor]) -> None:
    network = stepped[0].eval()
    with torch.inference_mode():
        output = network(stored["dem"], image=stored["image"])
    network.train()
    assert (output - stored["after_step_eval_output"]).abs().max() < 5e-6


@pytest.mark.parametrize("sample", [0, 1])
@pytest.mark.parametrize("name", ["rmse", "median", "nmad", "le95", "psnr"])
def test_metrics(stored: dict[str, Tensor], config: TrainingConfig, sample: int, name: str) -> None:
    predicted, truth = (stored[key][sample, 0].numpy() for key in ("after_step_eval_output", "gt"))
    metrics = sample_metrics(compare(predicted, truth, scale=HeightScale(*config.height_range)))
    assert getattr(metrics, name) == pytest.approx(float(stored[f"metric_{name}"][sample]), abs=2e-6, rel=5e-7)

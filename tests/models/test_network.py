"""Structure, checks, initial weights, the identity, export and precision."""

import functools
import math
import subprocess
import sys
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from jspsr_models import JSPSR, identity_checkpoint
from jspsr_models.inputs import GUIDE_CHANNELS, VALID_INPUTS, check_inputs


def sources(
    inputs: tuple[str, ...], *, rows: int = 16, columns: int = 24, batch: int = 1
) -> tuple[Tensor, dict[str, Tensor]]:
    torch.manual_seed(7)
    guides = {name: torch.rand(batch, GUIDE_CHANNELS[name], rows, columns) for name in inputs}
    return torch.rand(batch, 1, rows, columns), guides


cached_identity = functools.cache(identity_checkpoint)


@pytest.mark.parametrize("inputs", [(), ("mask", "canopy"), ("mask", "image"), ("image", "image"), ("dem",), "dem"])
def test_unknown_guides_are_refused(inputs: Any) -> None:
    with pytest.raises(ValueError, match="guides of a JSPSR network are one of image, mask"):
        JSPSR(inputs=inputs, num_feature=4)


def test_one_guide_may_be_given_as_a_word() -> None:
    assert check_inputs("canopy") == ("canopy",)


@pytest.mark.parametrize("num_feature", [-1, 0, 2, 257])
def test_widths_out_of_range_are_refused(num_feature: int) -> None:
    with pytest.raises(ValueError, match="num_feature"):
        JSPSR(num_feature=num_feature)


@pytest.mark.parametrize("propagation", [True, False])
@pytest.mark.parametrize("inputs", VALID_INPUTS)
@pytest.mark.parametrize("num_feature", [3, 4])
def test_every_structure_runs(inputs: tuple[str, ...], num_feature: int, propagation: bool) -> None:
    network = JSPSR(inputs=inputs, num_feature=num_feature, propagation=propagation)
    dem, guides = sources(inputs, batch=2)
    assert network.propagation is propagation
    assert network(dem, **guides).shape == dem.shape


def test_wrong_sources_are_refused() -> None:
    network = JSPSR(num_feature=4).eval()
    dem, guides = sources(("image",))
    image = guides["image"]
    wrong: list[tuple[Tensor, dict[str, Tensor], str]] = [
        (dem, {}, "takes the guides image, not none"),
        (dem, {"image": image, "mask": image}, r"not image\+mask"),
        (dem, {"canopy": dem}, "not canopy"),
        (dem, {"image": dem}, r"image must be floating point of shape \(1, 3, 16, 24\)"),
        (dem, {"image": image[..., :16]}, "image must be"),
        (dem, {"image": image.repeat(2, 1, 1, 1)}, "image must be"),
        (dem, {"image": image.byte()}, "uint8"),
        (dem.repeat(1, 2, 1, 1), {"image": image}, "dem must be"),
        (dem.long(), {"image": image}, "int64"),
        (dem[0], {"image": image}, "multiples of 8"),
        (dem[..., :12], {"image": image[..., :12]}, "multiples of 8"),
        (dem[..., :12, :], {"image": image[..., :12, :]}, "multiples of 8"),
    ]
    for dem_given, guides_given, message in wrong:
        with pytest.raises(ValueError, match=message):
            network(dem_given, **guides_given)


def test_initial_weights() -> None:
    torch.manual_seed(0)
    network = JSPSR(inputs=("image", "mask"), num_feature=8)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    for module in convolutions:
        std = math.sqrt(1.3 * 2 / (math.prod(module.kernel_size) * module.in_channels))
        assert module.weight.abs().max() <= 2 * std
        if module.weight.numel() > 5000:
            # A normal distribution cut at two std keeps 0.8796 of its standard deviation.
            assert float(module.weight.detach().std()) == pytest.approx(0.8796 * std, rel=0.05)
        assert module.bias is None or not module.bias.any()
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            assert (norm.weight == 1).all()
            assert not norm.bias.any()
    assert (network.output.get_parameter("step.kernel") == 1).all()
    assert not network.output.get_parameter("step.bias").any()


@given(
    seed=st.integers(0, 2**31),
    level=st.floats(-2, 3, width=32),
    inputs=st.sampled_from(VALID_INPUTS),
)
@settings(max_examples=15, deadline=None)
def test_identity_checkpoint_returns_its_input_exactly(seed: int, level: float, inputs: tuple[str, ...]) -> None:
    dem, guides = sources(inputs)
    dem = level + torch.rand(dem.shape, generator=torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        assert torch.equal(cached_identity(inputs)(dem, **guides), dem)


def test_identity_checkpoint_is_always_the_same_and_leaves_the_generator_alone() -> None:
    torch.manual_seed(5)
    first = identity_checkpoint()
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), drawn)
    second = identity_checkpoint().state_dict()
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.state_dict().items())
    assert not first.training


def test_a_batch_is_its_windows() -> None:
    network = JSPSR(num_feature=4).eval()
    dem, guides = sources(("image",), batch=3)
    with torch.inference_mode():
        together = network(dem, **guides)
        alone = torch.cat([network(dem[i : i + 1], image=guides["image"][i : i + 1]) for i in range(3)])
    assert (together - alone).abs().max() < 1e-5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_heights_stay_in_full_precision_under_autocast(dtype: torch.dtype) -> None:
    network = identity_checkpoint()
    dem, guides = sources(("image",))
    dtypes: dict[str, torch.dtype] = {}
    reducible = {"encoder.stems.image", "encoder.levels.0.image", "encoder.levels.1.dem", "decoder.head.conv"}
    heights = {"encoder.stems.dem", "encoder.levels.0.dem"}
    heights |= {f"output.{name}" for name in ("guidance.dem_path", "guidance.offset", "step")}

    def watch(name: str) -> Any:
        return lambda _module, _inputs, output: dtypes.update({name: output.dtype})

    for name in reducible | heights:
        network.get_submodule(name).register_forward_hook(watch(name))
    with torch.inference_mode(), torch.autocast("cpu", dtype=dtype):
        output = network(dem, **guides)
    assert {dtypes[name] for name in reducible} == {dtype}
    assert {dtypes[name] for name in heights} == {torch.float32}
    assert output.dtype == torch.float32
    assert torch.equal(output, dem)


def test_without_propagation_the_output_stays_in_full_precision_too() -> None:
    network = JSPSR(num_feature=4, propagation=False).eval()
    dem, guides = sources(("image",))
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert network(dem, **guides).dtype == torch.float32


def test_double_precision_works_throughout() -> None:
    network = JSPSR(num_feature=4).double().eval()
    dem, guides = sources(("image",))
    with torch.inference_mode():
        assert network(dem, **guides).dtype == torch.float64


def test_training_reaches_every_parameter() -> None:
    network = JSPSR(inputs=("image", "canopy"), num_feature=4)
    dem, guides = sources(("image", "canopy"), batch=2)
    network(dem, **guides).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("module", ["jspsr_models", "jspsr_models.weights", "jspsr_cli.commands.weights"])
def test_knowing_the_weights_does_not_import_torch(module: str) -> None:
    code = f"import sys, {module}; from jspsr_models import WeightsInfo; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


def test_unknown_attributes_of_the_package_are_refused() -> None:
    import jspsr_models

    with pytest.raises(AttributeError, match="nothing"):
        _ = jspsr_models.nothing
    assert all(hasattr(jspsr_models, name) for name in jspsr_models.__all__)

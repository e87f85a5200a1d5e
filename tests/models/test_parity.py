"""Against outputs of the published network (F = 4, float32, CPU) and the names in its released checkpoints."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from jspsr_models import JSPSR, to_released
from jspsr_models.convert import released_name
from jspsr_models.inputs import GUIDE_CHANNELS
from jspsr_models.propagation import CENTRE, SpatialPropagation

DATA = Path(__file__).parents[1] / "data"
PARITY_FILES = sorted(DATA.glob("parity_*.npz"))
TOLERANCE = 1e-5
GUIDES = {
    "image": ("image",),
    "mask": ("mask",),
    "image_mask": ("image", "mask"),
    "image_canopy": ("image", "canopy"),
}


def test_parity_files_are_there() -> None:
    assert len(PARITY_FILES) == 4


@pytest.mark.parametrize("path", PARITY_FILES, ids=lambda path: path.stem)
def test_output_and_guidance_equal_the_published(path: Path, fill_network: Callable[..., JSPSR]) -> None:
    with np.load(path) as file:
        stored = {name: torch.from_numpy(file[name]) for name in file.files}
    guides = {name: stored[name] for name in GUIDE_CHANNELS if name in stored}
    network = fill_network(seed=int(stored["seed"]), inputs=tuple(guides))
    assert isinstance(network.output, SpatialPropagation)
    caught: list[tuple[Tensor, Tensor]] = []
    network.output.guidance.register_forward_hook(lambda _module, _inputs, guidance: caught.append(guidance))
    with torch.inference_mode():
        output = network(stored["dem"], **guides)
    ((affinity, offset),) = caught
    at_centre = torch.zeros_like(offset[:, :2])
    offset = torch.cat((offset[:, : 2 * CENTRE], at_centre, offset[:, 2 * CENTRE :]), dim=1)
    for computed, name in (
        (output, "expected"),
        (affinity[..., ::2, ::2], "affinity"),
        (offset[..., ::2, ::2], "offset"),
    ):
        assert (computed - stored[name]).abs().max() < TOLERANCE, name


@pytest.mark.parametrize("guides", GUIDES)
def test_names_shapes_and_order_are_the_released_ones(
    guides: str, released_tensors: Mapping[str, Mapping[str, tuple[str, str]]]
) -> None:
    with torch.device("meta"):
        network = JSPSR(inputs=GUIDES[guides])
    own = {
        name: ("x".join(map(str, tensor.shape)) or "scalar", str(tensor.dtype).removeprefix("torch."))
        for name, tensor in to_released(network.state_dict()).items()
    }
    assert list(own.items()) == list(released_tensors[guides].items())


def test_renaming_a_released_name_changes_nothing(
    released_tensors: Mapping[str, Mapping[str, tuple[str, str]]],
) -> None:
    for name in released_tensors["image_mask"]:
        assert released_name(name) == name


def test_names_without_propagation_are_the_released_ones() -> None:
    names = [name for name in to_released(JSPSR(num_feature=4, propagation=False).state_dict()) if "processor" in name]
    assert names == ["postprocessor.conv.0.weight", "postprocessor.conv.0.bias"]


@pytest.mark.parametrize(
    ("inputs", "num_feature", "parameters"),
    [
        (("image",), 32, 29_162_435),
        (("image", "mask"), 32, 43_869_763),
        (("image",), 16, 7_297_907),
        (("image",), 8, 1_828_139),
    ],
)
def test_parameter_counts(inputs: tuple[str, ...], num_feature: int, parameters: int) -> None:
    with torch.device("meta"):
        network = JSPSR(inputs=inputs, num_feature=num_feature)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters

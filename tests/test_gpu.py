"""Contracts 2 and 3 on a CUDA device: `make test-gpu`."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import conv2d

from jspsr_cli.pipeline import enhance
from jspsr_cli.request import EnhanceOptions
from jspsr_models import JSPSR, identity_checkpoint, save_network
from tests.scenes import Array, cop30, guide_over, heights_of, weights_info
from tests.test_oracle import MILLIMETRE, error_of

DEVICE = "cuda"

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("scene")
    dem = cop30(folder / "dem.tif", lon=2.4, lat=48.9, size=90)
    return dem, guide_over(folder / "guide.tif", dem, crs="EPSG:32631", resolution=4, share=0.9)


def run(scene: tuple[Path, Path], output: Path, network: Any, *, device: str) -> Array:
    dem, guide = scene
    options = EnhanceOptions(window=64, device=device)
    enhance(dem, output=output, image=[guide], weights=(network, weights_info("image")), options=options)
    return heights_of(output)


def random_network() -> JSPSR:
    """The same small network with random weights at every call, since a run moves it to its device."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return JSPSR(inputs=("image",), num_feature=4).eval()


def test_the_identity_checkpoint_by_file(scene: tuple[Path, Path], tmp_path: Path) -> None:
    dem, guide = scene
    weights, output = tmp_path / "identity.safetensors", tmp_path / "out.tif"
    save_network(identity_checkpoint(("image",)), weights, weights_info("image"))
    report = enhance(dem, output=output, image=[guide], weights=weights, options=EnhanceOptions(device=DEVICE))
    assert report.device == DEVICE
    assert error_of(output, dem) < MILLIMETRE


def test_heights_are_those_of_the_cpu(scene: tuple[Path, Path], tmp_path: Path) -> None:
    here = run(scene, tmp_path / "cpu.tif", random_network(), device="cpu")
    there = run(scene, tmp_path / "cuda.tif", random_network(), device=DEVICE)
    assert np.array_equal(np.isnan(here), np.isnan(there))
    # The network does something, so that equal heights mean more than equal inputs.
    dem_only = run(scene, tmp_path / "dem.tif", lambda dem, **_: dem, device="cpu")
    assert np.nanmax(np.abs(here - dem_only)) > 1
    tolerance = 2e-5 * (here - np.nanmin(here) + 80)
    assert (np.abs(there - here) <= tolerance)[~np.isnan(here)].all()


@pytest.fixture
def tf32_was_on() -> Iterator[None]:
    backends: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = True
    yield
    for backend, allowed in zip(backends, before, strict=True):
        backend.allow_tf32 = allowed


def error_of_product(product: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], *shapes: tuple[int, ...]) -> float:
    """Largest error of a product of random float32 factors on the device, as a share of the products' spread."""
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(shape, generator=generator) for shape in shapes)
    exact = product(left.double(), right.double())
    rounded = product(left.to(DEVICE), right.to(DEVICE)).double().cpu()
    return float((rounded - exact).abs().max() / exact.std())


@pytest.mark.usefixtures("tf32_was_on")
def test_products_keep_float32(scene: tuple[Path, Path], tmp_path: Path) -> None:
    """TF32 is off in a run, also where the caller had it on: in the flags, and in what the device computes."""
    errors: list[float] = []

    def probe(dem: torch.Tensor, **_: torch.Tensor) -> torch.Tensor:
        assert dem.device.type == DEVICE
        assert not torch.backends.cuda.matmul.allow_tf32
        assert not torch.backends.cudnn.allow_tf32
        errors.append(error_of_product(torch.matmul, (512, 512), (512, 512)))
        errors.append(error_of_product(conv2d, (4, 64, 32, 32), (64, 64, 3, 3)))
        return dem

    run(scene, tmp_path / "out.tif", probe, device=DEVICE)
    assert errors
    # TF32 keeps 10 bits of each factor: 1e-3. Float32 errs by some 1e-6, in whatever way cuDNN convolves.
    assert max(errors) < 1e-4

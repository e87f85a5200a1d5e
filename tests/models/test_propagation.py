"""The deformable step against a loop that says what it means, and its limits."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from jspsr_models.propagation import NEIGHBOUR_COLUMNS, NEIGHBOUR_ROWS, DeformableStep, SpatialPropagation


def pixel(dem: Tensor, row: int, column: int) -> float:
    rows, columns = dem.shape
    return float(dem[row, column]) if 0 <= row < rows and 0 <= column < columns else 0.0


def bilinear(dem: Tensor, row: float, column: float) -> float:
    top, left = math.floor(row), math.floor(column)
    down, right = row - top, column - left
    return (
        (1 - down) * (1 - right) * pixel(dem, top, left)
        + (1 - down) * right * pixel(dem, top, left + 1)
        + down * (1 - right) * pixel(dem, top + 1, left)
        + down * right * pixel(dem, top + 1, left + 1)
    )


def by_loop(step: DeformableStep, dem: Tensor, offset: Tensor, modulation: Tensor) -> Tensor:
    """The nine taps of DCNv2, one pixel at a time, in double precision."""
    steps = list(zip(NEIGHBOUR_ROWS, NEIGHBOUR_COLUMNS, strict=True))
    steps.insert(4, (0, 0))
    batch, _, rows, columns = dem.shape
    zeros = torch.zeros(batch, 2, rows, columns)
    offset = torch.cat((offset[:, :8], zeros, offset[:, 8:]), dim=1).double()
    kernel = step.kernel.detach().double().flatten()
    output = torch.full(dem.shape, float(step.bias), dtype=torch.float64)
    for b in range(batch):
        for r in range(rows):
            for c in range(columns):
                for k, (down, right) in enumerate(steps):
                    row = r + down + float(offset[b, 2 * k, r, c])
                    column = c + right + float(offset[b, 2 * k + 1, r, c])
                    weight = float(kernel[k]) * float(modulation[b, k, r, c])
                    output[b, 0, r, c] += weight * bilinear(dem[b, 0], row, column)
    return output


@pytest.fixture
def step() -> DeformableStep:
    torch.manual_seed(3)
    step = DeformableStep()
    torch.nn.init.normal_(step.kernel)
    torch.nn.init.normal_(step.bias)
    return step


@pytest.mark.parametrize("spread", [0.0, 0.6, 3.0, 40.0])
def test_equals_the_loop(step: DeformableStep, spread: float) -> None:
    dem = torch.rand(2, 1, 6, 9)
    offset = spread * torch.randn(2, 16, 6, 9)
    modulation = torch.randn(2, 9, 6, 9)
    with torch.no_grad():
        assert (step(dem, offset, modulation) - by_loop(step, dem, offset, modulation)).abs().max() < 1e-5


@given(
    rows=st.integers(-12, 12),
    columns=st.integers(-12, 12),
    down=st.floats(0, 0.9375, width=32),
    right=st.floats(0, 0.9375, width=32),
)
@settings(max_examples=40, deadline=None)
def test_any_shift_of_all_pixels_equals_the_loop(rows: int, columns: int, down: float, right: float) -> None:
    dem = torch.arange(1.0, 41.0).view(1, 1, 5, 8)
    offset = torch.tensor([rows + down, columns + right]).repeat(8).view(1, 16, 1, 1).expand(1, 16, 5, 8)
    modulation = torch.linspace(-1, 1, 9).view(1, 9, 1, 1).expand(1, 9, 5, 8)
    step = DeformableStep()
    with torch.no_grad():
        assert (step(dem, offset, modulation) - by_loop(step, dem, offset, modulation)).abs().max() < 1e-3


@pytest.mark.parametrize("shift", [1e3, -1e3, 1e12, -1e30, float("inf"), float("-inf")])
def test_samples_far_outside_count_as_zero(shift: float) -> None:
    dem = torch.rand(1, 1, 8, 8) + 1
    modulation = torch.ones(1, 9, 8, 8)
    with torch.no_grad():
        assert torch.equal(DeformableStep()(dem, torch.full((1, 16, 8, 8), shift), modulation), dem)


def test_an_undefined_offset_gives_an_undefined_height_and_no_crash() -> None:
    with torch.no_grad():
        output = DeformableStep()(torch.rand(1, 1, 8, 8), torch.full((1, 16, 8, 8), torch.nan), torch.ones(1, 9, 8, 8))
    assert output.isnan().all()


def test_a_sample_is_the_same_wherever_it_lies() -> None:
    """With the fraction rounded by its distance from the window's corner, this would differ by 1e-4."""
    patch = torch.rand(1, 1, 16, 16)
    offset = torch.rand(1, 16, 16, 16)
    modulation = torch.rand(1, 9, 16, 16)
    far = [torch.nn.functional.pad(tensor, (1000, 8, 1000, 8)) for tensor in (patch, offset, modulation)]
    with torch.no_grad():
        near = DeformableStep()(patch, offset, modulation)
        assert torch.equal(DeformableStep()(*far)[..., 1000:1016, 1000:1016], near)


def test_gradients_are_those_of_the_numbers() -> None:
    torch.manual_seed(1)
    step = DeformableStep().double()
    dem = torch.rand(2, 1, 4, 5, dtype=torch.float64, requires_grad=True)
    # Off the pixel centres, where the derivative of a bilinear sample jumps.
    whole = torch.randint(-3, 3, (2, 16, 4, 5))
    offset = (whole + 0.2 + 0.6 * torch.rand(2, 16, 4, 5, dtype=torch.float64)).requires_grad_()
    modulation = torch.rand(2, 9, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(step, (dem, offset, modulation))


def test_no_gradient_reaches_the_dem_but_the_context_and_all_parameters() -> None:
    torch.manual_seed(2)
    output = SpatialPropagation(4)
    dem = torch.rand(1, 1, 16, 16, requires_grad=True)
    context = torch.rand(1, 8, 16, 16, requires_grad=True)
    output(dem, context).square().sum().backward()
    assert dem.grad is None
    assert context.grad is not None
    assert context.grad.abs().max() > 0
    for name, parameter in output.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    offset_gradient = output.guidance.offset.weight.grad
    assert offset_gradient is not None
    assert offset_gradient.abs().max() > 0

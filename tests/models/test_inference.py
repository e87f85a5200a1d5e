"""Networks made ready for inference predict what they did."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from jspsr_models import JSPSR
from jspsr_models.inference import OnCpu, folded
from jspsr_models.inputs import GUIDE_CHANNELS, VALID_INPUTS


def sources(inputs: tuple[str, ...], *, windows: int = 3) -> tuple[Tensor, dict[str, Tensor]]:
    guides = {name: torch.rand(windows, GUIDE_CHANNELS[name], 16, 24) for name in inputs}
    return torch.rand(windows, 1, 16, 24), guides


@pytest.fixture
def two_threads() -> Iterator[None]:
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize("inputs", VALID_INPUTS)
@torch.inference_mode()
def test_a_folded_network_predicts_the_same(inputs: tuple[str, ...], fill_network: Callable[..., JSPSR]) -> None:
    """In double precision, where rounding is no excuse."""
    network = fill_network(inputs=inputs).double()
    before, (dem, guides) = norms(network), sources(inputs)
    without = folded(network)
    assert torch.allclose(without(dem, **guides), network(dem, **guides), rtol=1e-10, atol=1e-12)
    assert norms(without) == 0
    assert norms(network) == before > 0


@torch.inference_mode()
def test_windows_do_not_depend_on_one_another(network: JSPSR) -> None:
    on_cpu = OnCpu(network)
    dem, guides = sources(("image",), windows=5)
    together = on_cpu(dem, **guides)
    for window in range(5):
        here = slice(window, window + 1)
        assert torch.equal(on_cpu(dem[here], image=guides["image"][here]), together[here])


@torch.inference_mode()
def test_on_a_cpu_it_predicts_the_same(network: JSPSR) -> None:
    dem, guides = sources(("image",))
    assert torch.allclose(OnCpu(network)(dem, **guides), network(dem, **guides), rtol=1e-4, atol=1e-5)


def test_there_are_no_gradients(network: JSPSR) -> None:
    dem, guides = sources(("image",))
    assert not OnCpu(network)(dem, **guides).requires_grad


@torch.inference_mode()
def test_reduced_precision_reaches_the_threads(network: JSPSR) -> None:
    dem, guides = sources(("image",))
    plain = OnCpu(network)(dem, **guides)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        reduced = OnCpu(network)(dem, **guides)
    assert 1e-4 < (reduced - plain).abs().max() < 1


def threads_of_a_new_thread() -> int:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("windows", [1, 3])
def test_the_threads_of_the_caller_stay_as_many(windows: int, network: JSPSR) -> None:
    dem, guides = sources(("image",), windows=windows)
    OnCpu(network)(dem, **guides)
    assert torch.get_num_threads() == threads_of_a_new_thread() == 2


@pytest.mark.usefixtures("two_threads")
def test_threads_share_a_window_that_is_alone(network: JSPSR, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def look(dem: Tensor, **_guides: Any) -> Tensor:
        seen.append(torch.get_num_threads())
        return dem

    on_cpu = OnCpu(network)
    monkeypatch.setattr(on_cpu, "_network", look)
    for windows in (1, 2, 3):
        dem, guides = sources(("image",), windows=windows)
        on_cpu(dem, **guides)
    assert seen == [2, 1, 1, 1, 1, 1]


@pytest.mark.usefixtures("two_threads")
def test_an_error_in_a_window_is_raised(network: JSPSR, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_dem: Tensor, **_guides: Any) -> Tensor:
        raise RuntimeError("no memory")

    on_cpu = OnCpu(network)
    monkeypatch.setattr(on_cpu, "_network", fails)
    dem, guides = sources(("image",))
    with pytest.raises(RuntimeError, match="no memory"):
        on_cpu(dem, **guides)
    assert torch.get_num_threads() == 2

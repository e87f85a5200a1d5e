"""Share of the spatial propagation, and of its deformable step alone, in a forward pass on this machine."""

import time
from collections.abc import Callable

import torch

from jspsr_models import JSPSR
from jspsr_models.propagation import NEIGHBOURS, SpatialPropagation

WINDOW = 128
REPEATS = 15


def milliseconds(function: Callable[[], object]) -> float:
    """Return the least time of some calls: whatever else the machine does can only add to it."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times) * 1000


def measure(num_feature: int, batch: int) -> tuple[float, float, float]:
    """Return milliseconds of the whole forward pass, of the propagation, of the deformable step."""
    network = JSPSR(inputs=("image",), num_feature=num_feature).eval()
    output = network.output
    assert isinstance(output, SpatialPropagation)
    dem = torch.rand(batch, 1, WINDOW, WINDOW)
    image = torch.rand(batch, 3, WINDOW, WINDOW)
    context = torch.rand(batch, 2 * num_feature, WINDOW, WINDOW)
    offset = torch.randn(batch, 2 * NEIGHBOURS, WINDOW, WINDOW)
    modulation = torch.rand(batch, NEIGHBOURS + 1, WINDOW, WINDOW)
    with torch.inference_mode():
        return (
            milliseconds(lambda: network(dem, image=image)),
            milliseconds(lambda: output(dem, context)),
            milliseconds(lambda: output.step(dem, offset, modulation)),
        )


def main() -> None:
    print(f"{torch.get_num_threads()} threads, one {WINDOW} x {WINDOW} window, milliseconds (share)")
    print(f"{'F':>3} {'batch':>5} {'forward':>9} {'propagation':>16} {'deformable step':>16}")
    for num_feature in (8, 32):
        for batch in (1, 4):
            forward, propagation, step = measure(num_feature, batch)
            shares = [f"{part:.1f} ({part / forward:.0%})" for part in (propagation, step)]
            print(f"{num_feature:>3} {batch:>5} {forward:>9.1f} {shares[0]:>16} {shares[1]:>16}")


if __name__ == "__main__":
    main()

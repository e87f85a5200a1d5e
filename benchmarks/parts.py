"""Parts of `jspsr enhance` alone, each timed in a process of its own, which prints the result as JSON.

python -m benchmarks.parts network DEM GUIDE WEIGHTS    the bare network, on all windows of the command
python -m benchmarks.parts road DEM GUIDE WEIGHTS       everything but the network, stage by stage
python -m benchmarks.parts first DEM GUIDE WEIGHTS      when the first windows are predicted
"""

import json
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

T = TypeVar("T")

#: seconds of wall clock and of CPU (all threads together): {"alignment": (1.5, 1.6)}
Times = dict[str, tuple[float, float]]


@contextmanager
def timed(times: Times, stage: str) -> Iterator[None]:
    """Add what the block took to `times`."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    before = times.get(stage, (0.0, 0.0))
    times[stage] = (before[0] + time.perf_counter() - wall, before[1] + time.process_time() - cpu)


def network(dem: str, guide: str, weights: str) -> dict[str, Any]:
    """Time the network as `enhance` runs it on a CPU, on the very batches of the command, prepared beforehand."""
    import torch

    from jspsr_cli.pipeline import enhance
    from jspsr_models import load_network
    from jspsr_models.inference import OnCpu

    times: Times = {}
    with timed(times, "loading"):
        loaded, info = load_network(weights)
    batches: list[tuple[torch.Tensor, torch.Tensor]] = []

    def record(dem: torch.Tensor, *, image: torch.Tensor | None = None, **_: Any) -> torch.Tensor:
        assert image is not None
        batches.append((dem, image))
        return dem

    with tempfile.TemporaryDirectory() as folder:
        enhance(dem, image=[guide], weights=(record, info), output=Path(folder) / "out.tif", options=_on_cpu())
    predict = OnCpu(loaded)
    predict(batches[0][0], image=batches[0][1])  # the first call sets up threads and memory
    with timed(times, "network"):
        for heights, image in batches:
            predict(heights, image=image)
    sizes = [len(heights) for heights, _ in batches]
    side = batches[0][0].shape[-1]
    shape = {"windows": sum(sizes), "batch": max(sizes), "window": side, "threads": torch.get_num_threads()}
    return {"times": times, **shape}


def road(dem: str, guide: str, weights: str) -> dict[str, Any]:
    """Time the command's stages with a network that costs nothing."""
    times: Times = {}
    with timed(times, "imports"):
        from jspsr_cli import pipeline
        from jspsr_cli.raster.strips import aligned_strips
        from jspsr_cli.raster.writer import publish_all as original_publish
        from jspsr_cli.unfinished import UnfinishedWork
        from jspsr_models import load_network
    with timed(times, "loading of weights"):
        info = load_network(weights)[1]

    def strips(*args: Any, **options: Any) -> Iterator[Any]:
        return _timed_items(aligned_strips(*args, **options), times, "alignment")

    def append(self: UnfinishedWork, *args: Any) -> None:
        with timed(times, "writing"):
            original_append(self, *args)

    def publish(*args: Any, **options: Any) -> None:
        with timed(times, "conversion to COG"):
            original_publish(*args, **options)

    original_append = UnfinishedWork.append
    whole: Times = {}
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        for target, name, replacement in (
            (pipeline, "aligned_strips", strips),
            (UnfinishedWork, "append", append),
            (pipeline, "publish_all", publish),
        ):
            stack.enter_context(patch.object(target, name, replacement))
        stack.enter_context(timed(whole, "road"))
        output = Path(folder) / "out.tif"
        pipeline.enhance(dem, image=[guide], weights=(_identity, info), output=output, options=_on_cpu())
    stages = [times[stage] for stage in ("alignment", "writing", "conversion to COG")]
    wall, cpu = (whole["road"][i] - sum(stage[i] for stage in stages) for i in (0, 1))
    return {"times": {**times, "planning, windows, scaling, blending": (wall, cpu)}}


def first(dem: str, guide: str, weights: str) -> dict[str, Any]:
    """When the first batch of windows is predicted, in seconds since the epoch, and the CPU seconds until then.

    The other batches are left.
    """
    from jspsr_cli.pipeline import enhance

    reported: list[tuple[float, float]] = []

    def progress(_share: float) -> None:
        reported.append((time.time(), time.process_time()))
        if len(reported) > 1:  # the first report comes before the first window
            raise KeyboardInterrupt

    with tempfile.TemporaryDirectory() as folder, suppress(KeyboardInterrupt):
        output = Path(folder) / "out.tif"
        enhance(dem, image=[guide], weights=weights, output=output, options=_on_cpu(), progress=progress)
    at, cpu = reported[-1]
    return {"at": at, "cpu": cpu}


def _on_cpu() -> Any:
    from jspsr_cli import EnhanceOptions

    return EnhanceOptions(device="cpu")


def _identity(dem: Any, **_: Any) -> Any:
    return dem


def _timed_items(items: Iterable[T], times: Times, stage: str) -> Iterator[T]:
    iterator = iter(items)
    while True:
        with timed(times, stage):
            item = next(iterator, None)
        if item is None:
            return
        yield item


if __name__ == "__main__":
    print(json.dumps({"network": network, "road": road, "first": first}[sys.argv[1]](*sys.argv[2:])))

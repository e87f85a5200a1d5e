"""Batches of windows through any callable that stands for the network, on a device."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol, TypeVar

import numpy as np
import torch

from jspsr_cli.errors import InvalidOption, PredictionFailed
from jspsr_cli.guides import GUIDES
from jspsr_cli.raster.strips import Strip
from jspsr_cli.scaling import HeightScale
from jspsr_cli.tiling.voids import fill_voids
from jspsr_cli.types import FloatArray, Precision
from jspsr_models.inference import OnCpu, folded
from jspsr_models.network import JSPSR

# Pixels at a time where the user leaves the choice: 32 and 8 windows of 128 x 128.
BATCH_PIXELS = {"cuda": 32 * 128**2, "mps": 8 * 128**2}

# On a CPU a window for each thread: at least 4, for the short waits between batches, and at most 16, as with F = 32
# each takes an eighth of a gigabyte.
CPU_WINDOWS = range(4, 17)

# Heights are float32 in all of them. `auto` is float32 as long as nothing faster is harmless.
DTYPES = {"auto": torch.float32, "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

# What torch says for want of memory on an Apple GPU, for which it has no class.
MPS_IS_FULL = "MPS backend out of memory"

log = logging.getLogger(__name__)

T = TypeVar("T")


class Predictor(Protocol):
    """What stands for the network: scaled DEM and scaled guides in, scaled DEM out.

    All tensors are float32 (batch, channels, rows, columns), on one device.
    """

    def __call__(
        self,
        dem: torch.Tensor,
        *,
        image: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        canopy: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Predict."""
        ...


@dataclass(frozen=True)
class WindowInput:
    """One window: its first column from the origin of the CRS, filled inputs (bands, rows, columns), and its base.

    `heights` and `base` are in metres.
    """

    col: int
    heights: FloatArray
    base: float
    guides: dict[str, FloatArray]


def windows_of(strip: Strip, *, starts: range, size: int) -> Iterator[WindowInput]:
    """Windows of a strip that hold at least one pixel with a height and all guides, voids filled."""
    usable = strip.known & strip.guided
    for col in starts:
        here = slice(col - strip.col, col - strip.col + size)
        if not usable[:, here].any():
            continue
        around = strip.heights[:, here.start : here.stop + 2 * strip.margin]
        yield WindowInput(
            col=col,
            heights=fill_voids(strip.dem[None, :, here]),
            base=float(np.nanmin(around)),
            guides={name: fill_voids(guide[:, :, here]) for name, guide in strip.guides.items()},
        )


def resolve_device(name: str) -> torch.device:
    """The device called `name`; "auto" is the first of CUDA, MPS and CPU that is there.

    Raises:
        InvalidOption: this machine, or this build of torch, has none of that name.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        # What torch says runs to a page; what it means is this.
        raise InvalidOption(f"The device {name!r} is not on this machine: try --device auto.") from error
    return device


def default_batch(device: torch.device, size: int) -> int:
    """Windows of `size` pixels at a time for `device`, so that large windows do not take more memory."""
    on_cpu = min(max(torch.get_num_threads(), CPU_WINDOWS[0]), CPU_WINDOWS[-1]) * 128**2
    return max(1, BATCH_PIXELS.get(device.type, on_cpu) // size**2)


def batches_of(windows: Iterable[T], size: int) -> Iterator[list[T]]:
    """`windows` in lists of `size`, the last one shorter."""
    iterator = iter(windows)
    while batch := list(islice(iterator, size)):
        yield batch


def exact_products() -> None:
    """Forbid TF32 to this process: its products keep 10 bits, metres of height on the logarithmic scale."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


class WindowPredictor:
    """Predicts heights in metres for windows: as many at a time as it is given, or as the device has memory for."""

    def __init__(
        self,
        network: Predictor,
        *,
        scale: HeightScale,
        device: torch.device,
        precision: Precision,
        smaller: str = "a smaller --window",
    ) -> None:
        """`smaller` is what to ask for where the device has no memory for one window."""
        dtype = DTYPES[precision]
        if device.type == "cpu" and dtype == torch.float16:
            raise InvalidOption("float16 is not for CPUs: use --precision float32 or bfloat16.")
        self._network = _ready(network, device)
        self.scale = scale
        self._device = device
        self._dtype = dtype
        self._smaller = smaller
        self._most: int | None = None
        #: what "auto" came to
        self.precision = str(dtype).removeprefix("torch.")
        exact_products()

    def heights(self, windows: Sequence[WindowInput]) -> list[FloatArray]:
        """Heights in metres, float64 (rows, columns), one array a window.

        Raises:
            PredictionFailed: not finite, of another shape, or the device ran out of memory.
        """
        with np.errstate(over="ignore"):
            heights = [
                self.scale.unscale(s, w.base) for s, w in zip(self.scaled_heights(windows), windows, strict=True)
            ]
        _check_finite(heights)
        return heights

    def scaled_heights(self, windows: Sequence[WindowInput]) -> FloatArray:
        """What the network returns, float32 (windows, rows, columns). Raises as `heights`."""
        done: list[FloatArray] = []
        while left := windows[len(done) :]:
            batch = left[: self._most]
            try:
                done.extend(self._scaled_heights(batch))
            except RuntimeError as error:
                if not (isinstance(error, torch.OutOfMemoryError) or MPS_IS_FULL in str(error)):
                    raise
                if len(batch) == 1:
                    raise PredictionFailed(
                        f"The device has not enough memory for one window: use {self._smaller}, or --device cpu."
                    ) from error
                self._most = len(batch) // 2
                log.info("the device has no memory for %d windows at a time: %d from here on", len(batch), self._most)
        return np.stack(done)

    def _scaled_heights(self, windows: Sequence[WindowInput]) -> FloatArray:
        dem = np.stack([self.scale.scale(w.heights, w.base) for w in windows])
        guides = {
            name: self._tensor(np.stack([GUIDES[name].scale(w.guides[name]) for w in windows]))
            for name in windows[0].guides
        }
        with torch.inference_mode(), self._autocast():
            scaled: FloatArray = self._network(self._tensor(dem), **guides).float().cpu().numpy()
        if scaled.shape != dem.shape:
            raise PredictionFailed(f"The network returned {scaled.shape} for {dem.shape}.")
        _check_finite(scaled)
        return scaled[:, 0]

    def _tensor(self, array: FloatArray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)).to(self._device)

    def _autocast(self) -> AbstractContextManager[Any]:
        if self._dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self._device.type, dtype=self._dtype)


def _ready(network: Predictor, device: torch.device) -> Predictor:
    """What predicts like `network` on `device`, as fast as it can. Networks of others stay as they are."""
    if not isinstance(network, torch.nn.Module):
        return network
    # In training mode the windows of a batch would share their statistics, and change the network's.
    network = network.to(device).eval()
    if not isinstance(network, JSPSR):
        return network
    return OnCpu(network) if device.type == "cpu" else folded(network)


def _check_finite(arrays: Iterable[FloatArray]) -> None:
    if not all(np.isfinite(array).all() for array in arrays):
        raise PredictionFailed("The network returned values that are no heights: the weights do not fit.")

"""Batches of windows through any callable that stands for the network, on a device."""

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

# Pixels at a time where the user leaves the choice: 4, 32 and 8 windows of 128 x 128. On a CPU more gain nothing.
BATCH_PIXELS = {"cpu": 4 * 128**2, "cuda": 32 * 128**2, "mps": 8 * 128**2}

# Heights are float32 in all of them. `auto` is float32 as long as nothing faster is harmless.
DTYPES = {"auto": torch.float32, "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


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
    return max(1, BATCH_PIXELS.get(device.type, BATCH_PIXELS["cpu"]) // size**2)


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
    """Predicts heights in metres for windows.

    `batch_option` is what sets how many windows come at a time, for the sentence on a device that is too small.
    """

    def __init__(
        self,
        network: Predictor,
        *,
        scale: HeightScale,
        device: torch.device,
        precision: Precision,
        batch_option: str = "--batch-size",
    ) -> None:
        dtype = DTYPES[precision]
        if device.type == "cpu" and dtype == torch.float16:
            raise InvalidOption("float16 is not for CPUs: use --precision float32 or bfloat16.")
        # In training mode the windows of a batch would share their statistics, and change the network's.
        self._network = network.to(device).eval() if isinstance(network, torch.nn.Module) else network
        self.scale = scale
        self._device = device
        self._dtype = dtype
        self._batch_option = batch_option
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
        dem = np.stack([self.scale.scale(w.heights, w.base) for w in windows])
        guides = {
            name: self._tensor(np.stack([GUIDES[name].scale(w.guides[name]) for w in windows]))
            for name in windows[0].guides
        }
        try:
            with torch.inference_mode(), self._autocast():
                scaled: FloatArray = self._network(self._tensor(dem), **guides).float().cpu().numpy()
        except torch.OutOfMemoryError as error:
            instead = f"a smaller {self._batch_option}" if len(windows) > 1 else "--device cpu"
            raise PredictionFailed(
                f"The device ran out of memory with {len(windows)} windows at a time: use {instead}."
            ) from error
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


def _check_finite(arrays: Iterable[FloatArray]) -> None:
    if not all(np.isfinite(array).all() for array in arrays):
        raise PredictionFailed("The network returned values that are no heights: the weights do not fit.")

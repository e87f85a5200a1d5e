"""From samples to what the network sees: crops, scaled and augmented, the same for any number of workers."""

from collections.abc import Iterator, Sequence, Sized
from itertools import product
from typing import Any

import numpy as np
import torch
from rasterio.windows import Window
from torch.utils.data import Dataset, Sampler

from jspsr_cli.guides import GUIDES
from jspsr_cli.raster.samples import SamplePixels
from jspsr_cli.scaling import HeightScale
from jspsr_cli.training.config import TrainingConfig
from jspsr_cli.training.dfc30 import Sample, SampleSet
from jspsr_cli.training.limits import Beyond, count_beyond
from jspsr_cli.types import FloatArray

#: which crop, and in which epoch, since every epoch draws anew
Draw = tuple[int, int]

#: what `Crops` gives: `dem`, `target` and guides scaled, float32 (bands, rows, columns); `base` in metres; `index`,
#: `row` and `col` of the crop
Item = dict[str, Any]

# With this probability a crop is turned by one to three quarters and perhaps flipped.
AUGMENTED_SHARE = 0.5


def tile_starts(side: int, size: int) -> tuple[int, ...]:
    """Starts along one side of the fewest evenly spaced tiles of `size` that cover `side` (103 apart at 334)."""
    gaps = -(-(side - size) // size)
    return tuple(i * (side - size) // gaps for i in range(gaps + 1)) if gaps else (0,)


def tiles_of(starts: Sequence[int]) -> list[tuple[int, int]]:
    """First row and column of all tiles of a sample, row by row."""
    return list(product(starts, starts))


class Crops(Dataset[Item]):
    """Crops of samples by (epoch, index): all of a sample's tiles, or random places where `random` says so.

    A sample is scaled with its own base, the lowest height of all of its DEM, also where a crop shows a part of it.
    """

    def __init__(self, found: SampleSet, config: TrainingConfig, *, training: bool) -> None:
        self.samples: Sequence[Sample] = found.samples
        self._side, self._size = found.side, config.patch_size
        self._shuffled = training
        self._random = training and config.crop_mode == "random" and self._side > self._size
        self._augment = training and config.augment
        self._seed = config.seed
        self._scale = HeightScale(*config.height_range)
        self._tiles = tiles_of(tile_starts(self._side, self._size))
        self.per_sample = (config.patches_per_image or len(self._tiles)) if self._random else len(self._tiles)
        self._kept = [sample.read() for sample in self.samples] if config.preload else None
        self._bases: dict[int, float] = {}
        self._last: tuple[int, SamplePixels] | None = None

    def beyond(self) -> Beyond:
        """Count what of the samples lies beyond the scale: reads each of them once, unless they are kept.

        Raises:
            ReadFailed: a layer breaks off, or has no valid pixel at all.
        """
        pixels = self._kept or (sample.read() for sample in self.samples)
        return sum((count_beyond(one, self._scale) for one in pixels), start=Beyond())

    def __len__(self) -> int:
        return len(self.samples) * self.per_sample

    def name(self, index: int) -> str:
        """City, id and, where there are several, number of a crop."""
        sample, crop = divmod(index, self.per_sample)
        return self.samples[sample].name + (f" crop {crop}" if self.per_sample > 1 else "")

    def __getitem__(self, draw: Draw) -> Item:
        epoch, index = draw
        number, crop = divmod(index, self.per_sample)
        # Its own stream for every crop of every epoch, so that neither workers nor order matter.
        chance = np.random.default_rng((self._seed, epoch, index))
        row, col = self._tiles[crop] if not self._random else chance.integers(0, self._side - self._size + 1, 2)
        pixels, base = self._read(number, Window(col, row, self._size, self._size))
        planes = scaled_planes(pixels, self._scale, base=base)
        if self._augment:
            planes = augmented(planes, chance)
        tensors = {name: torch.from_numpy(np.ascontiguousarray(plane)) for name, plane in planes.items()}
        return {**tensors, "base": base, "index": index, "row": int(row), "col": int(col)}

    def _read(self, number: int, window: Window) -> tuple[SamplePixels, float]:
        """What `window` shows of a sample, and the base of all of it."""
        sample = self.samples[number]
        if self._shuffled and not self._kept and self._side > self._size:
            # The next crop is of another sample: reading all of this one would be nine times the work at 3 m.
            if number not in self._bases:
                self._bases[number] = sample.base()
            return sample.read(window), self._bases[number]
        if self._last is None or self._last[0] != number:
            self._last = number, self._kept[number] if self._kept else sample.read()
        whole = self._last[1]
        return whole.part(window), float(whole.dem.min())


def scaled_planes(pixels: SamplePixels, scale: HeightScale, *, base: float) -> dict[str, FloatArray]:
    """All layers of a sample, or a part of it, scaled; `base` is that of the whole sample, the truth `target`."""
    return {
        **scaled_heights(pixels, scale, base=base),
        **{name: GUIDES[name].scale(plane) for name, plane in pixels.guides.items()},
    }


def scaled_heights(pixels: SamplePixels, scale: HeightScale, *, base: float) -> dict[str, FloatArray]:
    """`dem`, `target` (the truth) and other elevation models, scaled, as `scaled_planes` has them."""
    compared = {"target": pixels.truth, **pixels.others}
    return {
        "dem": scale.scale(pixels.dem, base),
        **{name: scale.scale(_in_range(plane, base + scale.low), base) for name, plane in compared.items()},
    }


def _in_range(heights: FloatArray, lowest: float) -> FloatArray:
    """Heights, void where they are so far below the base that the scale has no number for them."""
    kept: FloatArray = np.where(heights > lowest, heights, np.float32(np.nan))
    return kept


def augmented(planes: dict[str, FloatArray], chance: np.random.Generator) -> dict[str, FloatArray]:
    """Half the time: all planes turned by one to three quarters, then mirrored left-right and up-down at random."""
    if chance.random() >= AUGMENTED_SHARE:
        return planes
    quarters = int(chance.integers(1, 4))
    mirrored = tuple(axis for axis in (2, 1) if chance.random() < 0.5)
    return {name: np.flip(np.rot90(plane, quarters, axes=(1, 2)), mirrored) for name, plane in planes.items()}


class EpochSampler(Sampler[Draw]):
    """Draws for one process of `world`: shuffled anew every epoch, or in order where `seed` is None.

    All processes get as many, the first draws a second time where the number does not divide.
    """

    def __init__(self, crops: Sized, *, seed: int | None, rank: int = 0, world: int = 1) -> None:
        self._total, self._seed = len(crops), seed
        self._rank, self._world = rank, world
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the training library before an epoch begins."""
        self._epoch = epoch

    def __len__(self) -> int:
        return -(-self._total // self._world)

    def __iter__(self) -> Iterator[Draw]:
        order = np.arange(self._total)
        if self._seed is not None:
            np.random.default_rng((self._seed, self._epoch)).shuffle(order)
        mine = np.resize(order, len(self) * self._world)[self._rank :: self._world]
        return iter([(self._epoch, int(index)) for index in mine])

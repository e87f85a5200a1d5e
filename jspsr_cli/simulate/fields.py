"""Random fields on square grids, and their change from one grid to another."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.sparse import csr_array

from jspsr_cli.types import FloatArray

Chance = np.random.Generator


def stream(*key: int) -> Chance:
    """Random numbers of their own for every `key`, the same in any process."""
    return np.random.default_rng(key)


def noise(
    chance: Chance, side: int, *, extent: float, longest: float, shortest: float, roughness: float = 4.0
) -> FloatArray:
    """Gaussian noise of unit variance, float32 (side, side), over `extent` metres a side.

    Its spectrum falls with frequency to the power `roughness` between the wavelengths `longest` and `shortest` in
    metres, and fades out beyond.
    """
    # A spectrum makes a torus: of a larger one, a part has edges that do not meet.
    whole = fft.next_fast_len(side + side // 3, real=True)
    frequency = _frequencies(whole) * np.float32(side / extent)
    fall = np.log(frequency) * np.float32(-roughness / 2)
    fade = (frequency * np.float32(shortest)) ** 2 / 2
    long = (frequency * np.float32(longest)) ** 2
    amplitude = np.exp(fall - fade) * long / np.sqrt(1 + long * long)
    amplitude[0, 0] = 0
    # White noise has a white spectrum: what is drawn here is half of one, enough for a real field.
    drawn = chance.standard_normal((2, *amplitude.shape), dtype=np.float32)
    values = fft.irfft2((drawn[0] + 1j * drawn[1]) * amplitude, s=(whole, whole))[:side, :side]
    return standardised(values)


@lru_cache(maxsize=8)
def _frequencies(side: int) -> FloatArray:
    """Frequencies (side, side // 2 + 1) of a spectrum in cycles per cell, 1 in place of 0."""
    found: FloatArray = np.hypot(fft.fftfreq(side)[:, None], fft.rfftfreq(side)[None]).astype(np.float32)
    found[0, 0] = 1
    return found


def standardised(values: FloatArray) -> FloatArray:
    """`values` as float32 with mean 0 and variance 1."""
    result: FloatArray = ((values - values.mean()) / max(float(values.std()), 1e-9)).astype(np.float32)
    return result


def piece(whole: FloatArray, side: int, chance: Chance) -> FloatArray:
    """A part (side, side) of a larger square, turned and mirrored at random; not to be changed."""
    row, col = chance.integers(0, len(whole) - side + 1, 2)
    part = whole[row : row + side, col : col + side]
    if chance.random() < 0.5:
        part = part.T
    return part[:: int(chance.choice([1, -1])), :: int(chance.choice([1, -1]))]


def enlarged(values: FloatArray, side: int) -> FloatArray:
    """Smooth field (side, side) over the same ground as the coarser `values`, by cubic B-splines: float32."""
    weights = _splines(values.shape[0], side)
    wide = np.ascontiguousarray((weights @ np.ascontiguousarray(values.T, dtype=np.float32)).T)
    result: FloatArray = weights @ wide
    return result


@lru_cache(maxsize=32)
def _splines(coarse: int, fine: int) -> csr_array:
    """Weights (fine, coarse) of the coarse cells for each fine one, edges repeated."""
    at = (np.arange(fine) + 0.5) * coarse / fine - 0.5
    first = np.floor(at).astype(int) - 1
    steps = np.arange(4)
    distance = np.abs(at[:, None] - first[:, None] - steps)
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.maximum(2 - distance, 0) ** 3 / 6
    weights = np.where(distance < 1, near, far).astype(np.float32)
    cells = np.clip(first[:, None] + steps, 0, coarse - 1)
    return csr_array((weights.ravel(), cells.ravel(), 4 * np.arange(fine + 1)), shape=(fine, coarse))


def averaged(values: NDArray[Any], factor: int) -> FloatArray:
    """Means of `factor` x `factor` pixels, float32."""
    rows, cols = (length // factor * factor for length in values.shape)
    # Whole rows and columns at a time: several times quicker than sums over blocks.
    tall: FloatArray = np.add.reduce([values[i:rows:factor, :cols] for i in range(factor)], dtype=np.float32)
    wide: FloatArray = np.add.reduce([tall[:, i::factor] for i in range(factor)])
    return wide / np.float32(factor**2)


def shifted(by: int, side: int) -> tuple[slice, slice]:
    """The pixels of a row that have another one `by` further on (before, if below 0), and those others."""
    return slice(max(-by, 0), side - max(by, 0)), slice(max(by, 0), side - max(-by, 0))


def smoothstep(share: FloatArray) -> FloatArray:
    """From 0 to 1 without a kink at either end, of a share that is cut to 0..1."""
    cut = np.clip(share, 0, 1)
    result: FloatArray = cut * cut * (3 - 2 * cut)
    return result


def between(chance: Chance, low: float, high: float) -> float:
    """A number between `low` and `high`."""
    return float(chance.uniform(low, high))


def between_log(chance: Chance, low: float, high: float) -> float:
    """A number between `low` and `high`, each doubling as likely as the next."""
    return float(np.exp(chance.uniform(np.log(low), np.log(high))))

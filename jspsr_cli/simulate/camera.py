"""From the light of a scene to the pixels of an orthophoto: haze, colour balance, seams, contrast, JPEG."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from scipy.sparse import csr_array

from jspsr_cli.simulate.fields import Chance, between, between_log, shifted
from jspsr_cli.types import FloatArray

# The brightest value of a photo.
WHITE = 255.0

# Weights of red, green and blue in what the eye takes for brightness (ITU-R BT.601).
BRIGHTNESS = np.array([0.299, 0.587, 0.114], dtype=np.float32)

# Metres that what stands on the ground leans to the side for each metre of its height, if at all: up to where the next
# photograph, which overlaps, takes over.
LEAN = (-0.05, 0.22)

# Qualities of JPEG, from that of web maps up.
JPEG = (40, 95)


def leaning(above: FloatArray, chance: Chance, *, metres: float) -> NDArray[np.intp]:
    """The pixel (side, side), counted row by row, that is seen in place of each.

    Photographs are laid on the terrain: what stands `above` it by some metres leans away from the camera. It hides what
    lies behind; its side that faces the camera looks like its top.
    """
    side = len(above)
    own = np.arange(side * side, dtype=np.intp).reshape(side, side)
    lean, angle = between(chance, *LEAN), between(chance, 0, 2 * np.pi)
    seen = own.copy()
    for step in range(1, int(float(above.max()) * lean / metres + 0.5) + 1):
        rows, cols = shifted(round(step * np.sin(angle)), side), shifted(round(step * np.cos(angle)), side)
        reaches = above[rows[0], cols[0]] * np.float32(lean) > (step - 0.5) * metres
        seen[rows[1], cols[1]][reaches] = own[rows[0], cols[0]][reaches]
    return seen


def averages(planes: FloatArray, *, factor: int, spare: int, off: tuple[float, float]) -> FloatArray:
    """Means (3, rows, columns) of `factor` x `factor` pixels of `planes`, which have `spare` more of them all around.

    The photo lies `off` pixels down and to the right of where it should, by less than `spare`.
    """
    rows, cols = (_boxes(planes.shape[1], factor, spare, way) for way in off)
    return np.stack([(cols @ np.ascontiguousarray((rows @ plane).T)).T for plane in planes])


def _boxes(side: int, factor: int, spare: int, off: float) -> csr_array:
    """Weights (count, side) of the pixels in the mean of each `factor` of them; those at both ends count in part."""
    count = (side - 2 * spare) // factor
    first = spare + int(np.floor(off))
    share = off - np.floor(off)
    weights = np.full((count, factor + 1), 1 / factor, dtype=np.float32)
    weights[:, 0] *= 1 - share
    weights[:, -1] *= share
    pixels = first + factor * np.arange(count)[:, None] + np.arange(factor + 1)
    starts = (factor + 1) * np.arange(count + 1)
    return csr_array((weights.ravel(), pixels.ravel(), starts), shape=(count, side))


def developed(light: FloatArray, chance: Chance) -> NDArray[np.uint8]:
    """A photo uint8 (3, rows, columns) of `light`, in which white in full sun is 1 and the root is taken."""
    seen = _stretched(_through_air(light, chance), chance)
    seen = _balanced(seen, chance)
    seen *= _uneven(seen.shape[1:], chance)
    seen += np.float32(between(chance, 0, 2.5)) * chance.standard_normal(seen.shape, dtype=np.float32)
    if chance.random() < 0.3:  # from coarser or resampled imagery
        width = between(chance, 0.3, 1.1)
        seen = ndimage.gaussian_filter(seen, (0, width, width), truncate=3)
    pixels = np.clip(np.rint(seen), 0, WHITE).astype(np.uint8)
    return _compressed(pixels, round(between(chance, *JPEG))) if chance.random() < 0.4 else pixels


def _through_air(light: FloatArray, chance: Chance) -> FloatArray:
    """With the light of hazy air between ground and camera, which is blue or white."""
    blue = between(chance, 0, 0.3)
    air = np.array([1 - blue, 1, 1 + blue], dtype=np.float32) * np.float32(between(chance, 0.4, 0.7))
    thick = np.float32(0.3 * chance.beta(1, 2.5))
    return light + thick * (air[:, None, None] - light)


def _stretched(seen: FloatArray, chance: Chance) -> FloatArray:
    """In values of 0 to 255: as exposed, or with the darkest and brightest where a mosaic wants them."""
    gamma = np.float32(between_log(chance, 0.75, 1.2))
    curved = np.maximum(seen, 0) ** gamma
    low, high = (float(value) for value in np.percentile(curved, (2, 98)))
    usual = WHITE * between_log(chance, 1.0, 1.7)
    if chance.random() < 0.5:
        brightest = np.clip(usual * high, 115, between(chance, 215, 250))
        return curved * np.float32(brightest / max(high, 1e-3))
    dark = between(chance, 10, 85)
    bright = dark + between(chance, 30, 170)
    # Nobody makes snow of a meadow: even ground keeps its contrast within limits.
    slope = min((bright - dark) / max(high - low, 1e-3), usual * 1.6)
    result: FloatArray = (curved - np.float32((low + high) / 2)) * np.float32(slope) + np.float32((dark + bright) / 2)
    return result


def _balanced(seen: FloatArray, chance: Chance) -> FloatArray:
    """With colours stronger or paler, and with a cast."""
    grey = np.tensordot(BRIGHTNESS, seen, axes=1)
    paled = grey + np.float32(between_log(chance, 0.45, 1.45)) * (seen - grey)
    cast = np.exp(chance.normal(0, 0.035, (3, 1, 1))).astype(np.float32)
    tint = chance.normal(0, 3, (3, 1, 1)).astype(np.float32)
    balanced: FloatArray = paled * cast + tint
    return balanced


def _uneven(shape: tuple[int, ...], chance: Chance) -> FloatArray:
    """Factors (3, rows, columns): darker to one side, and beyond the seam between two strips of photographs."""
    down, right = (np.linspace(-0.5, 0.5, length, dtype=np.float32) for length in shape)
    angle = between(chance, 0, 2 * np.pi)
    way = down[:, None] * np.float32(np.sin(angle)) + right * np.float32(np.cos(angle))
    factors = 1 + np.repeat(way[None], 3, axis=0) * np.float32(between(chance, 0, 0.12))
    if chance.random() < 0.15:
        step = chance.normal(0, 0.02, (3, 1, 1)) + chance.normal(0, 0.07)
        blurred = np.clip((way - between(chance, -0.5, 0.5)) * between_log(chance, 10, 500), 0, 1)
        factors += step.astype(np.float32) * blurred
    return factors


def _compressed(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """As they are after JPEG."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(np.moveaxis(pixels, 0, -1))).save(file, "JPEG", quality=quality)
    return np.ascontiguousarray(np.moveaxis(np.asarray(Image.open(file)), -1, 0))

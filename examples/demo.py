"""The whole road on a small generated pair: `jspsr enhance` as a user would type it, checked and pictured.

    python examples/demo.py [FOLDER]

It needs nothing beside jspsr itself, takes well under a minute, and writes all it makes into FOLDER (demo). Its
weights are the identity: they return the upsampled input, so that every pixel of the output is known beforehand.
That shows that the plumbing works, and nothing of what trained weights do to buildings and trees.
"""

import argparse
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import array_bounds
from rasterio.warp import reproject, transform_bounds

from jspsr_models import WeightsInfo, identity_checkpoint, save_network

Array = NDArray[Any]

CRS = "EPSG:32632"
WEST, NORTH = 660_000.0, 5_330_000.0
SIDE = 2000  # of the orthophoto, in metres
AROUND = 400  # metres that the DEM reaches further
PIXEL = 2.0  # of the orthophoto, in metres
ARC_SECOND = 1 / 3600
SEED = 3

# Rounding of float32 heights stays far below; a shift of a thousandth of a pixel does not.
MILLIMETRE = 1e-3

# Pixel of the picture in metres, and its gaps and labels in pixels.
PICTURE_PIXEL = 4.0
GAP, LABEL = 16, 34
PAPER, INK = 255, 60

# The letters of the labels: seven rows of five dots, each row a digit to the base of 32.
LETTERS = {
    "D": "UHHHHHU", "E": "VGGUGGV", "H": "HHHVHHH", "I": "E44444E", "M": "HRLLHHH", "N": "HHPLJHH", "O": "EHHHHHE",
    "P": "UHHUGGG", "R": "UHHUKIH", "T": "V444444", "U": "HHHHHHE", "m": "00QLLHH", "0": "EHJLPHE", "2": "EH1248V",
    "3": "V2421HE", "8": "EHHEHHE", " ": "0000000",
}  # fmt: skip


def noise(side: int, *, roughness: float, rng: np.random.Generator) -> Array:
    """A random surface from 0 to 1, smoother where `roughness` (the power of its spectrum) is greater."""
    frequencies = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)) * side
    frequencies[0, 0] = np.inf
    spectrum = np.fft.fft2(rng.standard_normal((side, side))) / frequencies**roughness
    surface: Array = np.fft.ifft2(spectrum).real
    surface -= surface.min()
    surface /= surface.max()
    return surface


def ground(side: int) -> tuple[Array, Array]:
    """Heights of the surface in metres (rows, columns), and its colours (rows, columns, 3).

    `side` in pixels of the orthophoto; hills, fields, a forest on the higher ground and a village below it.
    """
    rng = np.random.default_rng(SEED)
    y, x = (np.mgrid[:side, :side] - side / 2) * PIXEL
    terrain = 420 + 190 * noise(side, roughness=2.1, rng=rng)
    village = np.hypot(x + 140, 1.2 * y - 180) < 60 + 560 * noise(side, roughness=1.7, rng=rng)
    wooded = noise(side, roughness=1.7, rng=rng) + (terrain - terrain.mean()) / 260
    forest = (wooded > np.quantile(wooded, 0.7)) & ~village
    above = np.where(forest, 13 + 9 * noise(side, roughness=0.9, rng=rng), 0.0)
    field = (x + 0.4 * y) // 190 * 7 + (y - 0.4 * x) // 90 * 13
    palette = np.array([(126, 142, 92), (150, 156, 104), (178, 168, 124), (110, 130, 82), (188, 180, 140)])
    colours = palette[field.astype(int) % len(palette)].astype(float)
    colours[forest] = (62, 88, 58)
    streets = ((x % 100 < 10) | (y % 80 < 8)) & village
    colours[village] = (132, 140, 100)
    colours[streets | (np.abs(x - 0.35 * y - 90 * np.sin(y / 260)) < 5)] = (190, 186, 178)
    # Plots of 30 m x 40 m between the streets: most have a house of 4 to 9 m, a few a hall that fills the plot.
    chance = rng.random((97, 89))[(y // 40).astype(int) % 97, (x // 100 * 3 + x % 100 // 30).astype(int) % 89]
    hall = (chance < 0.06) & (x % 30 > 2) & (y % 40 > 8)
    house = (chance > 0.3) & (x % 30 > 9 + 6 * (chance - 0.3)) & (x % 30 < 26) & (y % 40 > 14) & (y % 40 < 28)
    houses = village & ~streets & (hall | house)
    roofs = np.array([(198, 200, 204), (150, 80, 66), (170, 92, 72), (158, 128, 112), (184, 112, 86)])
    above[houses] = np.where(hall, 12, 4 + 5 * chance)[houses]
    colours[houses] = roofs[np.where(hall, 0, 1 + (chance * 97).astype(int) % 4)[houses]]
    surface = terrain + above
    light = np.clip(0.4 + 0.6 * hillshade(surface, PIXEL, PIXEL) / 180, 0.45, 1.25)
    texture = rng.normal(1, 0.015, (side, side)) * light
    return surface, np.clip(colours * texture[..., None], 0, 255).astype(np.uint8)


def write(path: Path, bands: Array, *, crs: str | None = None, transform: Affine | None = None) -> None:
    """Write `bands` (bands, rows, columns) in the format that the name of the file says."""
    layout = {"count": len(bands), "height": bands.shape[1], "width": bands.shape[2], "dtype": bands.dtype.name}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # a picture has no place
        with rasterio.open(path, "w", crs=crs, transform=transform, **layout) as dataset:
            dataset.write(bands)


def make_inputs(folder: Path, side: int) -> None:
    """Write cop30.tif and orthophoto.tif, and the weights identity.safetensors; `side` in metres."""
    surface, colours = ground(int((side + 2 * AROUND) / PIXEL))
    place = Affine(PIXEL, 0, WEST - AROUND, 0, -PIXEL, NORTH + AROUND)
    inside = slice(int(AROUND / PIXEL), int((AROUND + side) / PIXEL))
    photo = Affine(PIXEL, 0, WEST, 0, -PIXEL, NORTH)
    write(folder / "orthophoto.tif", np.moveaxis(colours[inside, inside], -1, 0), crs=CRS, transform=photo)
    # The radar saw roofs and tree tops, averaged over 1"; corners that lie outside the turned square stay out.
    west, south, east, north = transform_bounds(CRS, "EPSG:4326", *array_bounds(*surface.shape, place))
    corner = (np.ceil(west / ARC_SECOND) + 4, np.floor(north / ARC_SECOND) - 4)
    width, height = int(east / ARC_SECOND - corner[0]) - 4, int(corner[1] - south / ARC_SECOND) - 4
    degrees = Affine(ARC_SECOND, 0, (corner[0] - 0.5) * ARC_SECOND, 0, -ARC_SECOND, (corner[1] + 0.5) * ARC_SECOND)
    dem = np.zeros((1, height, width), dtype=np.float32)
    source = {"src_transform": place, "src_crs": CRS}
    target = {"dst_transform": degrees, "dst_crs": "EPSG:4326"}
    reproject(surface[None].astype(np.float32), dem, **source, **target, resampling=Resampling.average)
    write(folder / "cop30.tif", dem, crs="EPSG:4326", transform=degrees)
    info = WeightsInfo(
        name="identity", sha256="", inputs=("image",), num_feature=4, resolution=8.0,
        licence="none", trained_on="nothing: these weights return the upsampled DEM",
    )  # fmt: skip
    save_network(identity_checkpoint(), folder / "identity.safetensors", info)


def enhance(folder: Path) -> int:
    """Say the command that a user would type, run it, and return its exit code."""
    (folder / "dem.tif").unlink(missing_ok=True)
    inputs = [str(folder / name) for name in ("cop30.tif", "orthophoto.tif", "identity.safetensors")]
    command = ["enhance", inputs[0], "--guide", inputs[1], "--weights", inputs[2], "-o", str(folder / "dem.tif")]
    print(f"$ jspsr {' '.join(command)}", flush=True)
    return subprocess.run([sys.executable, "-m", "jspsr_cli", *command], check=False).returncode


def apply(t: Affine, x: Array, y: Array) -> tuple[Array, Array]:
    """`t` of many points."""
    return t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f


def keys(t: Array) -> Array:
    """Keys' bicubic kernel, a = -1/2 (IEEE Trans. ASSP 29(6), 1981)."""
    t = np.abs(t)
    far = np.where(t < 2, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2, 0)
    return np.where(t <= 1, 1.5 * t**3 - 2.5 * t**2 + 1, far)


def worst_error(folder: Path) -> float:
    """Largest distance in metres of the output from the bicubic DEM, computed here in exact coordinates.

    NaN where the output has a void.
    """
    with rasterio.open(folder / "dem.tif") as dataset:
        output = dataset.read(1, masked=True).astype(float).filled(np.nan)
        cols, rows = np.meshgrid(np.arange(dataset.width) + 0.5, np.arange(dataset.height) + 0.5)
        x, y = apply(dataset.transform, cols, rows)
    with rasterio.open(folder / "cop30.tif") as dataset:
        heights, to_pixels = dataset.read(1).astype(float), ~dataset.transform
    lon, lat = pyproj.Transformer.from_crs(CRS, "EPSG:4326", always_xy=True).transform(x, y)
    col, row = apply(to_pixels, lon, lat)
    first_col, first_row = np.floor(col - 0.5).astype(int) - 1, np.floor(row - 0.5).astype(int) - 1
    bicubic = np.zeros(output.shape)
    for i, j in np.ndindex(4, 4):
        weight = keys(row - 0.5 - first_row - i) * keys(col - 0.5 - first_col - j)
        bicubic += weight * heights[first_row + i, first_col + j]
    return float(np.abs(output - bicubic).max())


def hillshade(heights: Array, dx: float, dy: float) -> Array:
    """Light from the north-west, 45 degrees high, on heights of pixels of `dx` by `dy` metres; 180 is level ground."""
    south, east = np.gradient(heights, dy, dx)
    light = (1 + 1.6 * (south + east) / np.sqrt(2)) / np.sqrt(1 + 1.6**2 * (south**2 + east**2))
    shade: Array = np.clip(light * 180, 20, 255)
    return shade


def label(text: str, width: int) -> Array:
    """A strip of paper with `text` in its middle: grey values (LABEL, width)."""
    rows = [[f"{int(LETTERS[letter][row], 32):05b}0" for letter in text] for row in range(7)]
    dots = np.array([[int(dot) for dot in "".join(row)] for row in rows]).repeat(2, axis=0).repeat(2, axis=1)
    strip = np.full((LABEL, width), PAPER)
    top, left = LABEL - len(dots), (width - dots.shape[1]) // 2
    strip[top : top + dots.shape[0], left : left + dots.shape[1]] = np.where(dots, INK, PAPER)
    return strip


def draw(folder: Path) -> Path:
    """Draw picture.png: light on the DEM's own pixels, the orthophoto, light on the output."""
    with rasterio.open(folder / "orthophoto.tif") as dataset:
        photo = dataset.read().astype(float)
        side = int(dataset.width * PIXEL / PICTURE_PIXEL)
        x, y = apply(dataset.transform, *np.meshgrid(*[(np.arange(side) + 0.5) * PICTURE_PIXEL / PIXEL] * 2))
    photo = photo[:, : side * 2, : side * 2].reshape(3, side, 2, side, 2).mean(axis=(2, 4))
    panels = []
    for name in ("cop30.tif", "dem.tif"):
        with rasterio.open(folder / name) as dataset:
            lon, lat = pyproj.Transformer.from_crs(CRS, dataset.crs.to_wkt(), always_xy=True).transform(x, y)
            col, row = (np.floor(v).astype(int) for v in apply(~dataset.transform, lon, lat))
            dx, dy = dataset.transform.a, -dataset.transform.e
            if dataset.crs.is_geographic:
                dx, dy = (111_320 * np.cos(np.radians(lat.mean())) * dx, 111_320 * dy)
            panels.append(np.broadcast_to(hillshade(dataset.read(1).astype(float), dx, dy)[row, col], photo.shape))
    titles = ("INPUT DEM 30 m", "ORTHOPHOTO 2 m", "OUTPUT 8 m")
    columns = []
    for title, panel in zip(titles, (panels[0], photo, panels[1]), strict=True):
        titled = np.concatenate([panel, np.broadcast_to(label(title, side), (3, LABEL, side))], axis=1)
        columns += [titled, np.full((3, side + LABEL, GAP), PAPER)]
    # Steps of four are not seen, and halve the file.
    write(
        folder / "picture.png",
        np.minimum((np.concatenate(columns[:-1], axis=2) / 4).round() * 4, PAPER).astype(np.uint8),
    )
    return folder / "picture.png"


def main(folder: Path, *, side: int = SIDE) -> int:
    """Make the pair (`side` metres), enhance it, check and draw the result; returns the exit code."""
    folder.mkdir(parents=True, exist_ok=True)
    print(f"A generated pair: a 30 m DEM with forest and houses in it, and a 2 m orthophoto, in {folder}/.\n")
    make_inputs(folder, side)
    if code := enhance(folder):
        return code
    error = worst_error(folder)
    print(f"\nEvery pixel was compared with the bicubic DEM: the largest difference is {error * 1000:.3f} mm.")
    if not error <= MILLIMETRE:
        print("That is more than 1 mm, or a void: something is wrong with this installation.", file=sys.stderr)
        return 1
    print(
        f"{draw(folder)} shows, from left to right, the input, the orthophoto and the output.\n\n"
        "This shows the plumbing only. The weights are the identity: they return the upsampled input, so buildings\n"
        "and trees are still in the output. What removes them are trained weights: see 'jspsr weights list'."
    )
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Run jspsr on a small generated scene and check the result.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("demo"))
    sys.exit(main(parser.parse_args().folder))

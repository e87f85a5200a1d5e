"""Small rasters that tests make for themselves, and stand-ins for the network."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pyproj
import rasterio
import rasterio.warp
import shapely
import torch
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.windows import Window

from jspsr_models import WeightsInfo

Array = NDArray[Any]

ARC_SECOND = 1 / 3600

#: Columns per degree of GLO-30 by the latitude they begin at.
COLUMNS = ((0, 3600), (50, 2400), (60, 1800), (70, 1200), (80, 720), (85, 360))


def write_raster(
    path: Path, values: Array, *, crs: str | None, transform: Affine, mask: Array | None = None, **profile: Any
) -> Path:
    """Write `values` (rows, columns) or (bands, rows, columns); `mask` is True where the pixels are valid."""
    bands = values if values.ndim == 3 else values[None]
    layout = {"count": len(bands), "height": bands.shape[1], "width": bands.shape[2], "dtype": bands.dtype.name}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", driver="GTiff", crs=crs, transform=transform, **layout, **profile) as dataset,
    ):
        dataset.write(bands)
        if mask is not None:
            dataset.write_mask(mask)
    return path


def terrain(x: Array, y: Array) -> Array:
    """Smooth, irregular heights in metres for positions in metres; never constant."""
    hills = 30 * np.sin(x / 311) * np.cos(y / 273) + 12 * np.sin((x + 2 * y) / 97) + 5 * np.cos((3 * x - y) / 61)
    heights: Array = 150 + hills + x / 400 + 0.01 * np.hypot(x, y)
    return heights


def cop30(path: Path, *, lon: float, lat: float, size: int = 60, nodata: float | None = None) -> Path:
    """A GLO-30 crop of `size` rows around `lon`, `lat`: 1", wider columns polewards, half-pixel origin."""
    columns = next(count for start, count in reversed(COLUMNS) if abs(lat) >= start)
    dx, dy = 1 / columns, ARC_SECOND
    width = size
    west = round((lon - width * dx / 2) / dx) * dx - dx / 2
    north = round((lat + size * dy / 2) / dy) * dy + dy / 2
    cols, rows = np.meshgrid(np.arange(width) * dx * 111_320 * np.cos(np.radians(lat)), np.arange(size) * dy * 111_320)
    heights = terrain(cols, rows).astype(np.float32)
    transform = Affine(dx, 0, west, 0, -dy, north)
    return write_raster(path, heights, crs="EPSG:4326", transform=transform, nodata=nodata)


def guide_over(
    path: Path,
    source: Path,
    *,
    crs: str,
    resolution: float,
    bands: int = 3,
    dtype: str = "uint8",
    share: float = 0.6,
    values: Array | None = None,
    **profile: Any,
) -> Path:
    """A raster in `crs` over the middle `share` of `source`, random unless `values` (bands, ...) fill it."""
    with rasterio.open(source) as dataset:
        box = rasterio.warp.transform_bounds(dataset.crs, CRS.from_string(crs), *dataset.bounds, densify_pts=21)
    middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    half = ((box[2] - box[0]) * share / 2, (box[3] - box[1]) * share / 2)
    width, height = (max(1, int(2 * h / resolution)) for h in half)
    if values is None:
        high = 256 if dtype == "uint8" else 4096
        values = np.random.default_rng(1).integers(0, high, (bands, height, width)).astype(dtype)
    else:
        values = np.broadcast_to(np.asarray(values, dtype=dtype)[:, None, None], (bands, height, width))
    transform = Affine(resolution, 0, middle[0] - half[0], 0, -resolution, middle[1] + half[1])
    return write_raster(path, np.ascontiguousarray(values), crs=crs, transform=transform, **profile)


def piece(path: Path, source: Path, window: Window, *, turns: int = 0) -> Path:
    """A window of `source` as a raster of its own, its longitudes counted `turns` turns further on."""
    with rasterio.open(source) as dataset:
        place = Affine.translation(360 * turns, 0) * dataset.window_transform(window)
        return write_raster(path, dataset.read(window=window), crs=dataset.crs.to_string(), transform=place)


def vector(path: Path, shapes: Sequence[shapely.Geometry], *, crs: str = "EPSG:4326") -> Path:
    """A vector file of polygons."""
    kind = "MultiPolygon" if any(shape.geom_type == "MultiPolygon" for shape in shapes) else "Polygon"
    kind += " Z" * shapes[0].has_z
    pyogrio.raw.write(path, np.array(shapely.to_wkb(shapes)), [], [], geometry_type=kind, crs=crs)
    return path


def utm(lon: float, lat: float) -> str:
    """EPSG code of the UTM zone, by the plain rule."""
    return f"EPSG:{(32600 if lat >= 0 else 32700) + int((lon + 180) // 6) + 1}"


def weights_info(*inputs: str, **fields: Any) -> WeightsInfo:
    """What `enhance` has to know of a stand-in network."""
    known: dict[str, Any] = {
        "name": "stand-in", "sha256": "0" * 64, "inputs": inputs, "num_feature": 4, "propagation": True,
        "resolution": 8.0, "height_range": (-80.0, 929.0), "window": 64, "licence": "none", "attribution": "",
        "trained_on": "nothing", "simulated": False,
    }  # fmt: skip
    return WeightsInfo(**{**known, **fields})


def identity(dem: torch.Tensor, **_: torch.Tensor) -> torch.Tensor:
    """A network that returns its DEM."""
    return dem


def bicubic(path: Path, x: Array, y: Array, crs: str) -> Array:
    """Heights of the raster `path` at positions of `crs`, by Keys' bicubic kernel (a = -1/2) in exact coordinates.

    Written without GDAL's warp, as the truth to hold it against. NaN where the 4 x 4 kernel leaves the raster or
    meets a void.
    """
    with rasterio.open(path) as dataset:
        heights = dataset.read(1, masked=True).astype(np.float64).filled(np.nan)
        inverse, source = ~dataset.transform, dataset.crs
        middle, _ = dataset.transform @ (dataset.width / 2, dataset.height / 2)
    px, py = pyproj.Transformer.from_crs(crs, source.to_wkt(), always_xy=True).transform(x, y)
    if source.is_geographic:  # a raster across the antimeridian counts its longitudes on
        px = middle + (px - middle + 180) % 360 - 180
    col = inverse.a * px + inverse.b * py + inverse.c - 0.5
    row = inverse.d * px + inverse.e * py + inverse.f - 0.5
    first_row, first_col = np.floor(row).astype(int) - 1, np.floor(col).astype(int) - 1
    rows, cols = heights.shape
    inside = (first_row >= 0) & (first_col >= 0) & (first_row + 3 < rows) & (first_col + 3 < cols)
    total = np.zeros(row.shape)
    for i in range(4):
        for j in range(4):
            r, c = np.where(inside, first_row + i, 0), np.where(inside, first_col + j, 0)
            total += _keys(row - first_row - i) * _keys(col - first_col - j) * heights[r, c]
    return np.where(inside, total, np.nan)


def _keys(t: Array) -> Array:
    t = np.abs(t)
    near = 1.5 * t**3 - 2.5 * t**2 + 1
    far = -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    return np.where(t <= 1, near, np.where(t < 2, far, 0))


def centres(path: Path) -> tuple[Array, Array, str]:
    """Coordinates of the pixel centres of a raster (rows, columns), and its CRS."""
    with rasterio.open(path) as dataset:
        cols, rows = np.meshgrid(np.arange(dataset.width) + 0.5, np.arange(dataset.height) + 0.5)
        t = dataset.transform
        return t.a * cols + t.c, t.e * rows + t.f, dataset.crs.to_wkt()


def heights_of(path: Path) -> Array:
    """Heights of an output (rows, columns), NaN for nodata."""
    with rasterio.open(path) as dataset:
        values: Array = dataset.read(1, masked=True).astype(np.float64).filled(np.nan)
        return values


def damaged(path: Path) -> Path:
    """Rewrite a raster of 90 pixels or more in compressed blocks, and spoil one that no sample looks into."""
    with rasterio.open(path) as dataset:
        values, crs, transform = dataset.read(), dataset.crs, dataset.transform
    blocks: dict[str, Any] = {"blockxsize": 16, "blockysize": 16}
    write_raster(path, values, crs=crs, transform=transform, tiled=True, compress="deflate", **blocks)
    with rasterio.open(path) as dataset:
        offset = int(dataset.get_tag_item(f"BLOCK_OFFSET_1_{dataset.height * 3 // 4 // 16}", "TIFF", bidx=1))
    content = bytearray(path.read_bytes())
    content[offset : offset + 16] = bytes(16)
    path.write_bytes(content)
    return path

"""Rasters for `prepare`: a scene of ten samples, and a folder of samples like DFC30_source."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import rasterio
from affine import Affine

from jspsr_cli.training.prepare import prepare
from jspsr_cli.training.request import PrepareOptions
from jspsr_cli.training.results import PrepareReport
from tests.scenes import Array, write_raster

UTM = "EPSG:32631"

#: a sample of the scene: 32 pixels of 8 m; its first one begins on the lattice, at longitude 3 and latitude 47
SIDE, PIXEL = 32, 8.0
CELL = SIDE * PIXEL
WEST, SOUTH = 1951 * CELL, 20_332 * CELL
COLUMNS, ROWS = 5, 2


def plane(x: Array, y: Array) -> Array:
    heights: Array = 100 + 0.02 * (x - WEST) + 0.03 * (y - SOUTH)
    return heights


def mesh(west: float, north: float, size: float, columns: int, rows: int) -> tuple[Array, Array]:
    x, y = np.meshgrid(west + size * (np.arange(columns) + 0.5), north - size * (np.arange(rows) + 0.5))
    return x, y


@dataclass
class Scene:
    """Rasters of 5 x 2 samples: a plane under a wavy DEM, and guides whose averages are known."""

    folder: Path

    @property
    def files(self) -> dict[str, list[Path]]:
        names = {"terrain": "dtm", "dem": "cop30", "image": "ortho", "mask": "use", "canopy": "chm"}
        return {role: [self.folder / f"{name}.tif"] for role, name in names.items()}

    def run(self, out: Path, **options: Any) -> PrepareReport:
        files = self.files | {role: options.pop(role) for role in (*self.files, "fabdem") if role in options}
        return prepare(out, **files, options=PrepareOptions(**{"name": "Here", "size": SIDE, **options}))

    def write(self, name: str, values: Array, size: float, *, west: float = WEST, **profile: Any) -> Path:
        north = SOUTH + ROWS * CELL
        return write_raster(
            self.folder / f"{name}.tif", values, crs=UTM, transform=Affine(size, 0, west, 0, -size, north), **profile
        )

    def terrain(self) -> Array:
        x, y = mesh(WEST, SOUTH + ROWS * CELL, 2, int(COLUMNS * CELL / 2), int(ROWS * CELL / 2))
        return plane(x, y).astype(np.float32)

    def cell(self, values: Array, column: int, row_from_north: int) -> Array:
        side = values.shape[-1] // COLUMNS
        return values[..., row_from_north * side : (row_from_north + 1) * side, column * side : (column + 1) * side]


def make_scene(folder: Path) -> Scene:
    """Write the rasters of the scene into `folder`."""
    made = Scene(folder)
    made.write("dtm", made.terrain(), 2, nodata=-1)
    step = 1 / 3600
    to_map = pyproj.Transformer.from_crs("EPSG:4326", UTM, always_xy=True)
    lon, lat = pyproj.Transformer.from_crs(UTM, "EPSG:4326", always_xy=True).transform(WEST, SOUTH + ROWS * CELL)
    west, north = lon - 20 * step, lat + 20 * step
    lons, lats = np.meshgrid(west + step * (np.arange(110) + 0.5), north - step * (np.arange(60) + 0.5))
    x, y = to_map.transform(lons, lats)
    heights = (plane(x, y) + 2 + np.sin(x / 70) + np.cos(y / 50)).astype(np.float32)
    write_raster(folder / "cop30.tif", heights, crs="EPSG:4326", transform=Affine(step, 0, west, 0, -step, north))
    shape = (int(ROWS * CELL / 4), int(COLUMNS * CELL / 4))
    even = np.indices(shape).sum(axis=0) % 2
    corner = (np.indices(shape) % 2 == 0).all(axis=0)
    made.write("ortho", np.stack([10 + 20 * even, 100 + 0 * even, 40 + even]).astype(np.uint8), 4)
    made.write("use", np.where(corner, 7, 10).astype(np.uint8), 4)
    made.write("chm", (10 * even).astype(np.uint8), 4)
    return made


def layer(out: Path, id_: str, name: str, *, city: str = "Here") -> Path:
    return out / "own_8m" / city / name / f"{id_}_{name}.tif"


def ids(out: Path, city: str, name: str = "RGEALTI") -> list[str]:
    return sorted(path.name.removesuffix(f"_{name}.tif") for path in (out / "own_8m" / city / name).iterdir())


def tags_of(path: Path) -> dict[str, str]:
    with rasterio.open(path) as dataset:
        tags: dict[str, str] = dataset.tags()
        return tags


def write_source(root: Path, city: str, id_: str, number: int) -> None:
    west, north = 400_000.0 + 1000 * number, 6_700_000.0
    x, y = mesh(west, north, 5, 200, 200)
    wide_x, wide_y = mesh(west - 60, north + 60, 30, 38, 38)
    ground = (plane(x, y) - plane(np.array(west), np.array(north))).astype(np.float32)
    dem = plane(wide_x, wide_y) - plane(np.array(west), np.array(north)) + np.sin(wide_x / 90)
    layers: dict[str, tuple[Array, float, float]] = {
        "RGEALTI": (ground, 5, 0), "COP30": (dem.astype(np.float32), 30, 60),
        "FATHOM": (dem.astype(np.float32), 30, 60),
        "BDORTHO": (np.full((3, 250, 250), 77, dtype=np.uint8), 4, 0),
        "UA2012": (np.full((200, 200), 31_000, dtype=np.uint16), 5, 0),
        "CHM": (np.full((500, 500), 9, dtype=np.uint8), 2, 0),
    }  # fmt: skip
    for name, (values, size, beyond) in layers.items():
        path = root / city / name / f"{id_}_{name}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        transform = Affine(size, 0, west - beyond, 0, -size, north + beyond)
        write_raster(path, values, crs="EPSG:2154", transform=transform)

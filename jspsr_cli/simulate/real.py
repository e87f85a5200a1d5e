"""Real ground under simulated sensors: squares of a terrain and a surface model, drawn at random."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from affine import Affine

from jspsr_cli.errors import EmptyRaster, NoOverlap
from jspsr_cli.plan import extent_of
from jspsr_cli.raster.grid import Grid
from jspsr_cli.raster.inputs import HeightLayers, canopy_layer, open_canopy, open_dem
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.sources import RasterFile
from jspsr_cli.raster.target import TargetRequest, target_of
from jspsr_cli.simulate.fields import averaged, stream
from jspsr_cli.simulate.scene import PLACE, Scene, fine_pixels
from jspsr_cli.tiling.voids import fill_voids
from jspsr_cli.types import BoolArray, FloatArray

# Squares with voids are drawn again, so many times.
TRIES = 100

# One of so many samples is for validation, so that a set keeps them as it grows; the second, so that two samples make a
# set. On real ground they lie apart, in this share of it at the eastern end.
VALID_EVERY, FIRST_VALID, VALID_SHARE = 10, 1, 0.25


def validates(number: int) -> bool:
    """Whether sample `number` is one to validate on."""
    return number % VALID_EVERY == FIRST_VALID


@dataclass(frozen=True)
class RealGround:
    """Terrain and surface models of the same ground by their paths, heights in metres above the same datum.

    `canopy` tells trees from buildings: without it, all that stands on the ground counts as trees.
    """

    terrain: tuple[str, ...]
    surface: tuple[str, ...]
    canopy: tuple[str, ...] = ()

    @cached_property
    def files(self) -> dict[str, tuple[RasterFile, ...]]:
        """The files by role. Raises as `open_dem`."""
        found = {"terrain": open_dem(self.terrain), "surface": open_dem(self.surface)}
        return {**found, "canopy": open_canopy(self.canopy)} if self.canopy else found

    def grid(self, resolution: float) -> Grid:
        """Whole pixels that the files share, in the CRS of the terrain if that is in metres, else in the UTM zone.

        Raises:
            NoOverlap: they share none.
        """
        extents = {role: extent_of(files) for role, files in self.files.items()}
        shared = target_of(TargetRequest(resolution), list(extents.values()), guide=extents["terrain"]).grid
        # The outermost may reach beyond the files, whose edges are no whole multiples of the resolution.
        return shared.part(1, 1, max(shared.height - 2, 1), max(shared.width - 2, 1))

    def scene(self, seed: int, number: int, *, resolution: float, size: int) -> Scene:
        """The square `number` of `seed`: always the same, and those that validate apart from the others.

        Raises:
            NoOverlap: the files share no such square.
            EmptyRaster: too many squares have voids.
            ReadFailed: a file broke off.
        """
        grid = self.grid(resolution)
        rows, first, last = _room(grid, size, valid=validates(number))
        chance = stream(seed, number, PLACE)
        for _ in range(TRIES):
            row, col = int(chance.integers(0, rows + 1)), int(chance.integers(first, last + 1))
            scene = self._cut(grid.part(row, col, size, size))
            if scene:
                return scene
        raise EmptyRaster(
            f"No square of {size} x {size} pixels without voids was found in {self.files['terrain'][0].name} and "
            f"{self.files['surface'][0].name}: choose a smaller --size."
        )

    def whole(self, resolution: float) -> tuple[Scene, BoolArray]:
        """All of the ground in the north-west of a square scene, filled beyond it, and which of its pixels are known.

        Raises as `scene`.
        """
        grid = self.grid(resolution)
        side = max(grid.width, grid.height)
        square = Grid(grid.crs, grid.transform, side, side)
        values, void = self._read(square)
        scene = _scene(square, values)
        known = averaged(void.astype(np.float32), scene.factor) == 0
        return scene, known[: grid.height, : grid.width]

    def _cut(self, grid: Grid) -> Scene | None:
        """The scene of a sample on `grid`, None where it has voids."""
        values, void = self._read(grid)
        return None if void.any() else _scene(grid, values)

    def _read(self, grid: Grid) -> tuple[dict[str, FloatArray], BoolArray]:
        """Fine pixels of and around a sample on `grid` by role, and which of those in it are void in any."""
        metres, side, margin = fine_pixels(grid.resolution[0], grid.width)
        west, _, _, north = grid.bounds
        corner = Affine(metres, 0, west - margin * metres, 0, -metres, north + margin * metres)
        fine = Grid(grid.crs, corner, side, side)
        values = {role: _aligned(role, files, fine)[0] for role, files in self.files.items()}
        inner = slice(margin, side - margin)
        return values, np.isnan(np.stack([layer[inner, inner] for layer in values.values()])).any(axis=0)


def _scene(grid: Grid, values: dict[str, FloatArray]) -> Scene:
    """The scene of a sample on `grid`, voids filled."""
    metres, _, margin = fine_pixels(grid.resolution[0], grid.width)
    found = {role: fill_voids(layer[None])[0].astype(np.float32) for role, layer in values.items()}
    above = np.maximum(found["surface"] - found["terrain"], 0)
    canopy = found.get("canopy", above)
    built = np.where(canopy < above / 2, above, 0).astype(np.float32)
    trees = np.where(built > 0, 0, above).astype(np.float32)
    water = np.zeros(above.shape, dtype=bool)
    return Scene("real ground", grid, metres, margin, found["terrain"], trees, built, None, water)


def _room(grid: Grid, size: int, *, valid: bool) -> tuple[int, int, int]:
    """The last row, the first and the last column that a square of `size` pixels may begin at."""
    if min(grid.width, grid.height) < size:
        raise NoOverlap(
            f"Terrain and surface share {grid.width} x {grid.height} pixels of {grid.resolution[0]:g} m, and a sample "
            f"has {size} x {size}: choose a smaller --size."
        )
    border = divides(grid, size)
    if border is None:
        return grid.height - size, 0, grid.width - size
    return (grid.height - size, border, grid.width - size) if valid else (grid.height - size, 0, border - size)


def divides(grid: Grid, size: int) -> int | None:
    """The column between ground to train and to validate on, None where there is no room for both."""
    border = min(round(grid.width * (1 - VALID_SHARE)), grid.width - size)
    return border if border >= size else None


@lru_cache(maxsize=1)
def _reader() -> RasterReader:
    """The open files of this process."""
    return RasterReader()


def _aligned(role: str, files: Sequence[RasterFile], grid: Grid) -> FloatArray:
    reader = _reader()
    if role == "canopy":
        return canopy_layer(files, grid, reader=reader).read(0, 0, grid.height, grid.width)
    layers = HeightLayers(files, grid, reader=reader, water=False)
    return layers.heights.read(0, 0, grid.height, grid.width)

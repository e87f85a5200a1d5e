"""What the heights of a terrain model and of a DEM are counted from, and how the one comes to the other's datum."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from jspsr_cli.errors import UnknownDatum
from jspsr_cli.plan import extent_of
from jspsr_cli.provenance import vertical_tags
from jspsr_cli.raster.grid import Grid
from jspsr_cli.raster.products import VERTICAL_TAG, common_datum, joined, vertical_datum
from jspsr_cli.raster.sources import RasterFile
from jspsr_cli.raster.vertical import VerticalDatum, VerticalTransform, parse_datum, vertical_transform
from jspsr_cli.training.dfc30 import TRUTH
from jspsr_cli.types import FloatArray


@dataclass(frozen=True)
class Datums:
    """Vertical datums of terrain and DEM, None where not known, and the change of the terrain's heights, if any."""

    terrain: VerticalDatum | None
    dem: VerticalDatum | None
    change: VerticalTransform | None

    @classmethod
    def of(
        cls,
        terrain: Sequence[RasterFile],
        dem: Sequence[RasterFile],
        grid: Grid,
        *,
        match: bool,
        terrain_datum: str | None,
    ) -> "Datums":
        """Those of files; `terrain_datum` for a terrain that does not say. With `match`, the change to the DEM's.

        Raises:
            UnknownDatum: one is not known, and needed.
            InvalidOption, MissingDatumGrid, NoOverlap: see `vertical_transform`.
        """
        given = parse_datum(terrain_datum, option="--terrain-datum") if terrain_datum else None
        if not match:
            return cls(given or vertical_datum(terrain[0]), vertical_datum(dem[0]), None)
        if given is None and vertical_datum(terrain[0]) is None:
            raise UnknownDatum(f"{terrain[0].name} does not say what its heights are counted from: --terrain-datum.")
        source = given or common_datum(terrain, option="--match-datum", what="terrain")
        target = common_datum(dem, option="--match-datum")
        change = vertical_transform(source, target, grid=grid, extent=extent_of(terrain), option="--terrain-datum")
        return cls(source, target, change)

    @property
    def text(self) -> str:
        """Both, for people."""
        names = [datum.name if datum else "not stated" for datum in (self.terrain, self.dem)]
        changed = f", terrain transformed by {self.change.title}" if self.change else ""
        return f"terrain {names[0]}, DEM {names[1]}{changed}"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What may make the network learn the distance of two datums."""
        if self.change or (self.terrain and self.dem and self.terrain.surface == self.dem.surface):
            return ()
        if self.terrain and self.dem:
            return (
                f"the terrain is in {self.terrain.name} and the DEM in {self.dem.name}, and the network would learn "
                "their distance: see --match-datum",
            )
        return (
            f"not both say what their heights are counted from ({self.text}): where that is not the same, the network "
            "learns the distance; see --terrain-datum and --match-datum",
        )

    def changed(self, terrain: FloatArray, grid: Grid) -> FloatArray:
        """Heights of the terrain (1, rows, columns) on `grid`, in the datum of the DEM."""
        return replace(self.change, grid=grid).applied(terrain[0], row=0)[None] if self.change else terrain

    def tags(self, layer: str, files: Sequence[RasterFile]) -> dict[str, str]:
        """What the heights of `layer`, made of `files`, are counted from; nothing where that is not known."""
        if layer == TRUTH and self.change:
            return vertical_tags(files, self.change)
        datums = [self.terrain] if layer == TRUTH else [vertical_datum(file) for file in files]
        known = [datum.tag for datum in datums if datum]
        return {VERTICAL_TAG: joined(known)} if known and len(known) == len(datums) else {}

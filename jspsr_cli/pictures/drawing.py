"""Panels read, coloured and put on a sheet; needs the extra `report`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import colormaps

from jspsr_cli import __version__
from jspsr_cli.errors import EmptyRaster
from jspsr_cli.limits import DEFAULT_PREVIEW_SIZE
from jspsr_cli.pictures.colours import Colours, coloured_difference
from jspsr_cli.pictures.ground import lengths
from jspsr_cli.pictures.layout import MINUS, Layout, layout_of
from jspsr_cli.pictures.panels import TERRAIN, alike, on_void, photographed, shaded, span
from jspsr_cli.pictures.relief import greys, light
from jspsr_cli.pictures.sheet import BETWEEN, Key, Titled, draw
from jspsr_cli.pictures.shown import Apart, Panel, Preview, Shown
from jspsr_cli.pictures.views import read_photo, read_view, shown_grid
from jspsr_cli.provenance import NOTICE_TAG
from jspsr_cli.raster.grid import WGS84, Grid, name_of, project_bounds
from jspsr_cli.raster.inputs import image_stretch
from jspsr_cli.raster.products import SEPARATOR, inherited, vertical_datum
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.types import BoolArray, FloatArray, Progress


def draw_panels(
    panels: Sequence[Shown],
    grid: Grid,
    output: Path,
    *,
    apart: Sequence[Shown] = (),
    size: int = DEFAULT_PREVIEW_SIZE,
    progress: Progress | None = None,
) -> Preview:
    """Draw `panels` on the ground of `grid`, and what the first of the two `apart`, if any, is above the second.

    Raises:
        EmptyRaster: no panel has data there, or the two have none on the same ground.
        ReadFailed: a raster broke off.
        WriteFailed: the disk is full, or the folder went away.
    """
    across, down = lengths(grid)
    layout = layout_of(len(panels) + bool(apart), ratio=across / down, size=size, lines=2 if apart else 1)
    view = shown_grid(grid, most=max(layout.width, layout.height))
    layout = layout.fitted(view)
    planes = _read([*panels, *apart], view, progress or (lambda _share: None))
    picture = _Picture(layout, view)
    warnings = _datum_warnings([*panels, *apart]) + picture.add(panels, planes[: len(panels)])
    difference = picture.add_difference(apart, planes[len(panels) :]) if apart else None
    width, height = picture.write(output, [*panels, *apart])
    return Preview(
        output=str(output),
        panels=tuple(picture.told),
        bounds=project_bounds(grid.bounds, grid.crs, WGS84),
        crs=name_of(grid.crs),
        ground=(across, down),
        resolution=view.resolution[0],
        width=width,
        height=height,
        difference=difference,
        warnings=tuple(warnings),
    )


def _read(panels: Sequence[Shown], view: Grid, progress: Progress) -> list[FloatArray]:
    """Heights (rows, columns) or photos (3, rows, columns) of all panels, files that come again read once."""
    planes: dict[tuple[object, ...], FloatArray] = {}
    keys = [(panel.photo, *(file.path for file in panel.files)) for panel in panels]
    with RasterReader() as reader:
        for number, (key, panel) in enumerate(zip(keys, panels, strict=True)):
            progress(number / len(panels))
            if key in planes:
                continue
            if panel.photo:
                stretch = image_stretch(panel.files, reader)
                planes[key] = read_photo(panel.files, view, reader=reader, stretch=stretch)
            else:
                planes[key] = read_view(panel.files, view, reader=reader)
    progress(1)
    return [planes[key] for key in keys]


def _datum_warnings(panels: Sequence[Shown]) -> list[str]:
    """What is known to be counted from something else than the first heights: the distance is in the picture."""
    known = {panel.title: vertical_datum(panel.files[0]) for panel in panels if not panel.photo}
    stated = [(title, datum) for title, datum in known.items() if datum]
    return [
        f"heights of {title} are in {datum.name} and those of {stated[0][0]} in {stated[0][1].name}: their distance is "
        "part of what the picture shows"
        for title, datum in stated[1:]
        if datum.surface != stated[0][1].surface
    ]


@dataclass(frozen=True)
class _Way:
    """How heights are coloured: the heights at the ends of the colours, and the greys of their light."""

    ends: tuple[float, float]
    greys: tuple[float, float]


class _Picture:
    """The panels so far, and the legend that they need."""

    def __init__(self, layout: Layout, view: Grid) -> None:
        self._layout, self._view = layout, view
        self._keys: list[Key] = []
        self._voids = False
        self.panels: list[Titled] = []
        self.told: list[Panel] = []

    def add(self, panels: Sequence[Shown], planes: Sequence[FloatArray]) -> list[str]:
        """Panels of heights and photos; returns warnings. Raises EmptyRaster where none has data."""
        empty = [panel.title for panel, plane in zip(panels, planes, strict=True) if np.isnan(plane).all()]
        if len(empty) == len(panels):
            raise EmptyRaster(f"No pixel of {' and '.join(empty)} has data on the ground shown: check the files, or "
                              "--bounds.")  # fmt: skip
        heights = {number: plane for number, plane in enumerate(planes) if not panels[number].photo}
        ways = self._ways(panels, {n: plane for n, plane in heights.items() if panels[n].title not in empty})
        for number, (panel, plane) in enumerate(zip(panels, planes, strict=True)):
            known = ~np.isnan(plane if plane.ndim == 2 else plane[0])
            way = ways.get(number, _Way(ends=(0.0, 1.0), greys=(0.0, 1.0)))
            colours = photographed(plane) if panel.photo else self._shaded(plane, way)
            self._put((panel.title,), colours, known)
            self.told.append(Panel(name=panel.title, heights=way.ends if number in ways else None))
        return [f"{title} has no data on the ground shown" for title in empty]

    def _ways(self, panels: Sequence[Shown], heights: dict[int, FloatArray]) -> dict[int, "_Way"]:
        """How the heights of each panel are coloured, those that can be compared alike; puts keys into the legend."""
        ways: dict[int, _Way] = {}
        groups = alike(heights)
        for numbers in groups:
            planes = [heights[number] for number in numbers]
            way = _Way(ends=span(planes), greys=greys([self._lit(plane) for plane in planes]))
            ways |= dict.fromkeys(numbers, way)
            more = f" + {len(numbers) - 1}" if len(numbers) > 1 else ""
            label = f"metres, {panels[numbers[0]].title}{more}" if len(groups) > 1 else "height in metres"
            self._keys.append(Key(TERRAIN, *way.ends, label, _beyond(planes, way.ends)))
        return ways

    def _lit(self, heights: FloatArray) -> FloatArray:
        return light(heights, self._view.resolution[0])

    def _shaded(self, heights: FloatArray, way: "_Way") -> Colours:
        return shaded(heights, lights=self._lit(heights), ends=way.ends, greys=way.greys)

    def add_difference(self, apart: Sequence[Shown], planes: Sequence[FloatArray]) -> Apart:
        """The panel of the first minus the second. Raises EmptyRaster where they share no pixel."""
        first, second = (shown.title for shown in apart)
        metres = planes[0] - planes[1]
        known = np.isfinite(metres)
        if not known.any():
            raise EmptyRaster(f"{first} and {second} have no data on the same ground: there is no difference to show.")
        colours, end = coloured_difference(metres)
        far = metres[known].astype(np.float64)
        found = Apart(of=(first, second), mean=float(far.mean()), rms=float(np.sqrt((far**2).mean())), end=end)
        beyond = "both" if np.abs(far).max() > end else "neither"
        self._keys.append(Key(colormaps["RdBu_r"], -end, end, "difference in metres, red above", beyond))
        line = f"mean {found.mean:+.2f} m, RMS {found.rms:.2f} m as drawn".replace("-", MINUS)
        self._put((first, second), colours, known, line=line)
        self.told.append(Panel(name=BETWEEN.join((first, second)), heights=None))
        return found

    def _put(self, titles: tuple[str, ...], colours: Colours, known: BoolArray, *, line: str = "") -> None:
        self._voids |= not known.all()
        size = (self._layout.height, self._layout.width)
        self.panels.append(Titled(on_void(colours, known, size), titles, line))

    def write(self, output: Path, shown: Sequence[Shown]) -> tuple[int, int]:
        """Write the picture; returns its width and height in pixels. Raises WriteFailed."""
        files = [file for panel in shown for file in panel.files]
        notices = {f"{file.name}: {notice}" for panel in shown for file in panel.files
                   if (notice := file.tags.get(NOTICE_TAG))}  # fmt: skip
        attributions = SEPARATOR.join(inherited(files)[1])
        tags = {"Software": f"jspsr {__version__}", **({"Copyright": attributions} if attributions else {})}
        return draw(
            output,
            self.panels,
            self._layout,
            metres=lengths(self._view)[0] / self._layout.width,
            keys=self._keys,
            voids=self._voids,
            notes=sorted(notices),
            tags=tags,
        )


def _beyond(heights: Sequence[FloatArray], ends: tuple[float, float]) -> str:
    """On which sides there are heights beyond the colours, as matplotlib says it."""
    below = min(float(np.nanmin(plane)) for plane in heights) < ends[0]
    above = max(float(np.nanmax(plane)) for plane in heights) > ends[1]
    return {(True, True): "both", (True, False): "min", (False, True): "max"}.get((below, above), "neither")

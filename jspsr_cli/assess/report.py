"""The page of `evaluate --report`: everything found, in one HTML file that needs nothing else; extra `report`.

The same evaluation gives the same bytes: neither clock times nor folders are in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from jspsr_cli import __version__
from jspsr_cli.assess.bootstrap import SUFFICIENT_BLOCKS, TIMES_AS_WIDE
from jspsr_cli.assess.charts import COLOURS, DASHES, MARKS, Chart, error_chart, ground_chart, profile_chart
from jspsr_cli.assess.counting import OVERALL, Counted
from jspsr_cli.assess.evaluated import Assessed, Evaluation, Offset
from jspsr_cli.assess.ground import PARTITIONS
from jspsr_cli.assess.maps import pictures_of, read_views
from jspsr_cli.assess.origins import notices_of, origins_of
from jspsr_cli.assess.profile import Line, choose_line, read_profile
from jspsr_cli.assess.rasters import Layers, Rasters
from jspsr_cli.assess.telling import FIGURES
from jspsr_cli.assess.verdict import blocks, share, verdicts
from jspsr_cli.errors import WriteFailed
from jspsr_cli.pictures.layout import MINUS
from jspsr_cli.raster.grid import Grid
from jspsr_cli.raster.reader import RasterReader
from jspsr_models.files import appearing

TEMPLATE = "report.html"

# Per cent of a picture that a letter at the end of the line takes.
LETTER = 10


@dataclass(frozen=True, kw_only=True)
class Material:
    """What an evaluation was made of: rasters, open layers on `grid`, tallies, offsets that were taken out.

    `options` are those of the command that are not files.
    """

    rasters: Rasters
    layers: Layers
    grid: Grid
    counted: Counted
    offsets: Mapping[str, Offset]
    reader: RasterReader
    options: Sequence[str]


@dataclass(frozen=True)
class Source:
    """How a source is marked in plots: by colour, by line and by mark."""

    name: str
    colour: str
    dashes: str
    mark: str


@dataclass(frozen=True)
class Placed:
    """A line on a picture of the whole grid, in per cent: from `begin` to `end` to the east, or south where `down`.

    `aside` is how far from the other edge it lies.
    """

    down: bool
    begin: float
    end: float
    aside: float

    @property
    def turns(self) -> tuple[float, float]:
        """Per cent of its size by which each letter is moved along the line: out of its way where there is room."""
        return (-100 if self.begin > LETTER else 0), (0 if self.end < 100 - LETTER else -100)


@dataclass(frozen=True)
class Ground:
    """A way to tell ground apart: plot, and lines by kind of ground."""

    title: str
    chart: Chart
    lines: dict[str, list[Assessed]]


def write_report(path: Path, found: Evaluation, material: Material) -> None:
    """Write the page, whole or not at all. Raises ReadFailed, and WriteFailed where the disk is full or went away."""
    text = page_of(found, material)
    try:
        with appearing(path) as part:
            part.write_text(text, "utf-8", newline="\n")
    except OSError as error:
        raise WriteFailed(f"{path} cannot be written: {error.strerror or error}.") from error


def page_of(found: Evaluation, material: Material) -> str:
    """The page as text. Raises ReadFailed."""
    views = read_views(material.rasters, material.grid, offsets=dict(material.offsets), reader=material.reader)
    line = choose_line(views.contrast, views.grid, material.grid)
    profile = read_profile(material.layers, line, material.grid)
    environment = Environment(
        loader=PackageLoader("jspsr_cli.assess"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"fixed": _fixed, "share": share}
    counts = {name: material.counted.tallies[OVERALL, name].bins[0] for name in found.sources}
    return environment.get_template(TEMPLATE).render(
        found=found,
        version=__version__,
        verdicts=verdicts(found),
        blocks=blocks(found),
        sufficient=SUFFICIENT_BLOCKS,
        times_as_wide=TIMES_AS_WIDE,
        notices=notices_of(material.rasters),
        sources=_sources(found.sources),
        figures=FIGURES,
        maps=pictures_of(views, reference=found.reference),
        errors=error_chart(counts),
        grounds=_grounds(found),
        profile=profile_chart(profile),
        line=_placed(line, material.grid),
        with_canopy=profile.canopy is not None,
        origins=origins_of(material.rasters, material.grid),
        options=material.options,
    )


def _fixed(value: float | None, digits: int = 3, *, signed: bool = False) -> str:
    if value is None:
        return "–"
    text = f"{value:{'+' if signed else ''}z.{digits}f}"
    return text.replace("-", MINUS)


def _sources(names: Sequence[str]) -> list[Source]:
    return [
        Source(name, f"--source-{place % COLOURS}", DASHES[place % len(DASHES)], MARKS[place % len(MARKS)])
        for place, name in enumerate(names)
    ]


def _grounds(found: Evaluation) -> list[Ground]:
    grounds = []
    for partition in PARTITIONS.values():
        lines = [line for line in found.grounds if line.partition == partition.name]
        by_kind = {line.ground: [one for one in lines if one.ground == line.ground] for line in lines}
        if lines:
            grounds.append(Ground(partition.title, ground_chart(lines, title=partition.title), by_kind))
    return grounds


def _placed(line: Line, grid: Grid) -> Placed:
    row, col, height, width = line.window
    down, across = 100 / grid.height, 100 / grid.width
    begin, end = (row * down, (row + height) * down) if line.down else (col * across, (col + width) * across)
    aside = (col + 0.5) * across if line.down else (row + 0.5) * down
    return Placed(line.down, *(round(place, 2) for place in (begin, end, aside)))

"""Panels, titles and a legend as one picture; needs the extra `report`."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from jspsr_cli.errors import WriteFailed
from jspsr_cli.pictures.colours import Colours
from jspsr_cli.pictures.ground import round_length
from jspsr_cli.pictures.layout import LEGEND, LINE, MARGIN, MINUS, Layout
from jspsr_cli.pictures.panels import STRIPE, VOID
from jspsr_models.files import appearing

# Points of a font are 1/72 of an inch: with this they are pixels.
DPI = 72

INK, FAINT = "#222222", "#666666"

# What stands between the names of two of which the difference is shown.
BETWEEN = f" {MINUS} "

# Width of a letter over its height, on the safe side: of titles that have to fit.
LETTER = 0.62

# In heights of letters: bars of colours, and what stands beside each other in the legend.
BAR, BESIDE = 15, 2.5

# Share of a panel's width that the scale bar takes at most; it is no longer than a bar of colours.
SCALE = 0.5

# In heights of letters: what numbers at the ends of a bar of colours reach beyond it.
OVERHANG = 0.8


@dataclass(frozen=True)
class Titled:
    """A panel: its colours, uint8 (rows, columns, 3), what it shows, or of what the difference, and a line below."""

    colours: Colours
    titles: tuple[str, ...]
    line: str = ""


@dataclass(frozen=True)
class Key:
    """Colours of the legend: from `low` to `high`, and whether there is more `beyond` on both sides."""

    colours: Colormap
    low: float
    high: float
    label: str
    beyond: str


def draw(
    path: Path,
    panels: Sequence[Titled],
    layout: Layout,
    *,
    metres: float,
    keys: Sequence[Key],
    voids: bool,
    notes: Sequence[str],
    tags: dict[str, str],
) -> tuple[int, int]:
    """Write the picture as a PNG, which appears whole or not at all; returns its width and height in pixels.

    Pixels of the panels, all of the size that `layout` says, are `metres` wide. `tags` are texts within the file.

    Raises:
        WriteFailed: the disk is full, or the folder went away.
    """
    sheet = _Sheet(layout, rows=_legend_rows(layout, len(keys), voids=voids), notes=len(notes))
    for number, panel in enumerate(panels):
        sheet.panel(number, panel)
    sheet.legend(metres=metres, keys=keys, voids=voids)
    sheet.notes(notes)
    try:
        with appearing(path) as part, warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph")  # letters of a file name that the font lacks
            sheet.figure.savefig(part, format="png", dpi=DPI, metadata=tags)
    except OSError as error:
        raise WriteFailed(f"{path} cannot be written: {error.strerror or error}.") from error
    return sheet.width, sheet.height


def _widths(layout: Layout, keys: int, *, voids: bool) -> list[float]:
    """Widths of the parts of the legend in pixels: the scale bar, bars of colours, the sign for no data."""
    return [max(_longest_scale(layout), 4.0 * layout.em), *[BAR * layout.em] * keys, *[6.0 * layout.em] * voids]


def _longest_scale(layout: Layout) -> float:
    """Width in pixels that the scale bar has at most."""
    return min(SCALE * layout.width, BAR * layout.em)


def _legend_rows(layout: Layout, keys: int, *, voids: bool) -> list[list[int]]:
    """Which parts of the legend stand beside each other, by their numbers."""
    rows: list[list[int]] = [[]]
    widths = _widths(layout, keys, voids=voids)
    room = layout.page - 2 * MARGIN * layout.em
    for number, width in enumerate(widths):
        taken = sum(widths[other] + BESIDE * layout.em for other in rows[-1])
        if rows[-1] and taken + width > room:
            rows.append([])
        rows[-1].append(number)
    return rows


class _Sheet:
    """The figure, its pixels counted from the upper left corner."""

    def __init__(self, layout: Layout, *, rows: list[list[int]], notes: int) -> None:
        self._layout, self._rows = layout, rows
        em = layout.em
        self._notes_top = layout.bottom + round(len(rows) * LEGEND * em)
        self.width = layout.page
        self.height = self._notes_top + round((notes * LINE + MARGIN * (notes > 0)) * em)
        self.figure = Figure((self.width / DPI, self.height / DPI), dpi=DPI, facecolor="white")
        FigureCanvasAgg(self.figure)

    def _text(self, x: float, y: float, text: str, *, size: float = 1.0, **style: Any) -> None:
        """Text whose upper left corner lies at `x`, `y`, unless `style` says otherwise."""
        known = {"va": "top", "ha": "left", "color": INK, "parse_math": False, **style}
        shown = "".join(letter if letter.isprintable() else "?" for letter in text)
        self.figure.text(x / self.width, 1 - y / self.height, shown, fontsize=size * self._layout.em, **known)

    def _fitting(self, text: str, *, size: float = 1.0, width: float | None = None) -> str:
        """`text`, its middle left out where it is wider than a panel."""
        most = max(8, int((width or self._layout.width) / (LETTER * size * self._layout.em)))
        return text if len(text) <= most else f"{text[: most // 2]}…{text[len(text) - (most - 1) // 2 :]}"

    def panel(self, number: int, panel: Titled) -> None:
        """Put a panel under its title."""
        left, top = self._layout.corner(number)
        em = self._layout.em
        below = self._layout.lines * LINE * em
        room = (self._layout.width - (len(panel.titles) - 1) * len(BETWEEN) * LETTER * em) / len(panel.titles)
        title = BETWEEN.join(self._fitting(name, width=room) for name in panel.titles)
        self._text(left, top - below - 0.1 * em, title, weight="bold")
        if panel.line:
            self._text(
                left, top - below + (LINE - 0.1) * em, self._fitting(panel.line, size=0.9), size=0.9, color=FAINT
            )
        self.figure.figimage(panel.colours, left, self.height - top - self._layout.height)

    def _box(self, x: float, y: float, width: float, height: float, **style: Any) -> None:
        place = (x / self.width, 1 - (y + height) / self.height)
        self.figure.add_artist(Rectangle(place, width / self.width, height / self.height, **style))

    def legend(self, *, metres: float, keys: Sequence[Key], voids: bool) -> None:
        """The scale bar, bars of colours and the sign for no data, in as many rows as they need."""
        layout, em = self._layout, self._layout.em
        widths = _widths(layout, len(keys), voids=voids)
        for row, numbers in enumerate(self._rows):
            whole = sum(widths[number] for number in numbers) + (len(numbers) - 1) * BESIDE * em
            x = min(float(layout.corner(0)[0]), max(MARGIN * em, (self.width - whole) / 2))
            y = layout.bottom + (row * LEGEND + 0.4) * em
            for number in numbers:
                if number == 0:
                    self._scale(x, y, metres)
                elif number <= len(keys):
                    self._key(x, y, keys[number - 1])
                else:
                    self._void(x, y)
                x += widths[number] + BESIDE * em

    def _scale(self, x: float, y: float, metres: float) -> None:
        em = self._layout.em
        length = round_length(_longest_scale(self._layout) * metres)
        half = length / metres / 2
        for number, colour in enumerate((INK, "white")):
            self._box(x + number * half, y, half, 0.45 * em, facecolor=colour, edgecolor=INK, linewidth=0.8)
        said = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m" if length >= 1 else f"{length * 100:g} cm"
        self._text(x, y + 0.8 * em, said, size=0.9)

    def _key(self, x: float, y: float, key: Key) -> None:
        em = self._layout.em
        x, length = x + OVERHANG * em, (BAR - 2 * OVERHANG) * em
        place = (x / self.width, 1 - (y + 0.8 * em) / self.height, length / self.width, 0.8 * em / self.height)
        axes = self.figure.add_axes(place)
        mapped = ScalarMappable(Normalize(key.low, key.high), key.colours)
        bar = self.figure.colorbar(mapped, cax=axes, orientation="horizontal", extend=key.beyond)
        bar.locator = MaxNLocator(nbins=5, steps=[1, 2, 5, 10])
        bar.ax.tick_params(labelsize=0.9 * em, length=0.25 * em, pad=0.15 * em, color=INK, labelcolor=INK)
        bar.ax.xaxis.get_offset_text().set_visible(False)
        bar.outline.set_linewidth(0.5)
        label = self._fitting(key.label, size=0.9, width=(BAR + BESIDE) * em)
        self._text(x, y + 2.35 * em, label, size=0.9, color=FAINT)

    def _void(self, x: float, y: float) -> None:
        em = self._layout.em
        side = round(em)
        grey, stripe = (f"#{value:02x}{value:02x}{value:02x}" for value in (VOID, STRIPE))
        self._box(x, y, side * 1.5, side * 0.8, facecolor=grey, edgecolor=stripe, hatch="////", linewidth=0.5)
        self._text(x + 2.1 * em, y - 0.1 * em, "no data", size=0.9)

    def notes(self, notes: Sequence[str]) -> None:
        """Small lines at the bottom."""
        em = self._layout.em
        for number, note in enumerate(notes):
            said = self._fitting(note, size=0.85, width=self.width - 2 * MARGIN * em)
            self._text(self._layout.corner(0)[0], self._notes_top + number * LINE * em, said, size=0.85, color=FAINT)

"""Where panels of equal size lie on a picture."""

import math
from dataclasses import dataclass, replace

from jspsr_cli.raster.grid import Grid

MINUS = "\N{MINUS SIGN}"

# Width of a screen over its height.
SCREEN = 1.6

# Height of letters as a share of the picture's longest side, and the smallest that can be read.
LETTERS, SMALLEST_LETTERS = 1 / 110, 11

# In heights of letters: around everything, between panels, a line of text, the legend.
MARGIN, GAP, LINE, LEGEND = 1.2, 1.0, 1.6, 4.4

# Pixels of a raster that are as many pixels wide on the picture, or wider, are shown as squares.
SQUARES = 3

# The longer side of a panel has this many pixels at the least, however many there are.
SMALLEST_PANEL = 48

# In heights of letters: the legend beside itself and a title need as much.
NARROWEST = 34


@dataclass(frozen=True)
class Layout:
    """`count` panels of `width` x `height` pixels in `columns`, each under a title of `lines`, letters `em` high."""

    count: int
    columns: int
    width: int
    height: int
    lines: int
    em: int

    @property
    def rows(self) -> int:
        """How many rows of panels there are."""
        return math.ceil(self.count / self.columns)

    @property
    def title(self) -> int:
        """Height in pixels of a title."""
        return round((self.lines * LINE + 0.3) * self.em)

    @property
    def across(self) -> int:
        """Width of all panels with the gaps between them."""
        return self.columns * self.width + (self.columns - 1) * round(GAP * self.em)

    @property
    def page(self) -> int:
        """Width of the picture."""
        return max(self.across, NARROWEST * self.em) + 2 * round(MARGIN * self.em)

    @property
    def bottom(self) -> int:
        """Where the panels end, counted from the top of the picture."""
        return round(MARGIN * self.em) + self.rows * (self.title + self.height + round(GAP * self.em))

    def fitted(self, view: Grid) -> "Layout":
        """The same with panels of the shape of `view`, whose pixels are whole where they are large."""
        longest, pixels = max(self.width, self.height), max(view.width, view.height)
        zoom = longest / pixels if longest < SQUARES * pixels else longest // pixels
        return replace(self, width=max(1, round(view.width * zoom)), height=max(1, round(view.height * zoom)))

    def corner(self, number: int) -> tuple[int, int]:
        """Column and row of the upper left pixel of panel `number`, counted from that of the picture."""
        row, col = divmod(number, self.columns)
        gap, left = round(GAP * self.em), (self.page - self.across) // 2
        return left + col * (self.width + gap), self.bottom - (self.rows - row) * (self.height + gap) - (
            self.rows - row - 1
        ) * self.title


def layout_of(count: int, *, ratio: float, size: int, lines: int) -> Layout:
    """The layout with the largest panels whose width is `ratio` times their height.

    The picture fills a screen that is `size` pixels wide, and no side of it is longer.
    """
    em = max(SMALLEST_LETTERS, round(size * LETTERS))
    best = (0.0, 0, 1)
    for columns in range(1, count + 1):
        rows = math.ceil(count / columns)
        wide = (size - (2 * MARGIN + (columns - 1) * GAP) * em) / columns
        high = (size / SCREEN - (MARGIN + LEGEND + rows * (lines * LINE + 0.3 + GAP)) * em) / rows
        best = max(
            best, (min(wide / ratio, high), count - rows * columns, columns)
        )  # no empty places, if all are alike
    height = max(best[0], SMALLEST_PANEL / max(ratio, 1))
    return Layout(count, best[-1], max(1, round(height * ratio)), max(1, round(height)), lines, em)

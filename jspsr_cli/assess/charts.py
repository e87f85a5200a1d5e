"""Plots of an evaluation as SVG that takes its colours from the page; needs the extra `report`."""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup, escape
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from jspsr_cli.assess.bins import ERRORS, LE90_SHARE, Counts, around
from jspsr_cli.assess.evaluated import Assessed
from jspsr_cli.assess.profile import Profile
from jspsr_cli.assess.verdict import share

# Width in pixels of a plot on a page and on a phone, whose text can then be read on both.
WIDE, NARROW = 860, 350

# Height of one pair of axes, and of what is beside the rows of a plot by ground.
TALL, AROUND = 270, 60

# Pixels around each pair of axes, across and up.
GAPS = (9, 6)

# Height of a row of a plot by ground, and what each source adds to it.
ROW, ROW_SOURCE = 10, 12

# Colours that stand for those of the page, which has light and dark ones: no other colour is so near to black.
INK, FAINT, CANOPY = "#010101", "#010102", "#010103"
COLOURS = 6
SOURCES = tuple(f"#0201{number:02x}" for number in range(COLOURS))
PAGE = {INK: "--ink", FAINT: "--faint", CANOPY: "--canopy"} | {
    colour: f"--source-{number}" for number, colour in enumerate(SOURCES)
}

# Not by colour alone: sources differ in marker and line too. `MARKS` and `DASHES` are the same on a page.
MARKERS, MARKS = "os^Dv", "●■▲◆▼"
LINES: tuple[str | tuple[int, tuple[int, ...]], ...] = ("-", (0, (6, 2)), (0, (2, 2)), (0, (8, 2, 2, 2)))
DASHES = ("", "6 2", "2 2", "8 2 2 2")

# The plots of errors end where this share of the largest errors of any source lies.
WIDEST = 0.99

# Bins up to there, each of at least so many metres: the counted bins are 1 mm wide.
MOST_BINS, NARROWEST = 60, 0.01

STYLE: Any = {
    "svg.fonttype": "none",
    "font.size": 12.0,
    "axes.labelsize": 12.0,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.8,
}


@dataclass(frozen=True)
class Chart:
    """A plot for a page and for a phone, as SVG."""

    wide: Markup
    narrow: Markup


def error_chart(counts: Mapping[str, Counts]) -> Chart:
    """How often each error occurs, and how many lie within it; `counts` of all bins, by source."""
    wide = max(around(bins, 0.0, WIDEST) for bins in counts.values()) or 1.0  # perfect everywhere

    def draw(figure: Figure, across: int) -> None:
        density, within = figure.subplots(2 // across, across).ravel()
        number = max(5, min(MOST_BINS, int(wide / NARROWEST)))
        edges = np.linspace(-wide, wide, 2 * number + 1)
        reach = np.linspace(0, wide, 4 * number + 1)
        for place, bins in enumerate(counts.values()):
            shares = np.histogram(ERRORS, edges, weights=bins)[0] / bins.sum()
            density.stairs(shares / np.diff(edges), edges, color=_colour(place), linestyle=_line(place), linewidth=1.8)
            sums = np.cumsum(np.histogram(np.abs(ERRORS), reach, weights=bins)[0]) / bins.sum()
            within.plot(reach, np.insert(sums, 0, 0) * 100, color=_colour(place), linestyle=_line(place))
        density.axvline(0, color=INK, linewidth=0.8)
        within.axhline(LE90_SHARE * 100, color=INK, linewidth=0.8)
        density.set(xlabel="error in m", ylabel="share of pixels per m", xlim=(-wide, wide), ylim=(0, None))
        within.set(xlabel="size of the error in m", ylabel="pixels within it, %", xlim=(0, wide), ylim=(0, 100))

    alt = "How often each error occurs, and the share of pixels whose error is no larger than so many metres."
    return _chart("errors", draw, alt=alt, height=TALL)


def ground_chart(lines: Sequence[Assessed], *, title: str) -> Chart:
    """RMSE and mean error of each source on each kind of ground, with their intervals."""
    grounds = {line.ground: line.share for line in lines}
    sources = list(dict.fromkeys(line.source for line in lines))

    def draw(figure: Figure, across: int) -> None:
        axes = figure.subplots(2 // across, across, sharey=True).ravel()
        for ax, figure_name in zip(axes, ("rmse", "mean"), strict=True):
            _rows(ax, lines, figure_name, grounds=list(grounds), sources=sources)
        axes[0].set(xlabel="RMSE in m", xlim=(0, None))
        axes[1].set(xlabel="mean error in m")
        axes[1].axvline(0, color=INK, linewidth=0.8)
        labels = [f"{ground}\n{share(part)}" for ground, part in grounds.items()]
        axes[0].set_yticks(range(len(grounds)), labels)
        axes[0].set_ylim(len(grounds) - 0.5, -0.5)

    height = AROUND + len(grounds) * max(ROW + ROW_SOURCE * len(sources), 2 * ROW_SOURCE + ROW)
    alt = f"RMSE and mean error of each elevation model by {title}, with 95 % intervals; the table has the figures."
    return _chart(f"ground-{lines[0].partition}", draw, alt=alt, height=height)


def _rows(ax: Axes, lines: Sequence[Assessed], name: str, *, grounds: list[str], sources: list[str]) -> None:
    for line in lines:
        place = sources.index(line.source)
        y = grounds.index(line.ground) + ((place + 0.5) / len(sources) - 0.5) * 0.7
        if name in line.intervals:
            ax.hlines(y, *line.intervals[name], color=_colour(place), linewidth=1.6)
        value = getattr(line.figures, name)
        ax.plot(value, y, MARKERS[place % len(MARKERS)], color=_colour(place), markersize=6)
    ax.grid(visible=False, axis="y")
    ax.tick_params(axis="y", length=0)


def profile_chart(profile: Profile) -> Chart:
    """Heights along a line."""

    def draw(figure: Figure, _across: int) -> None:
        ax = figure.subplots()
        if profile.canopy is not None:
            top = profile.reference + np.maximum(np.nan_to_num(profile.canopy), 0)
            ax.fill_between(profile.distance, profile.reference, top, color=CANOPY, linewidth=0)
        ax.plot(profile.distance, profile.reference, color=INK, linewidth=2.2)
        for place, heights in enumerate(profile.sources.values()):
            ax.plot(profile.distance, heights, color=_colour(place), linestyle=_line(place))
        ends = "A (north) to B (south)" if profile.line.down else "A (west) to B (east)"
        length = profile.distance[-1] + profile.distance[0]
        ax.set(xlabel=f"m from {ends}", ylabel="height in m", xlim=(0, length))

    alt = "Heights of the reference and of each elevation model along the line from A to B."
    return _chart("profile", draw, alt=alt, height=TALL)


def _colour(place: int) -> str:
    return SOURCES[place % COLOURS]


def _line(place: int) -> str | tuple[int, tuple[int, ...]]:
    return LINES[place % len(LINES)]


def _chart(name: str, draw: Callable[[Figure, int], None], *, alt: str, height: int) -> Chart:
    """`draw(figure, across)` at both widths, with so many axes beside each other; those below add to `height`."""
    wide = _svg(f"{name}-wide", draw, 2, alt=alt, size=(WIDE, height))
    tall = height if name == "profile" else 2 * height
    return Chart(wide, _svg(f"{name}-narrow", draw, 1, alt=alt, size=(NARROW, tall)))


def _svg(name: str, draw: Callable[[Figure, int], None], across: int, *, alt: str, size: tuple[int, int]) -> Markup:
    """The SVG element of a figure of `size` pixels: the same bytes each time, and no id of it in another."""
    text = io.StringIO()
    with style.context(["default", {**STYLE, "svg.hashsalt": name}]):  # whatever the user's own style
        figure = Figure(
            figsize=(size[0] / 72, size[1] / 72),
            dpi=72,
            layout=ConstrainedLayoutEngine(w_pad=GAPS[0] / 72, h_pad=GAPS[1] / 72),
        )
        FigureCanvasSVG(figure)
        draw(figure, across)
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    body = text.getvalue().split("<svg", 1)[1].split(">", 1)[1]
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", body)
    for colour, variable in PAGE.items():
        body = body.replace(colour, f"var({variable})")
    head = f'<svg class="chart" viewBox="0 0 {size[0]} {size[1]}" role="img" aria-label="{escape(alt)}">'
    return Markup(head + body)

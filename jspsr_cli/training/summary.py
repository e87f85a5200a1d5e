"""The summary page of a training set: counts, figures, and pictures of some samples, in one HTML file."""

import base64
import html
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.image import imsave
from rasterio.windows import Window

from jspsr_cli.errors import ReadFailed, UnreadableRaster
from jspsr_cli.pictures.colours import Colours, coloured, coloured_difference
from jspsr_cli.pictures.relief import greys, light
from jspsr_cli.raster.landuse import CLASS_NAMES
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.sources import RasterFile, inspect_raster
from jspsr_cli.training.config import DEM_LAYERS
from jspsr_cli.training.dfc30 import GUIDE_LAYERS, TRUTH, files_by_id, natural
from jspsr_cli.training.places import HEIGHT_LAYERS
from jspsr_cli.training.results import OMISSIONS, PlaceResult
from jspsr_cli.types import FloatArray
from jspsr_models.files import appearing

# Samples that a folder shows, and folders that a set of many cities shows.
PICTURES, FOLDERS = 3, 24

# Metres of canopy that are shown darkest.
TALLEST = 25.0

# Samples left out that a place lists by name.
LISTED = 500

STYLE = """body{font:15px/1.45 sans-serif;max-width:76em;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:.6em 0}td,th{padding:.25em .8em;border-bottom:1px solid #ddd;text-align:right}
td:first-child,th:first-child{text-align:left}.key span{padding:0 .6em;border:1px solid #ddd}
img{width:10em;image-rendering:pixelated}code{background:#f3f3f3}"""


def write_page(path: Path, samples: Path, results: Sequence[PlaceResult]) -> None:
    """Write the page for all `results`, whose samples lie in folders in `samples`. Raises OSError."""
    # One without samples may be of another resolution or size.
    shown = next((result for result in results if result.kept), results[0])
    title = f"Training set {shown.samples}, {shown.side} pixels a side"
    parts = [f"<h1>{html.escape(title)}</h1>", _table(_counts(results)), *_details(results)]
    parts += _key(results)
    folders = [folder for result in results for folder in result.folders]
    for folder in folders[:FOLDERS]:
        pictures = _pictures(samples / folder)
        if pictures:
            parts.append(f"<h3>{html.escape(folder)}</h3>{pictures}")
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style>{''.join(parts)}</html>"
    )
    with appearing(path) as part:
        part.write_text(page, "utf-8")


def _counts(results: Sequence[PlaceResult]) -> list[list[str]]:
    reasons = list(dict.fromkeys(reason for result in results for reason in result.left_out))
    rows = [["place", "samples", "to train", "to validate", *reasons, "DEM RMSE", "bias", "largest relief", "trees"]]
    for result in results:
        valid = sum(count for folder, count in result.folders.items() if folder in result.validation)
        rows.append([
            result.name, str(result.kept), str(result.kept - valid), str(valid),
            *(str(result.left_out.get(reason, 0)) for reason in reasons),
            _metres(result.rmse), _metres(result.bias), _metres(result.relief),
            "" if result.canopy is None else f"{result.canopy:.0%}",
        ])  # fmt: skip
    return rows


def _metres(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} m"


def _details(results: Sequence[PlaceResult]) -> Iterator[str]:
    for result in results:
        yield f"<h2>{html.escape(result.name)}</h2>"
        yield f"<p>Layers: {', '.join(result.layers)}. Heights: {html.escape(result.datums)}.</p>"
        if result.classes:
            shares = sorted(zip(result.classes, CLASS_NAMES, strict=True), reverse=True)
            yield f"<p>Land use: {', '.join(f'{name} {share:.0%}' for share, name in shares if share >= 0.005)}.</p>"
        if beyond := result.beyond.sentence:
            yield f"<p>{html.escape(beyond[0].upper() + beyond[1:])}.</p>"
        if result.bad_files:
            yield f"<p>Files left out:</p><ul>{_items(result.bad_files)}</ul>"
        if result.omitted:
            lines = [f"{city}/{id_}: {why}" for city, id_, _reason, why in result.omitted]
            more = [f"and {len(lines) - LISTED} more, all in {OMISSIONS}"] if len(lines) > LISTED else []
            count = f"{len(lines)} sample{'s' * (len(lines) != 1)} left out"
            yield f"<details><summary>{count}</summary><ul>{_items([*lines[:LISTED], *more])}</ul></details>"


def _key(results: Sequence[PlaceResult]) -> Iterator[str]:
    """What the colours of the pictures mean."""
    if not any(result.kept for result in results):
        return
    yield (
        "<p>Elevation models are hillshades, those of a sample with the same shades. In the difference red is where "
        "the DEM is above the terrain, blue where it is below.</p>"
    )
    layers = {layer for result in results for layer in result.layers}
    if GUIDE_LAYERS["canopy"] in layers:
        heights = np.linspace(0, TALLEST, 6)
        yield _colours(GUIDE_LAYERS["canopy"], [f"{h:g} m" for h in heights], coloured("Greens", heights / TALLEST))
    if GUIDE_LAYERS["mask"] in layers:
        yield _colours(GUIDE_LAYERS["mask"], CLASS_NAMES, coloured("tab20", np.arange(len(CLASS_NAMES))))


def _colours(title: str, names: Sequence[str], colours: Colours) -> str:
    pairs = zip(names, colours[:, :3].tolist(), strict=True)
    spans = [f'<span style="background:rgb({r},{g},{b})"></span> {name}' for name, (r, g, b) in pairs]
    return f'<p class="key">{title}: {"; ".join(spans)}.</p>'


def _items(lines: Sequence[str]) -> str:
    return "".join(f"<li>{html.escape(line)}</li>" for line in lines)


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    lines = ["".join(f"<th>{html.escape(cell)}</th>" for cell in head)]
    lines += ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in body]
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _pictures(folder: Path) -> str:
    """A table with some samples of a folder, empty where it has none that can be read."""
    paths = {layer: files_by_id(folder / layer, layer, []) for layer in (*GUIDE_LAYERS.values(), *DEM_LAYERS, TRUTH)}
    ids = sorted(paths[TRUTH], key=natural)
    shown = [ids[i] for i in sorted({round(i) for i in np.linspace(0, len(ids) - 1, min(PICTURES, len(ids)))})]
    rows = []
    with RasterReader() as reader:
        for id_ in shown:
            try:
                files = {layer: inspect_raster(str(found[id_])) for layer, found in paths.items() if id_ in found}
                pixels = {layer: reader.read(f, Window(0, 0, f.width, f.height)) for layer, f in files.items()}
            except (UnreadableRaster, ReadFailed):  # removed or spoilt since
                continue
            tiles = [_figure(layer, tile) for layer, tile in _tiles(pixels, files).items()]
            rows.append("".join(f"<td>{tile}</td>" for tile in [html.escape(id_), *tiles, _difference(pixels)]))
    return f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>" if rows else ""


def _figure(caption: str, colours: Colours) -> str:
    data = io.BytesIO()
    imsave(data, colours, format="png")
    address = base64.b64encode(data.getvalue()).decode("ascii")
    return f'<img alt="{html.escape(caption)}" src="data:image/png;base64,{address}"><br>{html.escape(caption)}'


def _tiles(pixels: dict[str, FloatArray], files: dict[str, RasterFile]) -> dict[str, Colours]:
    """A picture of each layer of a sample."""
    lights = {
        layer: light(values[0], files[layer].transform.a) for layer, values in pixels.items() if layer in HEIGHT_LAYERS
    }
    dark, spread = greys(lights.values())
    return {
        layer: coloured("gray", (lights[layer] - dark) / spread) if layer in lights else _tile(layer, values)
        for layer, values in pixels.items()
    }


def _tile(layer: str, values: FloatArray) -> Colours:
    if layer == GUIDE_LAYERS["image"]:
        return np.moveaxis(values, 0, -1).astype(np.uint8)
    if layer == GUIDE_LAYERS["mask"]:
        return coloured("tab20", values[0].astype(int))
    return coloured("Greens", values[0] / TALLEST)


def _difference(pixels: dict[str, FloatArray]) -> str:
    dem = next((layer for layer in pixels if layer in DEM_LAYERS), None)
    if dem is None:
        return ""
    colours, end = coloured_difference(pixels[dem][0] - pixels[TRUTH][0])
    return _figure(f"{dem} - {TRUTH}, ±{end:.1f} m", colours)

"""Guides of every form reach the network as what they are: seen through networks that return a band of a guide."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.warp
import torch
from affine import Affine
from rasterio.enums import ColorInterp, Resampling

from jspsr_cli.errors import UnreadableRaster
from jspsr_cli.pipeline import enhance
from jspsr_cli.report import EnhanceReport
from jspsr_cli.request import EnhanceOptions
from tests.scenes import Array, heights_of, weights_info, write_raster

CRS = "EPSG:32631"
WEST, NORTH = 500_000.0, 5_000_000.0
ROWS, COLS = 60, 72
LEVEL = 100.0

#: Rows and columns of the guide that have no data, where a test wants some.
HOLE = (slice(12, 30), slice(20, 44))

EXACT = 2e-6


def place(size: float = 8.0, *, west: float = WEST, north: float = NORTH) -> Affine:
    return Affine(size, 0, west, 0, -size, north)


def colours(bands: int = 3, high: int = 255, dtype: str = "uint8", seed: int = 1) -> Array:
    return np.random.default_rng(seed).integers(1, high, (bands, ROWS, COLS)).astype(dtype)


def guide(path: Path, values: Array, *, colorinterp: Sequence[str] | None = None, **profile: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    write_raster(path, values, **{"crs": CRS, "transform": place(), **profile})
    if colorinterp:
        with rasterio.open(path, "r+") as dataset:
            dataset.colorinterp = [ColorInterp[name] for name in colorinterp]
    return path


class Look:
    """Runs `enhance` over a level DEM with a network that returns one band of a guide, and gives that band back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = folder / "out.tif"
        self.report: EnhanceReport
        self.dem = write_raster(
            folder / "dem.tif",
            np.full((60, 60), LEVEL, dtype=np.float32),
            crs=CRS,
            transform=place(32.0, west=WEST - 640, north=NORTH + 640),
        )

    def __call__(self, kind: str, paths: Path | Sequence[Path], *, band: int | None = 0, **options: Any) -> Array:
        """Values between 0 and 1 (rows, columns), NaN where the output has none; `band` None is their sum."""

        def network(dem: torch.Tensor, **guides: torch.Tensor) -> torch.Tensor:
            assert dem.shape[1] == 1
            seen = guides[kind]
            return seen.sum(dim=1, keepdim=True) if band is None else seen[:, band : band + 1]

        given = {kind: [paths] if isinstance(paths, Path) else list(paths)}
        self.report = enhance(
            self.dem,
            output=self.output,
            weights=(network, weights_info(kind)),  # type: ignore[arg-type]  # takes the one guide it is given
            options=EnhanceOptions(water="network", overwrite=True, **options),
            **given,  # type: ignore[arg-type]  # the name of one of three parameters of one type
        )
        # The base of every window is LEVEL, so heights tell exactly what the network returned.
        return np.log(heights_of(self.output) - LEVEL + 80) / math.log(1009)


@pytest.fixture
def look(tmp_path: Path) -> Look:
    return Look(tmp_path)


def test_bands_of_an_image_arrive_in_order_on_their_pixels(look: Look) -> None:
    values = colours()
    path = guide(look.folder / "rgb.tif", values)
    for band in range(3):
        np.testing.assert_allclose(look("image", path, band=band), values[band] / 255, atol=EXACT)
    assert (look.report.guide_gaps, look.report.warnings) == (0, ())


def test_a_finer_image_is_averaged(look: Look) -> None:
    fine = np.random.default_rng(2).integers(0, 256, (3, 4 * ROWS, 4 * COLS)).astype(np.uint8)
    expected = fine[0].reshape(ROWS, 4, COLS, 4).mean(axis=(1, 3))
    path = guide(look.folder / "rgb.tif", fine, transform=place(2.0))
    np.testing.assert_allclose(look("image", path), expected / 255, atol=EXACT)


@pytest.mark.parametrize(
    ("order", "options", "red"),
    [
        (("blue", "green", "red"), {}, 2),
        (("gray", "undefined", "undefined", "undefined"), {}, 0),
        (("blue", "green", "red", "alpha"), {}, 2),
        (("blue", "green", "red"), {"guide_bands": (2, 3, 1)}, 1),
        (("red", "green", "blue", "undefined"), {"guide_bands": (4, 1, 2)}, 3),
    ],
)
def test_red_is_found(look: Look, order: tuple[str, ...], options: dict[str, Any], red: int) -> None:
    values = colours(len(order))
    path = guide(look.folder / "image.tif", values, colorinterp=order)
    np.testing.assert_allclose(look("image", path, **options), values[red] / 255, atol=EXACT)


def marked(path: Path, how: str, values: Array, under: int) -> Path:
    """An image whose `HOLE` is marked as without data by `how`, with `under` in the pixels there."""
    values = values.copy()
    values[:, *HOLE] = under
    valid = np.full((ROWS, COLS), 255, dtype=values.dtype)
    valid[HOLE] = 0
    if how == "alpha":
        return guide(path, np.concatenate([values, valid[None]]), colorinterp=("red", "green", "blue", "alpha"))
    if how == "mask":
        return guide(path, values, mask=valid > 0)
    return guide(path, values, nodata=under)


@pytest.mark.parametrize("how", ["alpha", "mask", "nodata"])
def test_pixels_without_an_image(look: Look, how: str) -> None:
    values = colours()
    values[:2, 0, 0] = 0  # a dark pixel is none without data
    path = marked(look.folder / "image.tif", how, values, under=0)
    seen = look("image", path)
    hole = np.zeros((ROWS, COLS), dtype=bool)
    hole[HOLE] = True
    np.testing.assert_array_equal(np.isnan(seen), hole)
    np.testing.assert_allclose(seen[~hole], values[0][~hole] / 255, atol=EXACT)
    assert look.report.guide_gaps == pytest.approx(hole.mean())
    assert look.report.pixels_written == (~hole).sum()
    filled = look("image", path, guide_gaps="dem")
    np.testing.assert_array_equal(heights_of(look.output)[hole], LEVEL)
    np.testing.assert_array_equal(filled[~hole], seen[~hole])
    assert look.report.guide_gaps == pytest.approx(hole.mean())
    assert look.report.pixels_written == ROWS * COLS


@pytest.mark.parametrize("gaps", ["nodata", "dem"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("how", ["alpha", "mask", "nodata"])
def test_what_lies_under_the_mask_changes_no_byte(look: Look, how: str, dtype: str, gaps: str) -> None:
    values = colours(high=250 if dtype == "uint8" else 4000, dtype=dtype)
    outputs = []
    for under in (0, 255 if dtype == "uint8" else 65535):
        look("image", marked(look.folder / str(under) / "image.tif", how, values, under), guide_gaps=gaps)
        outputs.append(look.output.read_bytes())
    assert outputs[0] == outputs[1]


def test_16_bit_is_stretched_as_asked(look: Look) -> None:
    values = colours(high=4096, dtype="uint16")
    seen = look("image", guide(look.folder / "image.tif", values), stretch=(500.0, 3000.0))
    np.testing.assert_allclose(seen, np.clip((values[0] - 500.0) / 2500, 0, 1), atol=EXACT)
    assert look.report.warnings == ()


@pytest.mark.parametrize("opaque", [None, 255, 65535])
def test_16_bit_is_stretched_by_percentiles_of_the_whole(look: Look, opaque: int | None) -> None:
    values = colours(4, high=4096, dtype="uint16")
    values[:3, :, : COLS // 2] //= 8  # so that a part has other percentiles
    valid = np.ones((ROWS, COLS), dtype=bool)
    order: tuple[str, ...] = ("red", "green", "blue", "undefined")
    if opaque:
        valid[HOLE] = False
        values[3] = np.where(valid, opaque, 0)
        order = (*order[:3], "alpha")
    path = guide(look.folder / "image.tif", values, colorinterp=order)
    low, high = np.percentile(values[:3, valid], (2, 98))
    whole = look("image", path)
    np.testing.assert_allclose(whole[valid], np.clip((values[0][valid] - low) / (high - low), 0, 1), atol=EXACT)
    assert any("--stretch" in warning for warning in look.report.warnings)
    part = look("image", path, bounds=(WEST + 80, NORTH - 400, WEST + 320, NORTH - 80))
    np.testing.assert_array_equal(part, whole[10:50, 10:40])


@pytest.mark.parametrize("nodata", [None, 0])
def test_three_files_of_one_band(look: Look, nodata: int | None) -> None:
    values = colours()
    values[2, :5] = 0  # without blue, but not without data
    names = ("r", "g", "b")
    paths = [guide(look.folder / f"{n}.tif", v, nodata=nodata) for n, v in zip(names, values, strict=True)]
    for band in range(3):
        np.testing.assert_allclose(look("image", paths, band=band), values[band] / 255, atol=EXACT)


def test_tiles_in_one_crs_are_one_image(look: Look) -> None:
    values = colours()
    west = guide(look.folder / "west.tif", values[:, :, :30])
    east = guide(look.folder / "east.tif", values[:, :, 30:], transform=place(west=WEST + 240))
    np.testing.assert_allclose(look("image", [east, west]), values[0] / 255, atol=EXACT)


def test_tiles_in_two_crs_meet(look: Look) -> None:
    """A grey ramp over both, so that neither the place nor the order may be wrong."""

    def ramp(crs: str, west: float, north: float, side: int) -> tuple[Array, dict[str, Any]]:
        cols, rows = np.meshgrid(np.arange(side) + 0.5, np.arange(side) + 0.5)
        x, _ = rasterio.warp.transform(crs, CRS, (west + 8 * cols).ravel(), (north - 8 * rows).ravel())
        grey = np.clip((np.array(x) - WEST) / (COLS * 8), 0, 1).reshape(side, side) * 255
        return np.stack([grey, 255 - grey, grey]).astype(np.float32), {
            "crs": crs,
            "transform": place(8, west=west, north=north),
        }

    other = "EPSG:32630"
    x, y = rasterio.warp.transform(CRS, other, [WEST + 300], [NORTH + 60])
    west, place_west = ramp(CRS, WEST, NORTH, 44)
    east, place_east = ramp(other, x[0], y[0], 90)
    paths = [guide(look.folder / "west.tif", west, **place_west), guide(look.folder / "east.tif", east, **place_east)]
    seen = look("image", paths, stretch=(0.0, 255.0), bounds=(WEST, NORTH - 320, WEST + 560, NORTH - 80))
    expected = np.broadcast_to((np.arange(70) + 0.5) / COLS, seen.shape)
    np.testing.assert_allclose(seen, expected, atol=0.5 / COLS)


def test_each_tile_has_an_overview_of_its_own(look: Look) -> None:
    """The finer tile's pixels must not choose the overview of the coarser one."""
    coarse = colours()[:, :, 30:]
    fine = colours(seed=3)[:, :, :30].repeat(8, axis=1).repeat(8, axis=2)
    paths = [
        guide(look.folder / "fine.tif", fine, transform=place(1.0)),
        guide(look.folder / "coarse.tif", coarse, transform=place(west=WEST + 240)),
    ]
    for path in paths:
        with rasterio.open(path, "r+") as dataset:
            dataset.build_overviews([2, 4, 8], Resampling.average)
    expected = np.concatenate([colours(seed=3)[0, :, :30], coarse[0]], axis=1)
    np.testing.assert_allclose(look("image", paths), expected / 255, atol=EXACT)


# Land use

#: Codes of the Urban Atlas 2012 nomenclature, by DFC2022 class.
URBAN_ATLAS = (
    (91000, 92000), (11100, 11210, 11300), (12100, 12210, 12230, 12400), (13100, 13300, 13400), (14100, 14200),
    (21000,), (22000,), (23000,), (24000,), (25000,), (31000,), (32000,), (33000,), (40000,), (50000,),
)  # fmt: skip


def land_use(form: str, classes: Array) -> Array:
    if form == "one-hot":
        stack: Array = (classes[None] == np.arange(15)[:, None, None]).astype(np.uint8)
        return stack
    if form == "codes":
        rng = np.random.default_rng(4)
        coded: Array = np.vectorize(lambda c: rng.choice(URBAN_ATLAS[c]))(classes).astype(np.int32)
        return coded
    return classes.astype(np.uint8)


@pytest.mark.parametrize("nodata", [None, 0])
@pytest.mark.parametrize("form", ["classes", "one-hot", "codes"])
def test_land_use_in_three_forms(look: Look, form: str, nodata: int | None) -> None:
    classes = np.random.default_rng(5).integers(0, 15, (ROWS, COLS))
    seen = look("mask", guide(look.folder / "use.tif", land_use(form, classes), nodata=nodata), band=None)
    np.testing.assert_allclose(seen * 16 - 1, classes, atol=1e-4)


@pytest.mark.parametrize("form", ["classes", "one-hot", "codes"])
def test_finer_land_use_goes_by_majority(look: Look, form: str) -> None:
    classes = np.random.default_rng(6).integers(0, 15, (ROWS, COLS))
    fine = classes.repeat(2, axis=0).repeat(2, axis=1)
    fine[::2, ::2] = 14 - fine[::2, ::2]
    path = guide(look.folder / "use.tif", land_use(form, fine), transform=place(4.0))
    np.testing.assert_allclose(look("mask", path, band=None) * 16 - 1, classes, atol=1e-4)


def test_an_unknown_class_is_named(look: Look) -> None:
    with pytest.raises(UnreadableRaster, match=r"use\.tif holds the land use value 77"):
        look("mask", guide(look.folder / "use.tif", np.full((ROWS, COLS), 77, dtype=np.uint8)))
    assert not look.output.exists()


# Canopy


def test_canopy_in_metres(look: Look) -> None:
    canopy = np.random.default_rng(7).uniform(0, 60, (ROWS, COLS)).astype(np.float32)
    canopy[0, :5] = 90
    canopy[1, :5] = -3
    canopy[HOLE] = -9999
    seen = look("canopy", guide(look.folder / "canopy.tif", canopy, nodata=-9999))
    expected = np.clip(canopy, 0, 68) / 68
    expected[HOLE] = np.nan
    np.testing.assert_allclose(seen, expected, atol=EXACT)
    assert look.report.canopy_clipped >= 5
    assert any("68 m" in warning for warning in look.report.warnings)

"""Contract 2: networks whose output is known in closed form, through the whole of `enhance`."""

from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import rasterio
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from jspsr_cli.pipeline import enhance
from jspsr_cli.request import EnhanceOptions
from jspsr_models import identity_checkpoint, save_network
from tests.scenes import bicubic, centres, cop30, guide_over, heights_of, identity, utm, weights_info, write_raster

MILLIMETRE = 1e-3

#: Latitudes on all of GLO-30's column widths, both hemispheres; longitudes in different UTM zones.
PLACES = [(7.2, 0.0), (10.4, 45.0), (-3.1, 55.0), (25.7, 65.0), (-147.6, 75.0), (15.3, 82.0), (146.8, -43.2)]


def run(folder: Path, dem: Path, guide: Path, *, network: Any = identity, **choices: Any) -> Path:
    """Enhance with a stand-in that takes an image; returns the output."""
    output = folder / "out.tif"
    info = weights_info("image")
    options = EnhanceOptions(**{"window": 64, "overwrite": True, **choices})
    enhance(dem, output=output, image=[guide], weights=(network, info), options=options)
    return output


def error_of(output: Path, dem: Path) -> float:
    """Largest distance in metres from the exactly warped bicubic DEM, where that and the guide are."""
    difference = np.abs(heights_of(output) - bicubic(dem, *centres(output)))
    # All but the outermost pixels, whose centres the guide does not reach.
    assert not np.isnan(difference[1:-1, 1:-1]).any()
    return float(np.nanmax(difference))


@pytest.mark.parametrize(("lon", "lat"), PLACES)
def test_identity_at_all_latitudes(tmp_path: Path, lon: float, lat: float) -> None:
    """To a millimetre; a shift of a hundredth pixel would be seen."""
    dem = cop30(tmp_path / "dem.tif", lon=lon, lat=lat, size=40)
    output = run(tmp_path, dem, guide_over(tmp_path / "guide.tif", dem, crs=utm(lon, lat), resolution=5))
    assert error_of(output, dem) < MILLIMETRE
    x, y, crs = centres(output)
    shifted = bicubic(dem, x + 0.08, y, crs) - heights_of(output)
    assert np.nanmax(np.abs(shifted)) > 10 * MILLIMETRE


@pytest.mark.parametrize("crs", ["EPSG:2154", "EPSG:3035", "EPSG:27700", "EPSG:32630", "EPSG:3857"])
@pytest.mark.parametrize("resolution", [3.0, 8.0, 11.7])
def test_identity_in_any_projection(tmp_path: Path, crs: str, resolution: float) -> None:
    dem = cop30(tmp_path / "dem.tif", lon=-2.5, lat=50.6, size=24)
    guide = guide_over(tmp_path / "guide.tif", dem, crs=crs, resolution=6)
    output = run(tmp_path, dem, guide, crs=crs, resolution=resolution)
    assert error_of(output, dem) < MILLIMETRE
    with rasterio.open(output) as dataset:
        assert dataset.crs == rasterio.crs.CRS.from_string(crs)
        assert dataset.res == (resolution, resolution)
        edges = np.array(dataset.bounds) / resolution
        assert edges == pytest.approx(np.round(edges), abs=1e-6)


@settings(max_examples=12, phases=[Phase.explicit, Phase.reuse, Phase.generate])  # shrinking would take minutes
@given(
    window=st.sampled_from([32, 48, 64, 128]),
    overlap=st.floats(0.5, 0.75),
    batch=st.integers(1, 5),
    voids=st.integers(0, 2**32 - 1),
    share=st.sampled_from([0.0, 0.02, 0.5]),
    tagged=st.booleans(),
)
def test_identity_whatever_the_windows_and_voids(
    tmp_path: Path, window: int, overlap: float, batch: int, voids: int, share: float, tagged: bool
) -> None:
    source = cop30(tmp_path / "whole.tif", lon=12.1, lat=61.3, size=20)
    with rasterio.open(source) as dataset:
        heights, transform = dataset.read(1), dataset.transform
    void = np.random.default_rng(voids).random(heights.shape) < share
    dem = tmp_path / "dem.tif"
    nodata = -32768.0 if tagged else np.nan
    write_raster(dem, np.where(void, nodata, heights).astype(np.float32), crs="EPSG:4326", transform=transform,
                 nodata=nodata)  # fmt: skip
    guide = guide_over(tmp_path / "guide.tif", source, crs="EPSG:32633", resolution=8, share=1.3)
    output = run(tmp_path, dem, guide, window=window, overlap=overlap, batch_size=batch)
    out, (x, y, crs) = heights_of(output), centres(output)
    exact = bicubic(dem, x, y, crs)
    assert np.abs(out - exact)[~np.isnan(exact)].max(initial=0) < MILLIMETRE
    # Nodata is where the source pixel below is void, or there is none, and nowhere else.
    lon, lat = (np.array(v) for v in rasterio.warp.transform(crs, "EPSG:4326", x.ravel(), y.ravel()))
    col, row = (lon - transform.c) / transform.a, (lat - transform.f) / transform.e
    on_edge = np.minimum(np.abs(col - np.round(col)), np.abs(row - np.round(row))) < 1e-6
    padded = np.pad(void, 1, constant_values=True)
    rows, cols = (np.clip(np.floor(v) + 1, 0, len(void) + 1).astype(int) for v in (row, col))
    assert (np.isnan(out.ravel()) == padded[rows, cols])[~on_edge].all()


def test_the_real_identity_checkpoint_by_file(tmp_path: Path) -> None:
    dem = cop30(tmp_path / "dem.tif", lon=3.3, lat=47.0)
    guide = guide_over(tmp_path / "guide.tif", dem, crs="EPSG:2154", resolution=4)
    weights = tmp_path / "identity.safetensors"
    save_network(identity_checkpoint(("image",)), weights, weights_info("image"))
    output = tmp_path / "out.tif"
    enhance(dem, output=output, image=[guide], weights=weights)
    assert error_of(output, dem) < MILLIMETRE


def test_a_constant_on_the_scaled_dem(tmp_path: Path) -> None:
    """z + lo stretched by exp(c ln(hi - lo)), from the base of each window: sensitive to base, lo and hi."""
    # In the middle of a window of 512 pixels that overlaps the next by 56: that window alone sees it.
    x, y = (160 * 456 + 256) * 8, -(-1400 * 456 + 256) * 8
    lon, lat = pyproj.Transformer.from_crs("EPSG:32631", "EPSG:4326", always_xy=True).transform(x, y)
    dem = cop30(tmp_path / "dem.tif", lon=lon, lat=lat, size=30)
    guide = guide_over(tmp_path / "guide.tif", dem, crs="EPSG:32631", resolution=4)

    def add(scaled: torch.Tensor, **_: torch.Tensor) -> torch.Tensor:
        return scaled + 0.01

    output = run(tmp_path, dem, guide, network=add, window=512, overlap=0.1)
    exact, heights = bicubic(dem, *centres(output)), heights_of(output)
    factor = 1009**0.01
    # (z - base + 80) * factor = z' - base + 80, so the base is what is left over: one number for the window.
    base = ((exact * factor - heights) / (factor - 1) + 80)[~np.isnan(heights)]
    with rasterio.open(dem) as dataset:
        lowest = dataset.read(1).min()
    assert base == pytest.approx(base.mean(), abs=0.01)
    assert base.mean() == pytest.approx(lowest, abs=0.2)

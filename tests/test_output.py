"""The output: a valid COG with its provenance, and the licences of what it was made of."""

import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from rasterio.enums import Compression
from rasterio.shutil import copy as gdal_copy
from rio_cogeo.cogeo import cog_validate

from jspsr_cli import __version__
from jspsr_cli.errors import WriteFailed
from jspsr_cli.pipeline import enhance
from jspsr_cli.raster import writer
from jspsr_cli.report import EnhanceReport
from jspsr_cli.request import EnhanceOptions
from tests.scenes import identity, terrain, weights_info, write_raster

CRS = "EPSG:32632"
WEST, NORTH = 400_000.0, 5_000_000.0
LONG_AGO = 1_700_000_000

COPERNICUS = "Copernicus_DSM_COG_10_N45_00_E007_00_DEM.tif"
FABDEM = "N45E007_FABDEM_V1-2.tif"


def dem_at(path: Path, *, rows: int = 30, cols: int = 24, crs: str = CRS, lift: float = 0.0) -> Path:
    x, y = np.meshgrid(np.arange(cols) * 32.0, np.arange(rows) * 32.0)
    place = Affine(32, 0, WEST, 0, -32, NORTH)
    path.parent.mkdir(exist_ok=True)
    return write_raster(path, (terrain(x, y) + lift).astype(np.float32), crs=crs, transform=place)


def guide_at(path: Path, *, rows: int = 120, cols: int = 96, crs: str = CRS, **profile: Any) -> Path:
    values = np.random.default_rng(1).integers(0, 256, (3, rows, cols)).astype(np.uint8)
    return write_raster(path, values, crs=crs, transform=Affine(8, 0, WEST, 0, -8, NORTH), **profile)


@dataclass(frozen=True)
class Job:
    """One command."""

    dem: Path
    guide: Path
    output: Path
    options: EnhanceOptions = field(default_factory=EnhanceOptions)

    def run(self, network: Any = identity, **info: Any) -> EnhanceReport:
        weights = (network, weights_info("image", **info))
        return enhance(self.dem, output=self.output, image=[self.guide], weights=weights, options=self.options)


def old_job(folder: Path) -> Job:
    """A job whose inputs are older than whatever it makes."""
    job = Job(dem_at(folder / "dem.tif"), guide_at(folder / "guide.tif"), folder / "made" / "out.tif")
    job.output.parent.mkdir()
    for path in (job.dem, job.guide):
        os.utime(path, (LONG_AGO, LONG_AGO))
    return job


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return old_job(tmp_path)


def tags_of(path: Path) -> dict[str, str]:
    with rasterio.open(path) as dataset:
        tags: dict[str, str] = dataset.tags()
        return tags


# The file


def test_output_is_a_valid_cog(tmp_path: Path) -> None:
    side = 17  # DEM pixels; the output has more than one tile
    dem = dem_at(tmp_path / "dem.tif", rows=side * 8, cols=side * 4 + 3)
    guide = guide_at(tmp_path / "guide.tif", rows=side * 32, cols=side * 16 + 12)
    output = tmp_path / "out.tif"
    Job(dem, guide, output).run()
    assert cog_validate(output, strict=True) == (True, [], [])
    with rasterio.open(output) as dataset:
        assert dataset.shape == (side * 32, side * 16 + 12)
        assert dataset.dtypes == ("float32",)
        assert dataset.nodata == -9999
        assert dataset.units == ("metre",)
        assert dataset.compression == Compression.deflate
        assert dataset.tags(ns="IMAGE_STRUCTURE")["PREDICTOR"] == "3"
        assert dataset.block_shapes == [(512, 512)]
        assert dataset.overviews(1)
        assert dataset.tags()["AREA_OR_POINT"] == "Area"


def test_nodata_is_written_as_such(job: Job) -> None:
    with rasterio.open(job.guide, "r+") as dataset:
        dataset.nodata = 0
        dataset.write(np.zeros((3, 20, 96), dtype=np.uint8), window=((0, 20), (0, 96)))
    job.run()
    with rasterio.open(job.output) as dataset:
        values = dataset.read(1)
    assert (values[:20] == -9999).all()
    assert (values[20:] > 0).all()


def test_two_runs_give_the_same_bytes(job: Job) -> None:
    job.run()
    again = replace(job, output=job.output.with_name("again.tif"))
    again.run()
    assert job.output.read_bytes() == again.output.read_bytes()
    assert not [tag for tag in tags_of(job.output) if "TIME" in tag]


# Provenance


def test_tags_tell_how_it_was_made(job: Job) -> None:
    job.run(licence="CC BY 4.0", trained_on="sixteen cities")
    tags = tags_of(job.output)
    expected = {
        "JSPSR_VERSION": __version__,
        "JSPSR_WEIGHTS": "stand-in",
        "JSPSR_WEIGHTS_SHA256": "0" * 64,
        "JSPSR_WEIGHTS_LICENCE": "CC BY 4.0",
        "JSPSR_TRAINED_ON": "sixteen cities",
        "JSPSR_INPUT_DEM": '["dem.tif"]',
        "JSPSR_INPUT_IMAGE": '["guide.tif"]',
    }
    assert {key: tags.get(key) for key in expected} == expected
    used = json.loads(tags["JSPSR_OPTIONS"])
    assert (used["resolution"], used["window"], used["guide_gaps"], used["water"]) == (8, 64, "nodata", "keep")
    assert "JSPSR_NOTICE" not in tags
    assert "JSPSR_LICENCE" not in tags
    assert "does not say" in tags["JSPSR_VERTICAL_DATUM"]


def test_simulated_training_is_said(job: Job) -> None:
    report = job.run(simulated=True)
    assert "simulated" in tags_of(job.output)["JSPSR_NOTICE"]
    assert any("simulated" in warning for warning in report.warnings)


def test_licences_are_passed_on(job: Job) -> None:
    job = replace(job, dem=job.dem.rename(job.dem.with_name(COPERNICUS)))
    job.run()
    tags = tags_of(job.output)
    assert "attribution" in tags["JSPSR_LICENCE"]
    assert "produced using Copernicus WorldDEM-30 (c) DLR e.V. 2010-2014" in tags["JSPSR_ATTRIBUTION"]
    assert "EGM2008" in tags["JSPSR_VERTICAL_DATUM"]


def test_share_alike_is_passed_on_by_what_is_made_of_it(job: Job) -> None:
    first = replace(job, dem=job.dem.rename(job.dem.with_name(FABDEM)))
    first.run()
    second = replace(job, dem=first.output.rename(first.output.with_name("renamed.tif")))
    second.run()
    for tags in (tags_of(second.dem), tags_of(second.output)):
        assert "CC BY-NC-SA 4.0" in tags["JSPSR_LICENCE"]
        assert "Hawker" in tags["JSPSR_ATTRIBUTION"]
        assert "EGM2008" in tags["JSPSR_VERTICAL_DATUM"]


def vertical_part(path: Path) -> list[str]:
    with rasterio.open(path) as dataset:
        crs = pyproj.CRS.from_wkt(dataset.crs.to_wkt())
    return [part.name for part in crs.sub_crs_list if part.is_vertical]


@pytest.mark.parametrize("by", ["guide", "option"])
def test_heights_keep_the_vertical_datum_of_the_dem(job: Job, by: str) -> None:
    """A target CRS that names another one must not relabel them."""
    compound = f"{CRS}+7837"
    dem = job.dem.rename(job.dem.with_name(COPERNICUS))
    if by == "guide":
        job = replace(job, dem=dem, guide=guide_at(job.guide.with_name("compound.tif"), crs=compound))
    else:
        job = replace(job, dem=dem, options=EnhanceOptions(crs=compound))
    job.run()
    assert vertical_part(job.output) in ([], ["EGM2008 height"])
    assert "EGM2008" in tags_of(job.output)["JSPSR_VERTICAL_DATUM"]


def test_the_datum_of_a_compound_crs_is_written_down(job: Job) -> None:
    replace(job, dem=dem_at(job.dem.with_name("dhhn.tif"), crs=f"{CRS}+7837")).run()
    assert "DHHN2016" in tags_of(job.output)["JSPSR_VERTICAL_DATUM"]


def test_the_library_is_there_by_its_documented_name() -> None:
    import jspsr_cli

    assert jspsr_cli.enhance is enhance
    assert jspsr_cli.EnhanceOptions is EnhanceOptions
    with pytest.raises(AttributeError):
        jspsr_cli.nothing  # noqa: B018


def test_a_file_that_lacks_its_end_is_no_output(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def copy(source: Path, target: Path, **options: Any) -> None:
        gdal_copy(source, target, **options)
        os.truncate(target, target.stat().st_size - 5)  # what did not fit the disk when it was closed

    monkeypatch.setattr(writer, "gdal_copy", copy)
    with pytest.raises(WriteFailed, match="No space left"):
        job.run()
    assert not job.output.exists()
    monkeypatch.undo()
    job.run()
    with rasterio.open(job.output) as dataset:
        assert np.isfinite(dataset.read()).all()

"""The output is complete or not there, and no work is done twice, nor left out because something looks the same."""

import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.warp
import torch
from matplotlib.image import imsave
from rasterio.shutil import copy as gdal_copy

from jspsr_cli.errors import JspsrError, OutputExists, OutputNotWritable, PredictionFailed, ReadFailed
from jspsr_cli.raster.grid import Grid
from jspsr_cli.raster.writer import is_output_of
from jspsr_cli.request import EnhanceOptions
from tests.scenes import damaged
from tests.test_output import CRS, LONG_AGO, NORTH, WEST, Job, dem_at, old_job

Network = Callable[..., torch.Tensor]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return old_job(tmp_path)


def never(*_: torch.Tensor, **__: torch.Tensor) -> torch.Tensor:
    raise AssertionError("the network was called")


def breaking(error: BaseException) -> Network:
    """A network that fails in the middle."""
    calls = 0

    def network(dem: torch.Tensor, **_: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise error
        return dem

    return network


def not_a_height(dem: torch.Tensor, **_: torch.Tensor) -> torch.Tensor:
    return dem * torch.nan


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# All or nothing


@pytest.mark.parametrize("previous", [False, True])
@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt(), SystemExit(143)], ids=repr)
def test_a_broken_run_leaves_nothing(job: Job, error: BaseException, previous: bool) -> None:
    job = replace(job, options=EnhanceOptions(overwrite=True, batch_size=1))
    if previous:
        job.output.write_bytes(b"what was there before")
    with pytest.raises(type(error)):
        job.run(breaking(error))
    assert names(job.output.parent) == (["out.tif"] if previous else [])
    assert not previous or job.output.read_bytes() == b"what was there before"


def beyond_all_heights(dem: torch.Tensor, **_: torch.Tensor) -> torch.Tensor:
    """Finite, but not when it is turned into metres."""
    return torch.full_like(dem, 200)


@pytest.mark.parametrize("predictor", [not_a_height, beyond_all_heights])
def test_values_that_are_no_heights_are_an_error(job: Job, predictor: Any) -> None:
    with pytest.raises(PredictionFailed, match="no heights"):
        job.run(predictor)
    assert names(job.output.parent) == []


def test_an_input_that_breaks_off_leaves_no_output(job: Job) -> None:
    damaged(job.guide)
    with pytest.raises(ReadFailed, match=r"guide\.tif"):
        job.run()
    assert not job.output.exists()


def test_only_the_output_is_left(job: Job) -> None:
    job.run()
    assert names(job.output.parent) == ["out.tif"]


def test_statistics_of_a_replaced_output_go_with_it(job: Job) -> None:
    """QGIS and gdalinfo -stats write them beside a raster; they would describe the new one wrongly."""
    job.run()
    sidecar = job.output.with_name("out.tif.aux.xml")
    sidecar.write_text(
        "<PAMDataset><PAMRasterBand band='1'><Metadata><MDI key='STATISTICS_MAXIMUM'>-5</MDI>"
        "<MDI key='STATISTICS_MEAN'>-5</MDI><MDI key='STATISTICS_MINIMUM'>-5</MDI>"
        "<MDI key='STATISTICS_STDDEV'>0</MDI></Metadata></PAMRasterBand></PAMDataset>"
    )
    replace(job, options=EnhanceOptions(overwrite=True)).run()
    with rasterio.open(job.output) as dataset:
        assert "STATISTICS_MAXIMUM" not in dataset.tags(1)


def test_a_folder_of_the_user_is_not_taken_for_unfinished_work(job: Job) -> None:
    mine = job.output.with_name("out.tif.partial") / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("precious")
    with suppress(JspsrError):
        job.run()
    assert mine.exists()


# Made once


def test_the_same_command_again_does_no_work(job: Job) -> None:
    job.run()
    before = job.output.stat()
    report = job.run(never)
    assert report.already_done
    after = job.output.stat()  # which was read, and so has another time of access
    assert (after.st_ino, after.st_mtime_ns, after.st_size) == (before.st_ino, before.st_mtime_ns, before.st_size)
    again = replace(job, options=EnhanceOptions(overwrite=True)).run()
    assert not again.already_done


def test_saying_what_is_the_default_anyway_is_the_same_command(job: Job) -> None:
    job.run()
    said = EnhanceOptions(precision="float32", window=64, guide_gaps="nodata", batch_size=3)
    assert replace(job, options=said).run(never).already_done


def test_weights_with_odd_descriptions_are_made_once(job: Job) -> None:
    odd = {"licence": "", "trained_on": " Angers ", "attribution": "me"}
    job.run(**odd)
    assert job.run(never, **odd).already_done


def test_a_full_disk_does_not_matter_to_what_is_done(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    job.run()
    monkeypatch.setattr("jspsr_cli.raster.writer.DISK_BYTES_PER_PIXEL", 1e15)
    assert job.run(never).already_done
    with pytest.raises(OutputNotWritable, match="MB free"):
        replace(job, options=EnhanceOptions(overwrite=True)).run(never)


def test_a_tile_behind_a_vrt_is_an_input(job: Job) -> None:
    vrt = job.dem.with_suffix(".vrt")
    gdal_copy(job.dem, vrt, driver="VRT")
    before = job.dem.read_bytes()
    with pytest.raises(OutputExists, match="one of the inputs"):
        replace(job, dem=vrt, output=job.dem, options=EnhanceOptions(overwrite=True)).run(never)
    assert job.dem.read_bytes() == before


def touch(path: Path) -> None:
    os.utime(path, (4e9, 4e9))


def with_options(**options: Any) -> Callable[[Job], Job]:
    return lambda job: replace(job, options=EnhanceOptions(**options))


def newer_dem(job: Job) -> Job:
    touch(job.dem)
    return job


def newer_guide(job: Job) -> Job:
    touch(job.guide)
    return job


def other_dem(job: Job) -> Job:
    """In another folder and just as old: only the name is the same."""
    other = dem_at(job.dem.parent / "elsewhere" / job.dem.name, lift=500)
    os.utime(other, (LONG_AGO, LONG_AGO))
    return replace(job, dem=other)


CHANGES: dict[str, Callable[[Job], Job]] = {
    "newer DEM": newer_dem,
    "newer guide": newer_guide,
    "another DEM": other_dem,
    "resolution": with_options(resolution=16),
    "bounds": with_options(bounds=(WEST, NORTH - 400, WEST + 400, NORTH)),
    "CRS": with_options(crs="EPSG:32631"),
    "window": with_options(window=128),
    "overlap": with_options(overlap=0.5),
    "bands": with_options(guide_bands=(3, 2, 1)),
    "stretch": with_options(stretch=(0, 100)),
    "gaps": with_options(guide_gaps="dem"),
    "water": with_options(water="network"),
    "precision": with_options(precision="bfloat16"),
}


def refuses(job: Job, **info: Any) -> None:
    before = job.output.read_bytes()
    with pytest.raises(OutputExists, match="--overwrite"):
        job.run(never, **info)
    assert job.output.read_bytes() == before


def test_a_picture_of_that_name_is_refused_without_a_warning_of_rasterio(job: Job) -> None:
    imsave(job.output, np.zeros((4, 4, 3), dtype=np.uint8), format="png")
    refuses(job)


def test_a_file_whose_crs_has_a_name_in_no_utf8_needs_overwrite(job: Job) -> None:
    wkt = rasterio.CRS.from_proj4("+proj=lcc +lat_1=41 +lat_2=44").to_wkt().replace("unknown", "Zz", 1)
    place = {"crs": wkt, "transform": rasterio.Affine(8, 0, WEST, 0, -8, NORTH), "width": 4, "height": 4}
    with rasterio.open(job.output, "w", driver="GTiff", dtype="uint8", count=1, **place) as dataset:
        dataset.write(np.zeros((1, 4, 4), dtype=np.uint8))
    job.output.write_bytes(job.output.read_bytes().replace(b"Zz", b"\xff\xfe"))
    refuses(job)


def test_an_output_of_files_that_are_gone_is_made_anew(job: Job) -> None:
    """Not an error: what vanished while it was worked on was read before."""
    job.run()
    with rasterio.open(job.output) as dataset:
        grid = Grid(dataset.crs, dataset.transform, dataset.width, dataset.height)
    assert is_output_of(job.output, grid, {}, made_of=[str(job.dem)])
    assert not is_output_of(job.output, grid, {}, made_of=[str(job.dem), str(job.dem.with_name("gone.tif"))])


@pytest.mark.parametrize("change", CHANGES)
def test_another_command_needs_overwrite(job: Job, change: str) -> None:
    job.run()
    refuses(CHANGES[change](job))


def test_other_weights_of_that_name_need_overwrite(job: Job) -> None:
    job.run()
    refuses(job, sha256="1" * 64)


def test_a_file_of_another_program_needs_overwrite(job: Job) -> None:
    shutil.copy(job.guide, job.output)
    refuses(job)


def test_a_changed_tile_of_a_vrt_needs_overwrite(job: Job) -> None:
    vrt = job.dem.with_suffix(".vrt")
    gdal_copy(job.dem, vrt, driver="VRT")
    os.utime(vrt, (LONG_AGO, LONG_AGO))
    tile, job = job.dem, replace(job, dem=vrt)
    job.run()
    assert job.run(never).already_done
    touch(tile)
    refuses(job)


def polygon(path: Path, *, notch: float) -> str:
    """A square with a notch, which changes neither its name, its age nor its bounds."""
    corners = [(0, 0), (0, 400), (400, 400), (400, 0), (200, notch), (0, 0)]
    xs, ys = zip(*((WEST + x, NORTH - 400 + y) for x, y in corners), strict=True)
    lon, lat = rasterio.warp.transform(CRS, "EPSG:4326", xs, ys)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"type": "Polygon", "coordinates": [list(zip(lon, lat, strict=True))]}))
    os.utime(path, (LONG_AGO, LONG_AGO))
    return str(path)


def test_another_polygon_of_that_name_needs_overwrite(job: Job, tmp_path: Path) -> None:
    first = polygon(tmp_path / "a" / "area.geojson", notch=200)
    replace(job, options=EnhanceOptions(geometry=first)).run()
    assert replace(job, options=EnhanceOptions(geometry=first)).run(never).already_done
    refuses(replace(job, options=EnhanceOptions(geometry=polygon(tmp_path / "b" / "area.geojson", notch=100))))
    touch(Path(first))
    refuses(replace(job, options=EnhanceOptions(geometry=first)))

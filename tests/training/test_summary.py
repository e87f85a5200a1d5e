"""The pictures of the summary page can be compared, and are explained."""

import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
from affine import Affine
from matplotlib.image import imread

from jspsr_cli.raster.landuse import CLASS_NAMES
from jspsr_cli.training.summary import write_page
from tests.scenes import Array, write_raster
from tests.training.prepared import UTM
from tests.training.test_prepare_rules import PLACE

SIDE = 32


def page_of(folder: Path, **layers: Array) -> tuple[str, dict[str, Array]]:
    """The page of one sample with `layers`, and its pictures by caption."""
    for name, values in layers.items():
        path = folder / "own_8m" / "A" / name / f"1_{name}.tif"
        path.parent.mkdir(parents=True)
        write_raster(path, values, crs=UTM, transform=Affine(8, 0, 0, 0, -8, 0))
    write_page(folder / "page.html", folder / "own_8m", [replace(PLACE, folders={"A": 1}, layers=tuple(layers))])
    page = (folder / "page.html").read_text()
    found = re.findall('<img alt="([^"]*)" src="data:image/png;base64,([^"]*)">', page)
    return page, {name: imread(io.BytesIO(base64.b64decode(data))) for name, data in found}


def test_the_same_slope_has_the_same_shade_in_all_models_of_a_sample(tmp_path: Path) -> None:
    row, col = np.indices((SIDE, SIDE)).astype(np.float32)
    dem = 2 * row
    ground = np.where(col < 16, dem, dem + 3 * (col - 16))
    _, pictures = page_of(tmp_path, COP30=dem, RGEALTI=ground)
    np.testing.assert_array_equal(pictures["COP30"][:, :15], pictures["RGEALTI"][:, :15])
    # What falls to the north-west is light, as if the sun stood there.
    north_west, south_east = (page_of(tmp_path / str(s), COP30=s * (row + col), RGEALTI=row - col)[1] for s in (1, -1))
    assert north_west["COP30"][16, 16, 0] > 0.9
    assert south_east["COP30"][16, 16, 0] < 0.1


def test_the_title_is_of_a_place_with_samples(tmp_path: Path) -> None:
    none = replace(PLACE, samples="own_16m", side=256)
    write_page(tmp_path / "page.html", tmp_path, [none, replace(PLACE, name="B", folders={"B": 1})])
    assert "<title>Training set own_8m, 128 pixels a side</title>" in (tmp_path / "page.html").read_text()


def test_the_key_has_the_colours_of_the_pictures(tmp_path: Path) -> None:
    row, _ = np.indices((SIDE, SIDE)).astype(np.float32)
    use = np.full((SIDE, SIDE), 10, dtype=np.uint8)
    page, pictures = page_of(tmp_path, COP30=row + 1, RGEALTI=row, UA2012=use, CHM=5 + 0 * row)
    keys = {name: colour for colour, name in re.findall(r"rgb\(([0-9,]+)\)\"></span> ([^;.<]+)", page)}
    assert keys.keys() >= {*CLASS_NAMES, "0 m", "5 m", "25 m"}
    for name, picture in ((CLASS_NAMES[10], "UA2012"), ("5 m", "CHM")):
        shown = np.round(255 * pictures[picture][0, 0, :3]).astype(int)
        assert keys[name] == ",".join(map(str, shown))
    assert "red is where the DEM is above the terrain" in page
    red, _green, blue = pictures["COP30 - RGEALTI, ±1.0 m"][0, 0, :3]
    assert red > blue

"""Scenes and processes for runs that are ended, starved or crowded."""

from pathlib import Path

import pytest

from tests.scenes import cop30, guide_over
from tests.test_enhance_command import CRS, PLACE, Scene


@pytest.fixture
def long(tmp_path: Path, weights: dict[str, Path]) -> Scene:
    """A scene whose plain command, with `STRIPS`, makes a dozen strips and takes a second or more."""
    (tmp_path / "scene").mkdir()
    scene = Scene(tmp_path / "scene", weights)
    cop30(scene.dem, size=60, **PLACE)
    guide_over(scene.guide, scene.dem, crs=CRS, resolution=8, share=0.9)
    return scene


#: Options that make many strips of a small raster.
STRIPS = ("--window", "32", "--overlap", "0.5", "--batch-size", "4", "--json")

"""Simulated orthophotos: always the same, in place, with the cues that real ones have and no others."""

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jspsr_cli.simulate import camera, palette
from jspsr_cli.simulate.camera import averages, leaning
from jspsr_cli.simulate.cover import BROADLEAF, CROP, MEADOW, PASTURE, TILLED
from jspsr_cli.simulate.fields import stream
from jspsr_cli.simulate.photo import OFF, photo
from jspsr_cli.simulate.scene import Scene
from jspsr_cli.simulate.sunlight import PENUMBRA, Sun, shade, sunlight
from jspsr_cli.simulate.views import LAYERS, Simulation
from tests.scenes import Array
from tests.simulate.ground import known_scene

SIZE = 32


def sun_at(azimuth: float, height: float) -> Sun:
    """`azimuth` in degrees from north by east, `height` in degrees."""
    turn = np.radians(azimuth)
    sky = np.zeros(3, dtype=np.float32)
    return Sun(float(np.sin(turn)), -float(np.cos(turn)), float(np.tan(np.radians(height))), sky)


def level_scene(size: int = SIZE, **layers: Any) -> Scene:
    bare = known_scene(size=size)
    return known_scene(size=size, **{"terrain": np.zeros_like(bare.terrain), **layers})


def halves(size: int = SIZE) -> tuple[Array, Array]:
    """The columns of fine pixels, and whether they are in the western half."""
    side = len(known_scene(size=size).terrain)
    cols = np.broadcast_to(np.arange(side), (side, side))
    return cols, cols < side // 2


def brightness(pixels: Array) -> Array:
    grey: Array = pixels.astype(np.float64).mean(axis=0)
    return grey


def test_a_photo_is_always_the_same() -> None:
    scene = Simulation(size=SIZE).scene(4)
    first, again, other = (photo(scene, stream(seed)) for seed in (1, 1, 2))
    assert first.shape == (3, SIZE, SIZE)
    assert first.dtype == np.uint8
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


def test_other_layers_do_not_depend_on_it() -> None:
    simulation = Simulation(size=SIZE)
    scene = simulation.scene(3)
    before = [values.tobytes() for values in vars(scene).values() if isinstance(values, np.ndarray)]
    whole = simulation.layers(scene, 3)
    without = simulation.layers(scene, 3, wanted=[layer for layer in LAYERS if layer != "BDORTHO"])
    assert set(whole) - set(without) == {"BDORTHO"}
    for layer, values in without.items():
        assert values.tobytes() == whole[layer].tobytes()
    assert [values.tobytes() for values in vars(scene).values() if isinstance(values, np.ndarray)] == before


def test_photos_are_varied() -> None:
    simulation = Simulation(size=SIZE)
    photos = [simulation.layers(simulation.scene(n), n, wanted=["BDORTHO"])["BDORTHO"] for n in range(30)]
    means = np.array([pixels.mean(axis=(1, 2)) for pixels in photos])
    assert means.std(axis=0).min() > 15
    assert ((means > 10) & (means < 245)).all()
    spread = np.array([brightness(pixels).std() for pixels in photos])
    assert spread.min() > 1
    assert spread.max() > 3 * spread.min()


@settings(max_examples=25)
@example(azimuth=25.0, height=25.0, tall=25.6875)
@given(azimuth=st.floats(0, 360), height=st.floats(20, 65), tall=st.floats(10, 30))
def test_shadows_fall_away_from_the_sun(azimuth: float, height: float, tall: float) -> None:
    side, half, metres = 161, 4, 2.0
    surface = np.zeros((side, side), dtype=np.float32)
    middle = slice(side // 2 - half, side // 2 + half + 1)
    surface[middle, middle] = tall
    light = sun_at(azimuth, height)
    dark = shade(surface, light, metres=metres) >= 1
    assert not dark[middle, middle].any()
    rows, cols = (np.nonzero(dark)[axis] - side // 2 for axis in (0, 1))
    away = -metres * (rows * light.south + cols * light.east)
    # From the middle: the way to the farthest corner of the block, and the shadow from there.
    corner = metres * (half + 0.5) * (abs(light.south) + abs(light.east))
    reach = (tall - PENUMBRA) / light.tangent
    assert away.max() == pytest.approx(corner + reach, abs=3 * metres)
    # Nothing is dark on the sunny side.
    sunny = np.maximum(rows * np.sign(light.south), cols * np.sign(light.east)) > half
    assert not (sunny & (rows * light.south + cols * light.east > half)).any()


def test_slopes_towards_the_sun_are_brighter() -> None:
    scene = known_scene()
    rise = 0.11
    for azimuth, toward in ((90, rise), (270, -rise)):
        light = sun_at(azimuth, 45)
        part = slice(scene.margin, len(scene.terrain) - scene.margin)
        lit = sunlight(scene, light, thin=None, part=part)
        assert lit == pytest.approx((1 - toward) / np.sqrt(1 + toward**2), abs=1e-3)


def test_bare_trees_let_half_of_the_light_through() -> None:
    cols, west = halves()
    scene = level_scene(canopy=np.where(west, np.float32(20), np.float32(0)))
    part, light = slice(scene.margin, len(scene.terrain) - scene.margin), sun_at(270, 30)
    dense, thin = (
        sunlight(scene, light, thin=thin, part=part) for thin in (None, np.ones(scene.terrain.shape, dtype=bool))
    )
    shadow = (cols[part, part] > len(cols) // 2 + 1) & (cols[part, part] < len(cols) // 2 + 10)
    assert dense[shadow].max() == 0
    assert thin[shadow] == pytest.approx(0.5)


@given(off=st.tuples(st.floats(-1.9, 1.9), st.floats(-1.9, 1.9)), factor=st.integers(2, 5))
def test_averages_are_of_the_pixels_asked_for(off: tuple[float, float], factor: int) -> None:
    side, spare = 6 * factor + 4, 2
    rows, cols = np.indices((side, side), dtype=np.float32)
    seen = averages(np.stack([rows, cols, 3 * rows - cols]), factor=factor, spare=spare, off=off)
    at = spare + factor * np.arange(6) + (factor - 1) / 2
    down, right = at[:, None] + off[0], at + off[1]
    for plane, expected in zip(seen, (down + 0 * right, right + 0 * down, 3 * down - right), strict=True):
        assert plane == pytest.approx(expected, abs=1e-3)


def test_a_roof_is_where_the_building_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera, "LEAN", (0.0, 0.0))
    monkeypatch.setattr(palette, "FLAT", ((255, 255, 255),))
    monkeypatch.setattr(palette, "TILES", ((255, 255, 255),))
    bare = level_scene()
    built = np.zeros_like(bare.terrain)
    # Nine by five pixels of the sample.
    first = bare.margin + 10 * bare.factor
    built[first : first + 9 * bare.factor, first : first + 5 * bare.factor] = 3
    scene = level_scene(built=built, cover=np.full(built.shape, TILLED, dtype=np.uint8))
    found = []
    for number in range(12):
        grey = brightness(photo(scene, stream(5, number)))
        weight = np.clip(grey - np.median(grey), 0, None) * (grey > (grey.max() + np.median(grey)) / 2)
        found.append([(weight.sum(axis=axis) @ np.arange(SIZE)) / weight.sum() for axis in (1, 0)])
    assert np.median(found, axis=0) == pytest.approx([14, 12], abs=0.5)
    assert np.abs(np.array(found) - [14, 12]).max() < 1 + OFF / 8


def test_what_stands_leans_by_its_height(monkeypatch: pytest.MonkeyPatch) -> None:
    above = np.zeros((60, 60), dtype=np.float32)
    above[20:30, 20:30] = 40
    own = np.arange(3600).reshape(60, 60)
    monkeypatch.setattr(camera, "LEAN", (0.2, 0.2))
    seen = leaning(above, stream(3), metres=2.0)
    roof = above.ravel()[seen] > 0
    rows, cols = np.nonzero(roof & (above == 0))
    # The far edge lies 8 m further, which is 4 pixels, in one direction.
    beyond = max(rows.max() - 29, 20 - rows.min()), max(cols.max() - 29, 20 - cols.min())
    assert np.hypot(*np.maximum(beyond, 0)) == pytest.approx(4, abs=0.8)
    monkeypatch.setattr(camera, "LEAN", (0.0, 0.0))
    assert (leaning(above, stream(3), metres=2.0) == own).all()


def test_woods_are_darker_than_fields_more_often_than_not() -> None:
    _, west = halves()
    rng = np.random.default_rng(3)
    canopy = np.where(west, rng.uniform(8, 14, west.shape), 0).astype(np.float32)
    darker = []
    for number, field in enumerate((PASTURE, MEADOW, CROP) * 12):
        scene = level_scene(canopy=canopy, cover=np.where(west, BROADLEAF, field).astype(np.uint8))
        grey = brightness(photo(scene, stream(7, number)))
        darker.append(grey[:, : SIZE // 2 - 4].mean() < grey[:, SIZE // 2 + 4 :].mean())
    assert np.mean(darker) > 0.8


def test_colour_does_not_tell_how_tall_a_wood_is() -> None:
    _, west = halves()
    canopy = np.where(west, np.float32(6), np.float32(24))
    scene = level_scene(canopy=canopy, cover=np.full(west.shape, BROADLEAF, dtype=np.uint8))
    ratios = []
    for number in range(30):
        grey = brightness(photo(scene, stream(8, number)))
        ratios.append(np.log((grey[:, :9].mean() + 1) / (grey[:, -9:].mean() + 1)))
    assert abs(np.mean(ratios)) < 3 * np.std(ratios) / np.sqrt(len(ratios))


@pytest.mark.parametrize("unknown", [{}, {"cover": None}], ids=["known cover", "unknown cover"])
@pytest.mark.parametrize(("kind", "height"), [("canopy", 12.0), ("built", 8.0)])
def test_trees_and_roofs_show_on_any_ground(kind: str, height: float, unknown: dict[str, Any]) -> None:
    """They differ from the ground between them, in the same photo, by more than two such strips of bare ground do."""
    cols, _ = halves()
    strips = np.where(cols % 48 < 24, np.float32(height), np.float32(0))
    covered = (level_scene().inside(strips) > 0)[:: level_scene().factor, :: level_scene().factor]

    def contrast(scene: Scene) -> float:
        found = []
        for number in range(8):
            grey = np.log(brightness(photo(scene, stream(9, number))) + 1)
            found.append(abs(grey[covered].mean() - grey[~covered].mean()))
        return float(np.mean(found))

    known: dict[str, Any] = {kind: strips}
    assert contrast(level_scene(**known, **unknown)) > 3 * contrast(level_scene(**unknown))

"""What the radar sees, against closed forms: place, phase centre, errors, water."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jspsr_cli.simulate import radar
from jspsr_cli.simulate.fields import stream
from jspsr_cli.simulate.radar import Lattice, elevation_models
from jspsr_cli.simulate.scene import Scene
from tests.scenes import Array
from tests.simulate.ground import known_scene, truth_of


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> Callable[[Scene], Array]:
    """COP30 without height errors, minus the plane."""
    monkeypatch.setattr(radar, "ERROR", (0.0, 0.0))

    def above(scene: Scene) -> Array:
        seen: Array = elevation_models(scene, stream(5), biased=False)["COP30"][0]
        return seen - truth_of(scene)

    return above


@pytest.mark.parametrize("lat", [0.6, 23.0, 49.9, 50.1, 60.5, 69.5])
def test_bare_ground_stays_where_it_is(exact: Callable[[Scene], Array], lat: float) -> None:
    # Half a fine pixel off would be 0.1 m; the step of COP30, 3 m.
    assert np.abs(exact(known_scene(lat=lat))).max() < 0.01


@settings(max_examples=25)
@given(lat=st.floats(0.5, 69.9))
def test_the_lattice_is_that_of_cop30(lat: float) -> None:
    scene = known_scene(lat=lat, size=16)
    lattice = Lattice.around(scene)
    across, down = lattice.transform.a, -lattice.transform.e
    assert round(1 / down) == 3600
    # The sample may lie across a latitude at which the columns change.
    assert round(1 / across) in {count for start, count in radar.COLUMNS if abs(lat - start) < 0.01 or start <= lat}
    assert 19 < across * 111_320 * np.cos(np.radians(lat)) < 32
    for first, step in ((lattice.transform.c, across), (lattice.transform.f, down)):
        assert (first / step) % 1 == pytest.approx(0.5, abs=1e-4)
    # Two pixels all around, for the bicubic kernel.
    inner = len(scene.terrain) - scene.margin
    assert lattice.rows[2].max() < scene.margin
    assert lattice.rows[-3].min() > inner
    assert lattice.cols[:, 2].max() < scene.margin
    assert lattice.cols[:, -3].min() > inner


def test_canopy_is_lowered_to_the_phase_centre(exact: Callable[[Scene], Array]) -> None:
    bare = known_scene()
    seen = exact(known_scene(canopy=np.full_like(bare.terrain, 20)))
    # The bicubic kernel overshoots a little.
    assert 10 - 0.4 < seen.min() < seen.max() < 18 + 0.4


def test_buildings_are_seen_to_the_top(exact: Callable[[Scene], Array]) -> None:
    bare = known_scene()
    assert exact(known_scene(built=np.full_like(bare.terrain, 12))) == pytest.approx(12, abs=0.02)


def test_houses_are_blurred(exact: Callable[[Scene], Array]) -> None:
    bare = known_scene()
    built = np.zeros_like(bare.terrain)
    middle, half = len(built) // 2, round(6 / bare.metres)
    built[middle - half : middle + half, middle - half : middle + half] = 30
    seen = exact(known_scene(built=built))
    # A house of 12 m under a blur of 12 m keeps half of its height at most; its volume is not lost.
    assert 2 < seen.max() < 20


def test_height_errors_are_of_the_size_and_range_that_are_known() -> None:
    scene = known_scene(size=128)
    sizes, alike = [], []
    for number in range(12):
        error = elevation_models(scene, stream(6, number), biased=False)["COP30"][0] - truth_of(scene)
        assert abs(error.mean()) < 0.3
        sizes.append(error.std())
        step = round(30 / 8)
        alike.append(np.corrcoef(error[:, step:].ravel(), error[:, :-step].ravel())[0, 1])
    # On a slope of 0.13, and bicubic between pixels: a little less than on the lattice.
    assert 0.2 < min(sizes) < max(sizes) < 1.4
    assert np.std(sizes) > 0.1
    assert 0.2 < np.mean(alike) < 0.9


def test_the_bias_is_that_of_a_whole_tile() -> None:
    scene = known_scene()
    biases = []
    for number in range(20):
        with_bias, without = (elevation_models(scene, stream(7, number), biased=biased) for biased in (True, False))
        difference = with_bias["COP30"] - without["COP30"]
        assert np.ptp(difference) < 1e-3
        biases.append(difference.mean())
    assert -1.5 <= min(biases) < -0.5
    assert 0.5 < max(biases) <= 1.5


def test_water_is_flattened_and_land_is_not() -> None:
    bare = known_scene(size=64)
    water = np.zeros(bare.terrain.shape, dtype=bool)
    water[: len(water) // 2] = True
    terrain = np.where(water, np.float32(188), bare.terrain)
    scene = known_scene(size=64, terrain=terrain, water=water)
    for dem in elevation_models(scene, stream(8), biased=False).values():
        # Beyond the kernel of the shore.
        assert (dem[0, :20] == 188).all()
        assert len(np.unique(dem[0, -20:])) > 100


def test_fabdem_is_nearer_to_the_ground() -> None:
    bare = known_scene(size=64)
    canopy = np.where(np.indices(bare.terrain.shape)[0] % 120 < 60, np.float32(15), np.float32(0))
    scene = known_scene(size=64, canopy=canopy)
    for number in range(4):
        seen = elevation_models(scene, stream(9, number), biased=False)
        error = {name: float(np.sqrt(((dem[0] - truth_of(scene)) ** 2).mean())) for name, dem in seen.items()}
        assert 0.3 < error["FABDEM"] < 0.75 * error["COP30"]

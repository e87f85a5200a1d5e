"""Canopy maps: right ones, and how wrong the others are."""

from collections import Counter

import numpy as np
import pytest

from jspsr_cli.simulate import canopymap
from jspsr_cli.simulate.canopymap import CANOPY_KINDS, CANOPY_SHARES, CanopyKind, canopy_map
from jspsr_cli.simulate.fields import Chance, averaged, stream
from jspsr_cli.simulate.scene import Scene, simulate_scene
from tests.scenes import Array
from tests.simulate.ground import known_scene

TREES, HOUSE = (slice(60, 100), slice(60, 100)), (slice(105, 120), slice(105, 120))


@pytest.fixture
def scene() -> Scene:
    canopy, built = (np.zeros_like(known_scene().terrain) for _ in range(2))
    canopy[TREES], built[HOUSE] = 12.4, 9
    return known_scene(canopy=canopy, built=built)


def means(scene: Scene, values: Array) -> Array:
    return averaged(scene.inside(values), scene.factor)


def test_right_maps(scene: Scene) -> None:
    exact, trees, empty = (canopy_map(scene, stream(1), kind=kind) for kind in ("exact", "trees", "empty"))
    assert exact.dtype == np.uint8
    assert exact[0].tolist() == np.round(means(scene, np.maximum(scene.canopy, scene.built))).tolist()
    assert trees[0].tolist() == np.round(means(scene, scene.canopy)).tolist()
    assert exact.max() == 12
    assert exact.astype(int).sum() > trees.astype(int).sum()
    assert not empty.any()


def test_a_shifted_map_is_the_exact_one_elsewhere(scene: Scene) -> None:
    exact = canopy_map(scene, stream(1), kind="exact")[0].astype(float)
    for number in range(5):
        shifted = canopy_map(scene, stream(2, number), kind="shifted")[0].astype(float)
        assert shifted.sum() == pytest.approx(exact.sum(), rel=0.15)
        middle = [np.average(np.indices(values.shape), axis=(1, 2), weights=values) for values in (exact, shifted)]
        assert 8 - 3 < 8 * np.hypot(*(middle[1] - middle[0])) < 30 + 3


def test_heights_end_at_what_the_network_knows() -> None:
    bare = known_scene()
    assert canopy_map(known_scene(canopy=np.full_like(bare.terrain, 90)), stream(1), kind="exact").max() == 68


def test_the_global_map_is_as_wrong_as_the_real_one() -> None:
    errors, missed, phantom = [], [], []
    for number in range(25):
        scene = simulate_scene(21, number, resolution=8, size=96)
        found = canopy_map(scene, stream(3, number), kind="global")[0].astype(float)
        height = means(scene, scene.canopy)
        wooded, bare = height > 3, height == 0
        if wooded.mean() > 0.02:
            errors.append(np.abs(found - height)[wooded].mean())
            missed.append((found[wooded] == 0).mean())
            phantom.append((found[bare] > 5).mean())
    # Tolan et al. 2024: mean absolute error 2.8 m.
    assert np.mean(errors) == pytest.approx(2.8, abs=0.5)
    assert 0.02 < np.mean(missed) < 0.3
    assert np.mean(phantom) < 0.05


def test_the_global_map_has_no_buildings(scene: Scene) -> None:
    houses = known_scene(built=scene.built)
    assert not canopy_map(houses, stream(4), kind="global").any()


def test_kinds_are_drawn_as_often_as_said(monkeypatch: pytest.MonkeyPatch, scene: Scene) -> None:
    drawn: list[CanopyKind] = []

    def note(scene: Scene, _chance: Chance, kind: CanopyKind) -> Array:
        drawn.append(kind)
        return scene.canopy

    monkeypatch.setattr(canopymap, "_heights", note)
    for number in range(400):
        canopy_map(scene, stream(5, number))
    counts = Counter(drawn)
    assert set(counts) == set(CANOPY_KINDS)
    for kind, share in CANOPY_SHARES.items():
        assert counts[kind] / 400 == pytest.approx(share, abs=0.07)

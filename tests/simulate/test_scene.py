"""Whole scenes: always the same, and nothing in them that cannot be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from jspsr_cli.simulate import scene as story
from jspsr_cli.simulate.buildings import CORNER
from jspsr_cli.simulate.cover import BROADLEAF, CONIFER, COVERS, PAVED, WATER
from jspsr_cli.simulate.draft import Draft
from jspsr_cli.simulate.fields import stream
from jspsr_cli.simulate.lattice import lattice
from jspsr_cli.simulate.recipes import RECIPES, Recipe
from jspsr_cli.simulate.scene import MARGIN, Scene, fine_pixels, simulate_scene

LAYERS = ("terrain", "canopy", "built", "cover", "water")


def scene_of(recipe: Recipe, monkeypatch: pytest.MonkeyPatch, *, number: int, size: int = 64) -> Scene:
    monkeypatch.setattr(story, "RECIPES", (recipe,))
    return simulate_scene(11, number, resolution=8, size=size)


def test_a_scene_is_always_the_same() -> None:
    first = simulate_scene(3, 5, resolution=8, size=32)
    others = [simulate_scene(seed, number, resolution=8, size=32) for seed, number in ((3, 6), (4, 5))]
    again = simulate_scene(3, 5, resolution=8, size=32)
    for layer in LAYERS:
        assert getattr(first, layer).tobytes() == getattr(again, layer).tobytes()
    assert first.grid == again.grid
    assert [value % 8 for value in first.grid.bounds] == [0, 0, 0, 0]
    for other in others:
        assert first.terrain.tobytes() != other.terrain.tobytes()


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_every_kind_of_country_can_be(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        scene = scene_of(recipe, monkeypatch, number=number)
        assert scene.kind == recipe.name
        for layer in LAYERS:
            assert getattr(scene, layer).shape == scene.terrain.shape
        assert scene.cover is not None
        assert scene.cover.max() < len(COVERS)
        for heights, low, high in ((scene.terrain, -50, 3000), (scene.canopy, 0, 60), (scene.built, 0, 80)):
            assert heights.dtype == np.float32
            assert np.isfinite(heights).all()
            assert low <= heights.min() <= heights.max() <= high
        assert not scene.canopy[scene.water].any()
        assert (scene.cover[scene.water] == WATER).all()


def test_water_is_level() -> None:
    found = 0
    for number in range(40):
        scene = simulate_scene(2, number, resolution=8, size=32)
        bodies, count = ndimage.label(scene.water)
        for body in range(1, count + 1):
            heights = scene.terrain[bodies == body]
            # Where two waters meet, one is lower: a weir.
            found += len(np.unique(heights)) == 1
            assert len(np.unique(heights)) <= 3
    assert found > 10


def test_land_is_as_varied_as_its_recipe_says(monkeypatch: pytest.MonkeyPatch) -> None:
    by_name = {recipe.name: recipe for recipe in RECIPES}

    def share(name: str, *covers: int) -> float:
        scenes = [scene_of(by_name[name], monkeypatch, number=number) for number in range(4)]
        known = [scene.cover for scene in scenes if scene.cover is not None]
        return float(np.mean([np.isin(cover, covers).mean() for cover in known]))

    assert share("forest", BROADLEAF, CONIFER) > 0.6 > 0.15 > share("open fields", BROADLEAF, CONIFER)
    assert share("city", PAVED) > 0.1 > share("bare hills", PAVED)


def test_houses_keep_off_the_streets(monkeypatch: pytest.MonkeyPatch) -> None:
    city = next(recipe for recipe in RECIPES if recipe.name == "city")
    for number in range(3):
        scene = scene_of(city, monkeypatch, number=number)
        assert scene.cover is not None
        dry = ~ndimage.binary_dilation(scene.water, iterations=30)  # bridges
        built = (scene.built > 0) & dry
        assert built.mean() > 0.08
        assert (built & (scene.cover == PAVED)).sum() < 0.12 * built.sum()
        # A house is met by its neighbours, not by a blanket: it ends within a block.
        _, houses = ndimage.label(built)
        assert houses > 60
    assert CORNER > 0


def test_cells_meet_where_their_edges_are() -> None:
    draft = Draft(300, 2.0)
    cells = lattice(draft, stream(8), widths=(40, 70), lengths=(60, 150), bent=20)
    changed = cells.cell[:, 1:] != cells.cell[:, :-1]
    assert changed.any()
    # On both sides of a boundary no further than two pixels and the step of the table.
    near = np.maximum(cells.edge[:, 1:], cells.edge[:, :-1])[changed]
    assert near.max() < 2 * draft.metres + 1
    assert cells.edge.max() > 15
    assert cells.means(cells.cell.astype(np.float64))[cells.present] == pytest.approx(np.flatnonzero(cells.present))


@given(resolution=st.floats(2, 12), size=st.integers(8, 400))
def test_fine_pixels_fit_into_those_of_the_sample(resolution: float, size: int) -> None:
    metres, side, margin = fine_pixels(resolution, size)
    factor = round(resolution / metres)
    assert metres * factor == pytest.approx(resolution)
    assert side - 2 * margin == size * factor
    assert margin * metres >= MARGIN - 1e-6
    assert margin % factor == 0

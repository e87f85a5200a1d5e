import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

from jspsr_cli.errors import BadTrainingSet, InvalidConfig
from jspsr_cli.training.config import TrainingConfig
from jspsr_cli.training.dfc30 import find_samples
from tests.training.dataset import PATCH, layer_path, make_set, rewrite, training_samples


def test_layers_are_paired_by_id_and_sorted_as_numbers(tmp_path: Path, config: Callable[..., TrainingConfig]) -> None:
    root = make_set(tmp_path, samples=11, cities=("Angers", "Brest"))
    city = root / "DFC30_8m" / "Angers"
    # An order by name would pair 10 of one layer with 2 of another once a file is named otherwise.
    layer_path(city, "2", "COP30").rename(layer_path(city, "2", "COP30").with_suffix(".TIF"))
    found = training_samples(config(root, train_set=["Angers"], valid_set=["Brest"]))
    assert [sample.id for sample in found.samples] == [str(i) for i in range(11)]
    assert found.side == PATCH
    for sample in found.samples:
        names = {file.name.split("_")[0] for file in (sample.dem, sample.truth, *sample.guides.values())}
        assert names == {sample.id}
        assert len({file.bounds for file in (sample.dem, sample.truth, *sample.guides.values())}) == 1


@pytest.mark.parametrize("dem", ["COP30", "FABDEM", "FATHOM"])
def test_each_elevation_model_can_be_the_input(config: Callable[..., TrainingConfig], dem: str) -> None:
    settings = config(input_data={dem: 1, "canopy": 1})
    found = find_samples(settings, settings.train_set, others=True)
    assert found.samples[0].dem.name == f"0_{dem}.tif"
    assert set(found.samples[0].others) == {"COP30", "FABDEM", "FATHOM"} - {dem}


def remove(path: Path) -> None:
    path.unlink()


def other_crs(path: Path) -> None:
    rewrite(path, crs="EPSG:32631")


def smaller(path: Path) -> None:
    rewrite(path, np.ones((1, PATCH, PATCH - 1), dtype=np.float32))


def moved(path: Path) -> None:
    with rasterio.open(path) as dataset:
        transform = dataset.transform
    rewrite(path, transform=transform @ Affine.translation(1, 0))


def half_a_pixel(path: Path) -> None:
    with rasterio.open(path) as dataset:
        transform = dataset.transform
    rewrite(path, transform=transform @ Affine.translation(0.5, 0))


def two_bands(path: Path) -> None:
    rewrite(path, np.ones((2, PATCH, PATCH), dtype=np.uint8))


def no_raster(path: Path) -> None:
    path.write_bytes(b"nothing")


def other_name(path: Path) -> None:
    path.rename(path.with_name("1.tif"))


@pytest.mark.parametrize(
    ("damage", "layer", "sentence"),
    [
        (remove, "COP30", "1_COP30.tif is missing: repair or remove it"),
        (remove, "RGEALTI", "1_RGEALTI.tif is missing"),
        (remove, "BDORTHO", "1_BDORTHO.tif is missing"),
        (other_crs, "COP30", "1_COP30.tif is in EPSG:32631, not EPSG:2154"),
        (smaller, "COP30", "1_COP30.tif is 31 x 32 pixels, not 32 x 32"),
        (moved, "COP30", "1_COP30.tif lies elsewhere"),
        (half_a_pixel, "COP30", "1_COP30.tif lies elsewhere"),
        (two_bands, "BDORTHO", "1_BDORTHO.tif has 2 bands, not 3"),
        (two_bands, "RGEALTI", "1_RGEALTI.tif has 2 bands, not 1"),
        (no_raster, "BDORTHO", "1_BDORTHO.tif cannot be read as a raster"),
        (other_name, "COP30", "1.tif is not named <id>_COP30.tif; "),
    ],
    ids=lambda value: value.__name__ if callable(value) else str(value),
)
def test_a_layer_that_cannot_be_used_is_named(
    tmp_path: Path, config: Callable[..., TrainingConfig], damage: Callable[[Path], None], layer: str, sentence: str
) -> None:
    root = make_set(tmp_path, samples=3, cities=("Angers", "Brest"))
    damage(layer_path(root / "DFC30_8m" / "Angers", "1", layer))
    with pytest.raises(BadTrainingSet) as caught:
        training_samples(config(root))
    assert sentence in str(caught.value)
    found = training_samples(config(root, skip_incomplete=True))
    assert [sample.name for sample in found.samples] == ["Angers/0", "Angers/2", "Brest/0", "Brest/1", "Brest/2"]
    (warning,) = found.warnings
    assert warning.startswith("left out: ")
    assert sentence.split(":")[0].rstrip("; ") in warning


def test_a_sample_of_another_size_and_many_problems(
    tmp_path: Path, config: Callable[..., TrainingConfig], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="jspsr_cli")
    root = make_set(tmp_path, samples=3, cities=("Angers", "Brest"))
    for layer in ("RGEALTI", "COP30", "BDORTHO"):
        values = np.ones((3 if layer == "BDORTHO" else 1, 40, 40), dtype=np.float32)
        rewrite(layer_path(root / "DFC30_8m" / "Angers", "1", layer), values)
    with pytest.raises(BadTrainingSet, match=r"1_RGEALTI.tif is 40 x 40 pixels, not 32 x 32: repair or remove it"):
        training_samples(config(root))
    assert caplog.messages == []  # the sentence says it all
    for i in range(3):
        remove(layer_path(root / "DFC30_8m" / "Brest", str(i), "COP30"))
        remove(layer_path(root / "DFC30_8m" / "Brest", str(i), "BDORTHO"))
    sentence = "; and 2 more, which -v lists: repair or remove them, or set skip_incomplete: true"
    with pytest.raises(BadTrainingSet, match=sentence):
        training_samples(config(root))
    assert len(caplog.messages) == 7
    assert all(message.endswith((" is missing", " pixels, not 32 x 32")) for message in caplog.messages)


@pytest.mark.parametrize(
    ("keys", "error", "sentence"),
    [
        ({"data_root": None}, InvalidConfig, "No data_root is given"),
        ({"resolution": 5}, InvalidConfig, "holds no folder DFC30_5m: give another --data-root"),
        ({"train_set": ["Angres"]}, BadTrainingSet, "Angres is missing"),
        ({"patch_size": 64}, BadTrainingSet, "have 32 pixels a side, fewer than patch_size"),
    ],
    ids=str,
)
def test_a_set_that_is_not_there(
    config: Callable[..., TrainingConfig], keys: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        training_samples(config(**keys))

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from hypothesis import given
from hypothesis import strategies as st
from rasterio.windows import Window
from torch.utils.data import DataLoader

from jspsr_cli.errors import ReadFailed
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.sources import RasterFile
from jspsr_cli.scaling import HeightScale
from jspsr_cli.training.config import TrainingConfig
from jspsr_cli.training.crops import Crops, EpochSampler, augmented, scaled_planes, tile_starts
from jspsr_cli.training.data import CropData
from jspsr_cli.training.limits import Beyond
from tests.scenes import Array
from tests.training.dataset import PATCH, SIDES, layer_path, make_set, rewrite, training_samples

SCALE = HeightScale(-80.0, 929.0)


def test_the_tiles_of_the_paper() -> None:
    assert tile_starts(334, 128) == (0, 103, 206)
    assert tile_starts(128, 128) == (0,)


@given(st.integers(1, 40).flatmap(lambda size: st.tuples(st.integers(size, 200), st.just(size))))
def test_tiles_cover_and_end_with_the_sample(sides: tuple[int, int]) -> None:
    side, size = sides
    starts = tile_starts(side, size)
    assert (starts[0], starts[-1] + size) == (0, side)
    assert all(b - a <= size for a, b in pairwise(starts))


def test_tiles_at_3m_have_the_base_of_the_whole_sample(config: Callable[..., TrainingConfig]) -> None:
    settings = config(resolution=3)
    found = training_samples(settings)
    crops = Crops(found, settings, training=False)
    assert (found.side, crops.per_sample, len(crops)) == (SIDES[3], 4, 8)
    assert crops.name(5) == "Brest/0 crop 1"
    with rasterio.open(found.samples[0].dem.path) as dataset:
        heights = dataset.read(1)
    scale = HeightScale(-80.0, 933.0)
    seen = set()
    for index in range(4):
        item = crops[0, index]
        place = (slice(item["row"], item["row"] + PATCH), slice(item["col"], item["col"] + PATCH))
        assert item["base"] == heights.min()
        np.testing.assert_array_equal(item["dem"][0].numpy(), scale.scale(heights[place], float(heights.min())))
        seen.add((item["row"], item["col"]))
    assert seen == {(0, 0), (0, 20), (20, 0), (20, 20)}
    lowest = [scale.unscale(crops[0, i]["dem"].numpy(), 0.0).min() for i in range(4)]
    assert max(lowest) > 0.5  # so a base of its own would have been another for that tile


def test_planes_are_scaled_as_enhance_scales_them(config: Callable[..., TrainingConfig]) -> None:
    settings = config(input_data={"COP30": 1, "image": 3, "mask": 15}, augment=False)
    found = training_samples(settings)
    item = Crops(found, settings, training=True)[0, 0]
    sample = found.samples[0]
    with rasterio.open(sample.truth.path) as dataset:
        truth = dataset.read(1)
    np.testing.assert_allclose(SCALE.unscale(item["target"][0].numpy(), item["base"]), truth, atol=2e-3)
    with rasterio.open(sample.guides["image"].path) as dataset:
        np.testing.assert_array_equal(item["image"].numpy(), dataset.read() / np.float32(255))
    assert set(item["mask"].unique().tolist()) == {0.0, 8 / 16, 11 / 16}
    assert {item[name].dtype for name in ("dem", "target", "image", "mask")} == {torch.float32}


def test_land_use_as_codes_is_the_same_as_one_hot(tmp_path: Path, config: Callable[..., TrainingConfig]) -> None:
    root = make_set(tmp_path, samples=1, cities=("Angers", "Brest"))
    settings = config(root, input_data={"COP30": 1, "mask": 15})
    before = Crops(training_samples(settings), settings, training=False)[0, 0]["mask"]
    path = layer_path(root / "DFC30_8m" / "Angers", "0", "UA2012")
    with rasterio.open(path) as dataset:
        classes = dataset.read().argmax(axis=0)
    rewrite(path, np.where(classes == 10, 31000, 23000).astype(np.uint16))
    assert torch.equal(Crops(training_samples(settings), settings, training=False)[0, 0]["mask"], before)


def test_voids(tmp_path: Path, config: Callable[..., TrainingConfig]) -> None:
    root = make_set(tmp_path, samples=1, cities=("Angers", "Brest"))
    city = root / "DFC30_8m" / "Angers"
    for layer, value in (("RGEALTI", -9999), ("COP30", -9999), ("CHM", 255)):
        path = layer_path(city, "0", layer)
        with rasterio.open(path) as dataset:
            values = dataset.read()
        values[:, 3, 4] = value
        rewrite(path, values)
    settings = config(root, input_data={"COP30": 1, "canopy": 1}, augment=False)
    item = Crops(training_samples(settings), settings, training=False)[0, 0]
    assert torch.isnan(item["target"]).nonzero().tolist() == [[0, 3, 4]]
    assert torch.isfinite(item["dem"]).all()
    assert torch.isfinite(item["canopy"]).all()
    assert item["base"] > -200
    rewrite(layer_path(city, "0", "COP30"), np.full((1, PATCH, PATCH), -9999, dtype=np.float32))
    with pytest.raises(ReadFailed, match=r"0_COP30.tif has no valid pixel: take the sample out"):
        Crops(training_samples(settings), settings, training=False)[0, 0]


def test_ground_far_below_the_base_is_no_truth(tmp_path: Path, config: Callable[..., TrainingConfig]) -> None:
    root = make_set(tmp_path, samples=1, cities=("Angers", "Brest"))
    path = layer_path(root / "DFC30_8m" / "Angers", "0", "RGEALTI")
    with rasterio.open(path) as dataset:
        values = dataset.read()
    values[:, 0, 0] = -500
    rewrite(path, values)
    settings = config(root)
    target = Crops(training_samples(settings), settings, training=False)[0, 0]["target"]
    assert torch.isnan(target).nonzero().tolist() == [[0, 0, 0]]


def reads_of(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Names and numbers of pixels of all that is read from now on."""
    reads: list[tuple[str, int]] = []

    def read(self: RasterReader, file: RasterFile, window: Window, **options: Any) -> Array:
        reads.append((file.name, window.width * window.height))
        return plain(self, file, window, **options)

    plain = RasterReader.read
    monkeypatch.setattr(RasterReader, "read", read)
    return reads


def test_in_order_a_sample_is_read_once(config: Callable[..., TrainingConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config(resolution=3)
    crops = Crops(training_samples(settings), settings, training=False)
    reads = reads_of(monkeypatch)
    for index in range(len(crops)):
        crops[0, index]
    layers = ["0_COP30.tif", "0_RGEALTI.tif", "0_BDORTHO.tif"]
    assert reads == [(layer, SIDES[3] ** 2) for layer in [*layers, *layers]]


def test_in_no_order_only_what_a_crop_shows_is_read(
    config: Callable[..., TrainingConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(resolution=3)
    crops = Crops(training_samples(settings), settings, training=True)
    reads = reads_of(monkeypatch)
    for index in (0, 5, 1, 4):
        crops[0, index]
    assert [name for name, pixels in reads if pixels != PATCH**2] == ["0_COP30.tif"] * 2  # for the base, once a sample
    assert len(reads) == 2 + 4 * 3


def test_a_crop_is_cut_out_of_its_sample_also_where_voids_were_filled(
    tmp_path: Path, config: Callable[..., TrainingConfig]
) -> None:
    root = make_set(tmp_path, resolution=3, samples=1, cities=("Angers", "Brest"))
    chance = np.random.default_rng(2)
    for layer, value in (("RGEALTI", -9999), ("COP30", -9999), ("CHM", 255)):
        path = layer_path(root / "DFC30_3m" / "Angers", "0", layer)
        with rasterio.open(path) as dataset:
            values = dataset.read()
        # Ragged holes over the middle, so that what fills them lies beyond the crop.
        row, col = np.indices(values.shape[1:])
        values[:, np.hypot(row - 20, col - 20) < chance.uniform(4, 14, row.shape)] = value
        rewrite(path, values)
    keys = {"resolution": 3, "input_data": {"COP30": 1, "canopy": 1}, "augment": False, "crop_mode": "random"}
    settings = config(root, **keys)
    crops = Crops(training_samples(settings), settings, training=True)
    pixels = crops.samples[0].read()
    whole = scaled_planes(pixels, HeightScale(-80.0, 933.0), base=float(pixels.dem.min()))
    for epoch in range(5):
        item = crops[epoch, 0]
        assert item["base"] == pixels.dem.min()
        place = (slice(item["row"], item["row"] + PATCH), slice(item["col"], item["col"] + PATCH))
        for name, plane in whole.items():
            np.testing.assert_array_equal(item[name].numpy(), plane[:, place[0], place[1]])


@pytest.mark.parametrize("preload", [False, True])
def test_what_is_beyond_the_scale_is_counted_over_whole_samples(
    tmp_path: Path, config: Callable[..., TrainingConfig], preload: bool
) -> None:
    root = make_set(tmp_path, resolution=3, samples=1, cities=("Angers", "Brest"))
    for layer, value, count in (("CHM", 90, 5), ("RGEALTI", -500, 3), ("COP30", 2000, 2)):
        path = layer_path(root / "DFC30_3m" / "Angers", "0", layer)
        with rasterio.open(path) as dataset:
            values = dataset.read()
        values[:, 25, 25 : 25 + count] = value  # where the four tiles meet
        rewrite(path, values)
    settings = config(root, resolution=3, input_data={"COP30": 1, "canopy": 1}, preload=preload)
    crops = Crops(training_samples(settings), settings, training=True)
    assert crops.beyond() == Beyond(canopy=5, high=2, low=3)


def test_augmentation_moves_all_planes_alike_and_half_the_time() -> None:
    plane = np.arange(16.0).reshape(1, 4, 4)
    kinds = []
    for seed in range(400):
        moved_planes = augmented({"a": plane, "b": plane * 2}, np.random.default_rng(seed))
        np.testing.assert_array_equal(moved_planes["a"] * 2, moved_planes["b"])
        kinds.append(tuple(moved_planes["a"].ravel()))
    unchanged = tuple(plane.ravel())
    assert len(set(kinds)) == 8  # all symmetries of the square
    # half, and those that were turned by 180 degrees and mirrored back: 1/2 + 1/2 * 1/3 * 1/4
    assert kinds.count(unchanged) / 400 == pytest.approx(0.54, abs=0.08)


@pytest.mark.parametrize("keys", [{}, {"resolution": 3, "crop_mode": "random", "patches_per_image": 3}], ids=str)
def test_batches_are_the_same_for_any_number_of_workers(
    config: Callable[..., TrainingConfig], keys: dict[str, Any]
) -> None:
    settings = config(**keys)
    crops = Crops(training_samples(settings), settings, training=True)

    def batches(workers: int) -> list[dict[str, torch.Tensor]]:
        sampler = EpochSampler(crops, seed=settings.seed)
        loader = DataLoader(crops, batch_size=2, sampler=sampler, num_workers=workers, persistent_workers=workers > 0)
        result: list[dict[str, torch.Tensor]] = []
        for epoch in (0, 1):
            sampler.set_epoch(epoch)
            result += loader
        return result

    alone, shared = batches(0), batches(2)
    assert len(alone) == 6
    for one, other in zip(alone, shared, strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)
    first, second = (torch.cat([batch["index"] for batch in alone[i : i + 3]]) for i in (0, 3))
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(6))
    assert first.tolist() != second.tolist()
    by_index = {int(i): plane for batch in alone[:3] for i, plane in zip(batch["index"], batch["dem"], strict=True)}
    later = {int(i): plane for batch in alone[3:] for i, plane in zip(batch["index"], batch["dem"], strict=True)}
    assert any(not torch.equal(by_index[i], later[i]) for i in by_index)  # drawn anew


def test_the_last_incomplete_batch_is_dropped_in_training_only(config: Callable[..., TrainingConfig]) -> None:
    settings = config(train_batch_size=4, valid_batch_size=4)
    crops = Crops(training_samples(settings), settings, training=True)
    data = CropData(settings, training=crops, validation=crops)
    assert [len(batch["index"]) for batch in data.train_dataloader()] == [4]
    assert [batch["index"].tolist() for batch in data.val_dataloader()] == [[0, 1, 2, 3], [4, 5]]


@pytest.mark.parametrize("resolution", SIDES)
def test_preloading_changes_nothing(config: Callable[..., TrainingConfig], resolution: int) -> None:
    keys = {"resolution": resolution}
    settings = config(**keys), config(**keys, preload=True)
    plain, kept = (Crops(training_samples(one), one, training=True) for one in settings)
    for index in range(len(plain)):
        one, other = plain[3, index], kept[3, index]
        assert all(torch.equal(one[name], other[name]) for name in ("dem", "target", "image"))


@given(st.integers(1, 30), st.integers(1, 5))
def test_processes_share_all_crops_out_evenly(total: int, world: int) -> None:
    shares = [list(EpochSampler(range(total), seed=4, rank=rank, world=world)) for rank in range(world)]
    assert {len(share) for share in shares} == {-(-total // world)}
    assert {index for share in shares for _, index in share} == set(range(total))

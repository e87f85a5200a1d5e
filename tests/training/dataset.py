"""A small training set in the layout of DFC30: three cities, both resolutions, all layers."""

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import yaml
from affine import Affine
from scipy import ndimage

from jspsr_cli.training.config import TrainingConfig
from jspsr_cli.training.dfc30 import SampleSet, find_samples
from tests.scenes import Array, terrain, write_raster

CITIES = ("Angers", "Brest", "Caen")
CRS = "EPSG:2154"

#: pixels of the crops that the tests train on, and of the samples: one tile at 8 m, four at 3 m
PATCH = 32
SIDES = {8: PATCH, 3: 52}


def make_set(root: Path, *, resolution: int = 8, samples: int = 3, cities: tuple[str, ...] = CITIES) -> Path:
    """Write the set under `root`: woods and houses stand on the ground in COP30, and on the guides."""
    side = SIDES[resolution]
    for number, city in enumerate(cities):
        for sample in range(samples):
            write_sample(root / f"DFC30_{resolution}m" / city, str(sample), side=side, seed=100 * number + sample,
                         resolution=resolution)  # fmt: skip
    return root


def write_sample(city: Path, id_: str, *, side: int, seed: int, resolution: int) -> None:
    chance = np.random.default_rng(seed)
    x, y = np.meshgrid(np.arange(side) * 8.0, np.arange(side) * 8.0)
    truth = terrain(x + 977 * seed, y) - 60 * (seed % 3)
    noise = ndimage.gaussian_filter(chance.standard_normal((side, side)), 3, mode="wrap")
    canopy = np.where(noise > 0.02, 12, 0).astype(np.uint8)
    classes = np.where(canopy > 0, 10, 7).astype(np.uint8)
    image = np.stack([90 - 3 * canopy, 120 + 5 * canopy, 80 - 2 * canopy]).astype(np.uint8)
    image += chance.integers(0, 20, image.shape, dtype=np.uint8)
    layers: dict[str, Array] = {
        "RGEALTI": truth.astype(np.float32),
        "COP30": (truth + canopy).astype(np.float32),
        "FABDEM": (truth + 0.3 * canopy).astype(np.float32),
        "FATHOM": (truth + 0.4 * canopy).astype(np.float32),
        "BDORTHO": image,
        "UA2012": (classes == np.arange(15)[:, None, None]).astype(np.uint8),
        "CHM": canopy,
    }
    transform = Affine(resolution, 0, 400_000 + 1000 * seed, 0, -resolution, 6_700_000)
    for layer, values in layers.items():
        (city / layer).mkdir(parents=True, exist_ok=True)
        write_raster(layer_path(city, id_, layer), values, crs=CRS, transform=transform)


def layer_path(city: Path, id_: str, layer: str) -> Path:
    return city / layer / f"{id_}_{layer}.tif"


def write_config(path: Path, root: Path, **keys: Any) -> Path:
    """A training file for the set at `root`, quick to train."""
    known: dict[str, Any] = {
        "name": "small", "data_root": str(root), "train_set": ["Angers", "Brest"], "valid_set": ["Caen"],
        "resolution": 8, "input_data": {"COP30": 1, "image": 3}, "patch_size": PATCH, "train_batch_size": 2,
        "epochs": 2, "model_kwargs": {"num_feature": 4}, "loss": {"L1": 1, "L2": 1, "Grad": 0.1},
        "optimizer_kwargs": {"lr": 0.001}, "scheduler": "ConstantLR", "val_num_visual": 0,
    }  # fmt: skip
    path.write_text(yaml.safe_dump({k: v for k, v in {**known, **keys}.items() if v is not None}))
    return path


def training_samples(config: TrainingConfig) -> SampleSet:
    return find_samples(config, config.train_set)


def rewrite(path: Path, values: Array | None = None, **profile: Any) -> None:
    with rasterio.open(path) as dataset:
        known = {"crs": dataset.crs.to_string(), "transform": dataset.transform}
        old = dataset.read()
    write_raster(path, old if values is None else values, **{**known, **profile})

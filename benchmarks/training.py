"""What `jspsr train` costs: crops a second, and the share of them that the reading of crops takes.

    python benchmarks/training.py [--device DEVICE] [--features F] [--batch N] [--workers N]... [--samples N]

On a generated set at 8 m (128 x 128 pixels, orthophoto): an epoch of reading alone, and the third epoch of training,
the first two being warm-up. Reading overlaps with training where there are workers.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

from torch.utils.data import DataLoader

from jspsr_cli.training.crops import Crops, EpochSampler
from jspsr_cli.training.dfc30 import find_samples
from jspsr_cli.training.loop import Hardware, train
from jspsr_cli.training.reading import read_config
from tests.training.dataset import write_config, write_sample

SIDE = 128
EPOCHS = 3


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--features", type=int, default=8)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--workers", type=int, action="append")
    parser.add_argument("--samples", type=int, default=32)
    options = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f}, F = {options.features}, batches of {options.batch}, {options.device}")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for city, samples in (("Train", options.samples), ("Valid", 1)):
            for number in range(samples):
                write_sample(root / "DFC30_8m" / city, str(number), side=SIDE, seed=number, resolution=8)
        for workers in options.workers or [0, 2]:
            config = write_config(
                root / "config.yaml", root, train_set=["Train"], valid_set=["Valid"], patch_size=SIDE, epochs=EPOCHS,
                train_batch_size=options.batch, model_kwargs={"num_feature": options.features}, workers=workers,
            )  # fmt: skip
            read, trained = reading_rate(config, options.batch, workers), training_rate(config, options.device)
            print(f"{workers} workers: {read:7.1f} crops/s read, {trained:7.1f} crops/s trained, ", end="")
            print(f"reading alone takes {trained / read:.1%} of the time of training")


def reading_rate(config: Path, batch: int, workers: int) -> float:
    """Crops a second of the second epoch of reading alone."""
    settings, _ = read_config(config)
    crops = Crops(find_samples(settings, settings.train_set), settings, training=True)
    sampler = EpochSampler(crops, seed=0)
    loader = DataLoader(crops, batch_size=batch, sampler=sampler, num_workers=workers, persistent_workers=workers > 0)
    for _ in loader:
        pass
    begun = time.perf_counter()
    for _ in loader:
        pass
    return len(crops) / (time.perf_counter() - begun)


def training_rate(config: Path, device: str) -> float:
    """Crops a second of the last epoch of training."""
    rates: list[float] = []
    with tempfile.TemporaryDirectory() as run:
        hardware = Hardware(device=device)
        train(config, output=run, hardware=hardware, on_epoch=lambda epoch: rates.append(epoch.samples_per_second))
    return rates[-1]


if __name__ == "__main__":
    main()

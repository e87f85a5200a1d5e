"""What `jspsr train` costs: crops a second, and the share of the time in which training waits for its crops.

    python benchmarks/training.py [--device DEVICE] [--features F] [--batch N] [--workers N]... [--samples N]

On a generated set at 8 m (128 x 128 pixels, orthophoto): the third epoch of training, the first two being warm-up.
Both figures come from that epoch; without workers, waiting is all of the reading.
"""

import argparse
import os
import tempfile
from pathlib import Path

from jspsr_cli.training.hardware import Hardware
from jspsr_cli.training.keeping import EpochReport
from jspsr_cli.training.loop import train
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
            epoch = last_epoch(config, options.device)
            print(f"{workers} workers: {epoch.samples_per_second:7.1f} crops/s, waiting for them {epoch.waited:.1%}")


def last_epoch(config: Path, device: str) -> EpochReport:
    """The report on the last epoch of a training."""
    epochs: list[EpochReport] = []
    with tempfile.TemporaryDirectory() as run:
        train(config, output=run, hardware=Hardware(device=device), on_epoch=epochs.append)
    return epochs[-1]


if __name__ == "__main__":
    main()

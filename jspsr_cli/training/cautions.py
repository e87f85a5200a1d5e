"""What can be trained, and yet may not be what was meant."""

import math
from collections.abc import Iterator

from jspsr_cli.tiling.windows import BORDER
from jspsr_cli.training.config import TrainingConfig

# Batch norm judges all crops of the world by those of one batch: of fewer it learns what is not so.
SMALLEST_BATCH = 8

# Below it a third of a crop and more is the border in which the network is unreliable.
SMALLEST_PATCH = 64


def cautions(config: TrainingConfig, *, pictured_of: int) -> Iterator[str]:
    """Warnings about settings; `pictured_of` is the number of crops of the validation set."""
    if config.train_batch_size < SMALLEST_BATCH:
        yield (f"train_batch_size is {config.train_batch_size}, too few crops to learn the statistics of batch norm "
               f"from: give {SMALLEST_BATCH} or more if there are as many")  # fmt: skip
    if config.patch_size < SMALLEST_PATCH:
        yield (f"patch_size is {config.patch_size}, and {BORDER} pixels at each edge of a crop are unreliable: give "
               f"{SMALLEST_PATCH} or more")  # fmt: skip
    first = math.ceil(config.val_start_epoch / config.val_interval) * config.val_interval
    if first > config.epochs:
        yield (f"no epoch is evaluated: the first would be epoch {first} of {config.epochs}; lower val_start_epoch or "
               "val_interval")  # fmt: skip
    if config.val_num_visual and config.val_id_visual >= pictured_of:
        yield (f"val_id_visual is {config.val_id_visual}, and the validation set has {pictured_of} crops, counted from "
               f"0: the pictures begin with {config.val_id_visual % pictured_of}")  # fmt: skip

"""What a training file says, checked.

The keys are those of the training files published with the paper, which are accepted as they are; keys that mean
nothing here are named in a warning. The last keys of `TrainingConfig` are additions.
"""

import difflib
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from jspsr_cli.assess.metrics import BORDER, METRIC_NAMES
from jspsr_cli.limits import WINDOW_STEP
from jspsr_models.info import default_height_range
from jspsr_models.inputs import GUIDE_CHANNELS, check_inputs

#: what can be upsampled: the layers of DFC30 that hold a global elevation model
DEM_LAYERS = ("COP30", "FABDEM", "FATHOM")

LOSS_NAMES = ("L1", "L2", "Grad", "berhu")

# Named in published files, but with nothing that says how they are computed from heights.
UNDEFINED_LOSSES = ("norm", "ssim", "bce")

# The network has two residual blocks a level, always.
BLOCKS = 2

# Counts, epochs and metres of height beyond it are slips of the hand, and lists that long fill the memory.
MOST = 100_000

# Each is a process of its own; more than any machine here has cores.
MOST_WORKERS = 128

# What the generators of random numbers take.
SEEDS = 2**64

Positive = Annotated[int, Field(gt=0, le=MOST)]
Name = Annotated[str, Field(pattern=r"^\w[\w.+-]*$")]
Length = Annotated[float, Field(gt=0)]
Height = Annotated[float, Field(ge=-MOST, le=MOST)]


def _one_value(only: Any, why: str) -> AfterValidator:
    """Accept a key that the published files have, with the one value that means something here."""

    def check(value: Any) -> Any:
        if value != only:
            raise ValueError(f"only {str(only).lower()} is supported, since {why}")
        return value

    return AfterValidator(check)


class _Table(BaseModel):
    """A table of keys. One without a value (`resume:` and nothing more) is as good as not given."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, given: Any) -> Any:
        if isinstance(given, dict):
            return {key: value for key, value in given.items() if value is not None}
        return given


class ScalingOptions(_Table):
    """Scaling of heights above the base, in metres; see `jspsr_cli.scaling`."""

    log: Annotated[bool, _one_value(True, "the network works on logarithmic heights")] = True
    min: Height | None = None
    max: Height | None = None
    scale_mask: Annotated[bool, _one_value(True, "enhance scales land use")] = True


class ModelOptions(_Table):
    """Structure of the network; `checkpoint` are the weights that it begins with.

    Without `num_feature` or `spn` it is that of these weights, without weights the paper's.
    """

    num_block: Annotated[int, _one_value(BLOCKS, "the network has two blocks a level")] = BLOCKS
    num_feature: Annotated[int, Field(ge=3, le=256)] | None = None
    spn: bool | None = None
    pretrained: Annotated[bool, _one_value(False, "the encoder has no weights of another task")] = False
    checkpoint: str | None = None


class OptimizerOptions(_Table):
    """`momentum` is for SGD and RMSprop."""

    lr: Length = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-6
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9


class SchedulerOptions(_Table):
    """`warmup_epoch` is for WarmupStepLR, `max_lr` for it and OneCycleLR, the others for those with steps."""

    max_lr: Length | None = None
    step_size: Positive = 100
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.5
    warmup_epoch: Annotated[int, Field(ge=0, le=MOST)] = 3


class EarlyStop(_Table):
    """Stop after `patience` evaluations without a better `monitor`."""

    patience: Positive | None = None
    monitor: Literal["val_rmse", "val_median", "val_nmad", "val_le95", "val_psnr", "val_loss"] = "val_rmse"


class TrainingConfig(_Table):
    """A training file. Lengths in metres, sizes in pixels; `resolution` is that of the training grid."""

    name: Name
    dataset: Name = "DFC30"
    data_root: str | None = None
    work_root: str | None = None
    train_set: Annotated[tuple[str, ...], Field(min_length=1)]
    valid_set: Annotated[tuple[str, ...], Field(min_length=1)]
    resolution: Length
    input_data: dict[str, int]

    workers: Annotated[int, Field(ge=0, le=MOST_WORKERS)] = 0
    preload: bool = False
    relative: Annotated[bool, _one_value(True, "heights are relative to the base of their sample")] = True
    augment: bool = True
    normalize: Annotated[bool, _one_value(False, "enhance does not normalise")] = False
    patch_size: Annotated[int, Field(gt=0, multiple_of=WINDOW_STEP)] = 128
    crop_mode: Literal["tile", "random"] = "tile"
    patches_per_image: Positive | None = None
    mask_channel: Annotated[int, _one_value(GUIDE_CHANNELS["mask"], "land use has so many classes")] = 15
    tensor_kwargs: ScalingOptions = ScalingOptions()

    model_name: Annotated[str, _one_value("JSPSR", "no other network is here")] = "JSPSR"
    model_kwargs: ModelOptions = ModelOptions()
    loss: Annotated[dict[str, Annotated[float, Field(ge=0)]], Field(min_length=1)] = {"L1": 1, "L2": 1, "Grad": 0.1}
    optimizer: Literal["AdamW", "Adam", "SGD", "RMSprop"] = "AdamW"
    optimizer_kwargs: OptimizerOptions = OptimizerOptions()
    scheduler: Literal["WarmupStepLR", "StepLR", "CosineAnnealingLR", "OneCycleLR", "ConstantLR"] = "WarmupStepLR"
    scheduler_kwargs: SchedulerOptions = SchedulerOptions()
    train_batch_size: Positive = 70
    epochs: Positive = 300
    early_stop: EarlyStop = EarlyStop()

    valid_batch_size: Positive = 1
    val_interval: Positive = 1
    val_start_epoch: Positive = 1
    val_border: Annotated[float, Field(ge=0, lt=0.5)] = BORDER
    best_metric: Literal["RMSE", "Median", "NMAD", "LE95", "PSNR"] = "RMSE"
    metric: dict[str, Any] = {}
    val_id_visual: Annotated[int, Field(ge=0)] = 0
    val_num_visual: Annotated[int, Field(ge=0, le=32)] = 2

    # Read, and without meaning here.
    verbose: Any = None
    monitor_app: Any = None
    resume: Any = None
    train_num_visual: Any = None
    val_save_visual: Any = None

    # Additions.
    seed: Annotated[int, Field(ge=0, lt=SEEDS)] = 0
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    skip_incomplete: bool = False
    licence: str | None = None
    attribution: str | None = None
    simulated: bool | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "TrainingConfig":
        _known(self.loss, LOSS_NAMES, "loss", undefined=UNDEFINED_LOSSES)
        if not any(self.loss.values()):
            raise ValueError("loss has no weight above 0")
        _known(self.metric, METRIC_NAMES, "metric")
        _known(self.input_data, (*DEM_LAYERS, *GUIDE_CHANNELS), "input_data")
        if len([name for name in self.input_data if name in DEM_LAYERS]) != 1:
            raise ValueError(f"input_data names exactly one of {', '.join(DEM_LAYERS)}")
        check_inputs(self.inputs)
        for name, bands in self.input_data.items():
            if bands != GUIDE_CHANNELS.get(name, 1):
                raise ValueError(f"input_data gives {name} {bands} bands, and it has {GUIDE_CHANNELS.get(name, 1)}")
        low, high = self.height_range
        if low >= 0:
            raise ValueError("tensor_kwargs.min is 0 or more, and the lowest ground, which is 0, must be above it")
        if high - low <= 1:
            raise ValueError("tensor_kwargs has a range of heights of 1 m or less")
        both = sorted(set(self.train_set) & set(self.valid_set))
        if both:
            raise ValueError(f"train_set and valid_set share {', '.join(both)}")
        return self

    @property
    def dem(self) -> str:
        """Layer that is upsampled."""
        return next(name for name in self.input_data if name in DEM_LAYERS)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Guides in the order of the network."""
        return tuple(name for name in GUIDE_CHANNELS if name in self.input_data)

    @property
    def height_range(self) -> tuple[float, float]:
        """Heights above the base, in metres, that become 0 and 1."""
        low, high = default_height_range(self.resolution)
        given = self.tensor_kwargs
        return (low if given.min is None else given.min, high if given.max is None else given.max)


def _known(names: Any, known: Any, key: str, *, undefined: tuple[str, ...] = ()) -> None:
    for name in names:
        if name in undefined:
            raise ValueError(
                f"{key} {name} is named in published files but defined nowhere; known are {', '.join(known)}"
            )
        if name not in known:
            raise ValueError(f"{key} has no {name!r:.40}{meant(name, known)}; known are {', '.join(known)}")


def meant(given: Any, known: Iterable[str]) -> str:
    """A question in brackets, with a space before it: the one of `known` that `given` is close to, if there is one."""
    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(str(given).lower(), by_lower, n=1)
    return f" (did you mean {by_lower[near[0]]}?)" if near else ""

"""What `evaluate` found: values only, for tables, JSON and reports."""

from dataclasses import dataclass

from jspsr_cli.assess.metrics import Metrics

#: of the errors, in per cent
PERCENTILES = (1, 5, 25, 75, 95, 99)

#: ends of the 95 % interval, by the name of a figure
Intervals = dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Figures:
    """Figures of errors (source minus reference) in metres, all pixels together.

    `rmse`, `mae` and `mean` come of exact sums, the others are good to 1 mm, or 0.01 % where they are larger than 10 m.
    `le90` and `le95` are percentiles of the absolute errors; `slope_rmse` is in degrees, None where no slope is known;
    `percentiles` are those of the errors, `p1` to `p99`.
    """

    rmse: float
    mae: float
    mean: float
    median: float
    nmad: float
    le90: float
    le95: float
    slope_rmse: float | None
    percentiles: dict[str, float]


@dataclass(frozen=True)
class Assessed:
    """One source on one kind of ground: `partition` is "overall", "slope", "classes" or "canopy".

    `share` is that of all compared pixels. `intervals` is empty where too few blocks have such ground; those of
    classes have `rmse`, `mae` and `mean` only.
    """

    partition: str
    ground: str
    source: str
    pixels: int
    share: float
    figures: Figures
    intervals: Intervals


@dataclass(frozen=True)
class Difference:
    """Figures of the prediction minus those of a baseline on the same pixels: below 0, the prediction is better.

    Of `mean` and `median` that holds for no sign: they are differences of signed errors. `partition`, `ground` and
    `intervals` are as in `Assessed`, `blocks` those that hold such ground.
    """

    partition: str
    ground: str
    baseline: str
    blocks: int
    figures: dict[str, float]
    intervals: Intervals


@dataclass(frozen=True)
class Offset:
    """Metres by which a source lies east, north and above the reference.

    `uncertain` is the standard error (1 sigma) of its horizontal part in metres, from the quarters of the ground.
    """

    east: float
    north: float
    up: float
    uncertain: float


@dataclass(frozen=True)
class SampleFigures:
    """The paper's protocol: metrics of each sample, averaged over them. `ssim` is of the scaled heights."""

    source: str
    samples: int
    metrics: Metrics
    ssim: float


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A prediction, and baselines, against a reference on the grid of the reference.

    `resolution` and `block` are metres, `blocks` those that hold compared pixels, `pixels` those where reference and
    all sources have data. `covered` is the share of the reference's pixels where a source has data. `sources` begins
    with the prediction. `offsets` holds what could be told, and was taken out of the heights if `coregistered`.
    `report` is the page that was written, if any.
    """

    prediction: str
    reference: str
    sources: tuple[str, ...]
    crs: str
    resolution: float
    width: int
    height: int
    pixels: int
    covered: dict[str, float]
    block: float
    blocks: int
    datums: dict[str, str]
    offsets: dict[str, Offset]
    coregistered: bool
    overall: tuple[Assessed, ...]
    differences: tuple[Difference, ...]
    grounds: tuple[Assessed, ...]
    ground_differences: tuple[Difference, ...]
    samples: tuple[SampleFigures, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    seconds: float
    report: str | None = None

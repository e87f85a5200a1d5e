"""What came of the places of a set, and the training file for all of them."""

import json
import math
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from jspsr_cli.limits import WINDOW_STEP
from jspsr_cli.raster.products import SEPARATOR
from jspsr_cli.training.config import DEM_LAYERS
from jspsr_cli.training.crops import tile_starts
from jspsr_cli.training.dfc30 import GUIDE_LAYERS
from jspsr_cli.training.ground import REASONS
from jspsr_cli.training.journal import Record
from jspsr_cli.training.places import WINDOW, Place
from jspsr_cli.training.start import SHARE_ALIKE
from jspsr_models.files import appearing
from jspsr_models.inputs import GUIDE_CHANNELS, VALID_INPUTS

# Of as many guides, the first that a place has.
PREFERRED = sorted(VALID_INPUTS, key=lambda known: ("canopy" in known, "image" not in known))

# The paper's batch, and the fewest steps that an epoch of a small set should have.
BATCH, STEPS = 70, 4

CONFIG_HEAD = (
    "# Written by jspsr prepare, anew by every run for all places in this folder: copy it before you change it.\n"
)


@dataclass(frozen=True, kw_only=True)
class PlaceResult:
    """What came of one place.

    `samples` is the folder of the set; `folders` in it count its kept samples, those in `validation` are not to be
    trained on. `rmse` and `bias` of the DEM against the terrain, of all pixels of kept samples, and `offset`, the
    median bias of all samples that were compared, are in metres; `canopy` and `classes` are mean shares of kept ones.
    """

    name: str
    dataset: str
    samples: str
    side: int
    layers: tuple[str, ...]
    folders: dict[str, int]
    validation: tuple[str, ...]
    left_out: dict[str, int]
    bad_files: tuple[str, ...]
    omitted: tuple[tuple[str, str, str], ...]
    rmse: float | None
    bias: float | None
    offset: float | None
    relief: float | None
    canopy: float | None
    classes: tuple[float, ...]
    datums: str
    licences: tuple[str, ...]
    attributions: tuple[str, ...]
    simulated: bool

    @property
    def kept(self) -> int:
        """Samples that belong to the set."""
        return sum(self.folders.values())

    @classmethod
    def of(
        cls,
        place: Place,
        records: Sequence[Record],
        *,
        samples: str,
        folders: dict[str, int],
        validation: Set[str],
        simulated: bool,
    ) -> "PlaceResult":
        """The result of `place` by the records of its samples."""
        kept = [record for record in records if record.kept]
        compared = sorted(record.bias for record in records if record.pixels)
        counts = Counter(record.reason for record in records if not record.kept)
        total = sum(record.pixels for record in kept)
        wooded = [record.canopy for record in kept if record.canopy is not None]
        used = [record.classes for record in kept if record.classes]
        return cls(
            name=place.name,
            dataset=place.dataset,
            samples=samples,
            side=place.side,
            layers=place.layers,
            folders=folders,
            validation=tuple(sorted(validation)),
            left_out={reason: counts[reason] for reason in REASONS if counts[reason]},
            bad_files=place.bad,
            omitted=tuple((record.city, record.id, record.why) for record in records if not record.kept),
            rmse=math.sqrt(sum(r.rmse**2 * r.pixels for r in kept) / total) if total else None,
            bias=sum(r.bias * r.pixels for r in kept) / total if total else None,
            offset=compared[len(compared) // 2] if compared else None,
            relief=max((record.relief for record in kept), default=None),
            canopy=sum(wooded) / len(wooded) if wooded else None,
            classes=tuple(sum(shares) / len(used) for shares in zip(*used, strict=True)),
            datums=place.datums,
            licences=place.licences,
            attributions=place.attributions,
            simulated=simulated,
        )

    @classmethod
    def all_in(cls, folder: Path) -> list["PlaceResult"]:
        """The results in a folder, by name."""
        return [cls._of_json(json.loads(path.read_text("utf-8"))) for path in sorted(folder.glob("*.json"))]

    @classmethod
    def _of_json(cls, said: dict[str, Any]) -> "PlaceResult":
        values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in said.items()}
        return cls(**values)


@dataclass(frozen=True)
class PrepareReport:
    """What came of a place: `left_out` counts samples by reason, `cities` kept ones by the folder they are in.

    `made` are samples looked at by this run, the others were there. RMSE and bias of the DEM against the terrain are
    of the kept samples, in metres.
    """

    output: str
    config: str | None
    summary_page: str
    name: str
    kept: int
    left_out: dict[str, int]
    cities: dict[str, int]
    bad_files: tuple[str, ...]
    made: int
    rmse: float | None
    bias: float | None
    datums: str
    seconds: float
    warnings: tuple[str, ...]

    @property
    def summary(self) -> str:
        """One line for people."""
        out = ", ".join(f"{count} {reason}" for reason, count in self.left_out.items()) or "none"
        where = ", ".join(f"{city} {count}" for city, count in self.cities.items()) or "nowhere"
        error = f", DEM RMSE {self.rmse:.2f} m" if self.rmse is not None else ""
        return (
            f"{self.name}: {self.kept} samples ({where}), left out: {out}; {len(self.bad_files)} bad files"
            f"{error}, {self.made} made now in {self.seconds:.1f} s: {self.summary_page}"
        )


def write_result(folder: Path, result: PlaceResult) -> None:
    """Write the result where `all_in` finds it."""
    with appearing(folder / f"{result.name}.json") as part:
        part.write_text(json.dumps(asdict(result), indent=1), "utf-8")


def write_config(
    folder: Path, results: Sequence[PlaceResult], *, resolution: float
) -> tuple[Path | None, tuple[str, ...]]:
    """Write config.yaml for all places of a set with what all of them have.

    Returns:
        The file, or None where there is nothing to train or to validate on, and warnings.
    """
    path = folder / "config.yaml"
    results = [result for result in results if result.kept]
    layers = set.intersection(*(set(result.layers) for result in results)) if results else set()
    valid = sorted({name for result in results for name in result.validation if name in result.folders})
    train = sorted({name for result in results for name in result.folders} - set(valid))
    dem = next((layer for layer in DEM_LAYERS if layer in layers), None)
    there = {guide for guide, layer in GUIDE_LAYERS.items() if layer in layers}
    # The network has one branch beside that of an image: of land use, as the paper, rather than of canopy.
    guides = max((known for known in PREFERRED if set(known) <= there), key=len, default=())
    lacking = [text for text, there in (
        ("samples to train on", train), ("samples to validate on", valid), ("a DEM that all places have", dem),
        ("a guide that all places have", guides),
    ) if not there]  # fmt: skip
    if lacking or dem is None:
        path.unlink(missing_ok=True)
        return None, (f"there is no config.yaml yet, for lack of {' and of '.join(lacking)}: prepare another place",)
    side = results[0].side
    patch = min(WINDOW, side // WINDOW_STEP * WINDOW_STEP)
    crops = (
        sum(result.folders.get(name, 0) for result in results for name in train) * len(tile_starts(side, patch)) ** 2
    )
    licences = [*(text for result in results for text in result.licences), SHARE_ALIKE.get(dem, "")]
    attributions = [text for result in results for text in result.attributions]
    config = {
        "name": f"{results[0].dataset}-{resolution:g}m",
        "dataset": results[0].dataset,
        "data_root": str(folder.resolve()),
        "train_set": train,
        "valid_set": valid,
        "resolution": resolution,
        "input_data": {dem: 1, **{guide: GUIDE_CHANNELS[guide] for guide in guides}},
        "patch_size": patch,
        "train_batch_size": max(1, min(BATCH, crops // STEPS)),
        "licence": SEPARATOR.join(dict.fromkeys(filter(None, licences))) or None,
        "attribution": SEPARATOR.join(dict.fromkeys(filter(None, attributions))) or None,
        "simulated": any(result.simulated for result in results) or None,
    }
    text = yaml.safe_dump({key: value for key, value in config.items() if value is not None}, sort_keys=False)
    with appearing(path) as part:
        part.write_text(CONFIG_HEAD + text, "utf-8")
    return path, ()

"""What came of the places of a set."""

import csv
import json
import math
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jspsr_cli.errors import OtherWork
from jspsr_cli.raster.products import joined
from jspsr_cli.training.ground import BAD_FILE, EDGE, REASONS, VOIDS
from jspsr_cli.training.journal import Record
from jspsr_cli.training.limits import Beyond
from jspsr_cli.training.places import Place
from jspsr_models.files import appearing

# Lies beside the summary page, which a set of thousands of samples would make unreadable.
OMISSIONS = "left_out.csv"

# A share of voids beyond which --voids is no advice.
MOST_VOID = 0.5


@dataclass(frozen=True, kw_only=True)
class PlaceResult:
    """What came of one place.

    `samples` is the folder of the set; `folders` in it count its kept samples, those in `validation` are not to be
    trained on. `omitted` are the other samples: city, id, reason, and a sentence. `rmse` and `bias` of the DEM against
    the terrain, of all pixels of kept samples, and `offset`, the median bias of all samples that were compared, are in
    metres; `canopy` and `classes` are mean shares of kept ones, `beyond` their pixels out of the network's range.
    `licences` and `attributions` are those of each layer.
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
    omitted: tuple[tuple[str, str, str, str], ...]
    rmse: float | None
    bias: float | None
    offset: float | None
    relief: float | None
    canopy: float | None
    classes: tuple[float, ...]
    beyond: Beyond
    datums: str
    licences: dict[str, str]
    attributions: dict[str, str]
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
            bad_files=(*place.bad, *_bad_files(records)),
            omitted=tuple((r.city, r.id, r.reason, r.why) for r in records if not r.kept),
            rmse=math.sqrt(sum(r.rmse**2 * r.pixels for r in kept) / total) if total else None,
            bias=sum(r.bias * r.pixels for r in kept) / total if total else None,
            offset=compared[len(compared) // 2] if compared else None,
            relief=max((record.relief for record in kept), default=None),
            canopy=sum(wooded) / len(wooded) if wooded else None,
            classes=tuple(sum(shares) / len(used) for shares in zip(*used, strict=True)),
            beyond=sum((record.beyond for record in kept), Beyond()),
            datums=place.datums.text,
            licences={layer: joined(r.licences.get(layer, "") for r in kept) for layer in place.layers},
            attributions={layer: joined(r.attributions.get(layer, "") for r in kept) for layer in place.layers},
            simulated=simulated,
        )

    @classmethod
    def read(cls, path: Path) -> "PlaceResult":
        """The result in a file that `write_result` wrote.

        Raises:
            OtherWork: it is damaged, or of another version.
        """
        try:
            said = json.loads(path.read_text("utf-8"))
            values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in said.items()}
            return cls(**{**values, "beyond": Beyond(**said["beyond"])})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise OtherWork(
                f"{path} is damaged, or of another version: prepare {path.stem} anew with --restart."
            ) from error

    @classmethod
    def all_in(cls, folder: Path) -> list["PlaceResult"]:
        """The results in a folder, by name. Raises as `read`."""
        return [cls.read(path) for path in sorted(folder.glob("*.json"))]


@dataclass(frozen=True)
class PrepareReport:
    """What came of a place: `left_out` counts samples by reason, `cities` kept ones by the folder they are in.

    `made` are samples looked at by this run, the others were there; `gone` left the set, since their files are no more.
    `omissions` is the file with all bad files and samples that were left out, of all places. RMSE and bias of the DEM
    against the terrain are of the kept samples, in metres; `beyond` counts their pixels out of the network's range.
    """

    output: str
    config: str | None
    summary_page: str
    omissions: str | None
    name: str
    kept: int
    left_out: dict[str, int]
    cities: dict[str, int]
    bad_files: tuple[str, ...]
    made: int
    gone: int
    beyond: Beyond
    rmse: float | None
    bias: float | None
    datums: str
    seconds: float
    warnings: tuple[str, ...]

    @property
    def summary(self) -> str:
        """One line for people."""
        out = ", ".join(f"{count} {reason}" for reason, count in self.left_out.items()) or "none"
        out += f" (see {self.omissions})" if self.omissions else ""
        where = ", ".join(f"{city} {count}" for city, count in self.cities.items()) or "nowhere"
        error = f", DEM RMSE {self.rmse:.2f} m" if self.rmse is not None else ""
        return (
            f"{self.name}: {self.kept} samples ({where}), left out: {out}; {len(self.bad_files)} bad files"
            f"{error}, {self.made} looked at in {self.seconds:.1f} s: {self.summary_page}"
        )


def _bad_files(records: Sequence[Record]) -> list[str]:
    """A sentence for each bad file: one that breaks off is met by many samples, each time at another row."""
    said: dict[str, str] = {}
    for record in records:
        if record.reason == BAD_FILE:
            named = record.path and record.path in record.why
            text = record.why if named else f"{record.city}/{record.id}: {record.why}"
            said.setdefault(record.path or text, text)
    return list(said.values())


def nothing_kept(result: PlaceResult, records: Sequence[Record], omissions: Path | None) -> str:
    """Why no sample of a place was kept, and what would help."""
    counts = ", ".join(f"{count} {reason}" for reason, count in result.left_out.items())
    void = min((r.void for r in records if r.reason in (EDGE, VOIDS)), default=1.0)
    if void > MOST_VOID:
        return f"No sample of {result.name} was kept ({counts}): {omissions} says why of each, check the inputs."
    share = math.ceil(100 * void) / 100
    smaller = ", or a smaller --size" if result.dataset == "own" else ""
    return (
        f"No sample of {result.name} was kept ({counts}): the best has data in {1 - void:.1%}, so give "
        f"--voids {share:g}{smaller}."
    )


def write_result(folder: Path, result: PlaceResult) -> None:
    """Write the result where `all_in` finds it."""
    with appearing(folder / f"{result.name}.json") as part:
        part.write_text(json.dumps(asdict(result), indent=1), "utf-8")


def write_omissions(folder: Path, results: Sequence[PlaceResult]) -> Path | None:
    """List all bad files and samples that were left out, of all places, for a spreadsheet; None where all is well."""
    path = folder / OMISSIONS
    rows = [
        row
        for result in results
        for row in (
            *((result.name, "", BAD_FILE, text) for text in result.bad_files),
            *((result.name, f"{city}/{id_}", reason, why) for city, id_, reason, why in result.omitted),
        )
    ]
    if not rows:
        path.unlink(missing_ok=True)
        return None
    with appearing(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("place", "sample", "reason", "what"), *rows])
    return path

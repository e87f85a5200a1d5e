"""The folder of a validation: whose it is, what was found, and that nothing of an earlier one stays in it."""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from jspsr_cli import __version__
from jspsr_cli.assess.metrics import Metrics
from jspsr_cli.assess.table import CSV_NAME, JSON_NAME, Line
from jspsr_cli.errors import OtherWork, OutputExists
from jspsr_cli.locked import check_ours, locked, not_writable
from jspsr_cli.training.config import TrainingConfig
from jspsr_cli.training.dfc30 import Sample
from jspsr_models import WeightsInfo
from jspsr_models.files import appearing

# What was validated and, once all is there, the report: written first and last.
IDENTITY = "validation.json"

PLOT, PREDICTIONS = "distribution.png", "predictions"

# All that a validation writes.
OURS = (IDENTITY, CSV_NAME, JSON_NAME, PLOT, PREDICTIONS)

# What is added to the predictions' file names in place of a layer's.
PREDICTED = "JSPSR"

# Keys of the training file that decide what is compared, and how.
DECIDING = ("dataset", "resolution", "input_data", "valid_set", "patch_size", "tensor_kwargs", "val_border")


@dataclass(frozen=True)
class ValidationReport:
    """What was found; `lines` are the table, `folder` is where it, the plot and the predictions lie.

    `crops` are what the metrics are of: a sample, or a tile of it. Where it was `already_done`, nothing was computed.
    """

    folder: str
    weights: str
    samples: int
    crops: int
    predictions: int
    lines: tuple[Line, ...]
    already_done: bool
    seconds: float
    warnings: tuple[str, ...]


def made_of(config: TrainingConfig, info: WeightsInfo, samples: Sequence[Sample]) -> dict[str, Any]:
    """What decides the result: program, weights, settings, and the names, sizes and times of all layers."""
    settings = config.model_dump(mode="json", include=set(DECIDING))
    digest = hashlib.sha256()
    for sample in samples:
        layers = {"dem": sample.dem, "truth": sample.truth, **sample.guides, **sample.others}
        for layer, file in layers.items():
            status = os.stat(file.path)
            digest.update(f"{sample.name} {layer} {status.st_size} {status.st_mtime_ns}\n".encode())
    return {"version": __version__, "weights": info.sha256, **settings, "samples": digest.hexdigest()}


class ValidationFolder:
    """The folder at `path` for a validation that is `made_of` so."""

    def __init__(self, path: Path, made_of: dict[str, Any]) -> None:
        self.path = path
        self._made_of = made_of

    def prediction(self, sample: Sample) -> Path:
        """Where the GeoTIFF of a sample lies."""
        return self.path / PREDICTIONS / sample.city / f"{sample.id}_{PREDICTED}.tif"

    def finished(self, samples: Sequence[Sample], *, predictions: bool) -> ValidationReport | None:
        """The report of this very validation, or None where something is missing; `predictions` if they are wanted.

        Raises:
            OtherWork: the folder holds a finished validation of something else.
        """
        try:
            found = json.loads((self.path / IDENTITY).read_text(encoding="utf-8"))
            earlier, report = dict(found["made_of"]), found["report"]
        except (OSError, ValueError, TypeError, KeyError):
            return None
        changed = [name for name, value in self._made_of.items() if earlier.get(name) != value]
        if report and changed:
            raise OtherWork(
                f"{self.path} holds a validation that differs in {', '.join(changed)}: give another --output, or "
                "--restart to throw it away."
            )
        wanted = [self.path / name for name in (CSV_NAME, JSON_NAME, PLOT)]
        wanted += [self.prediction(sample) for sample in samples if predictions]
        return _report(report, folder=self.path) if report and all(path.exists() for path in wanted) else None

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold the folder while the block runs; what an earlier validation left in it is removed first.

        Raises:
            OutputExists: another process validates in it, or it holds something that no validation wrote.
            OutputNotWritable: it cannot be made or written to.
        """
        busy = OutputExists(f"Another jspsr validates in {self.path}: wait for it, or give another --output.")
        check_ours(self.path, OURS if (self.path / IDENTITY).exists() else (), work="validation")
        with locked(self.path, busy=lambda: busy):
            try:
                self._write(None)
                self._clear()
            except OSError as error:
                raise not_writable(self.path, error) from error
            yield

    def finish(self, report: ValidationReport) -> None:
        """Say that all is there."""
        self._write(asdict(report))

    def _write(self, report: dict[str, Any] | None) -> None:
        with appearing(self.path / IDENTITY) as part:
            part.write_text(json.dumps({"made_of": self._made_of, "report": report}, indent=1), encoding="utf-8")

    def _clear(self) -> None:
        """Remove all but the identity; of the predictions nothing that others put there."""
        for name in (CSV_NAME, JSON_NAME, PLOT):
            (self.path / name).unlink(missing_ok=True)
        for path in (self.path / PREDICTIONS).glob(f"*/*_{PREDICTED}.tif*"):  # and what a GIS keeps beside them
            path.unlink()
        for folder in (*(self.path / PREDICTIONS).glob("*/"), self.path / PREDICTIONS):
            with suppress(OSError):  # it is not empty, or was never there
                folder.rmdir()


def _report(stored: dict[str, Any], *, folder: Path) -> ValidationReport:
    lines = tuple(Line(**{**line, "metrics": Metrics(**line["metrics"])}) for line in stored["lines"])
    report = ValidationReport(**{**stored, "lines": lines, "warnings": tuple(stored["warnings"])})
    return replace(report, folder=str(folder), already_done=True, seconds=0.0)  # it may have been moved since

"""What `prepare` has done so far: a text file of one line a sample, which only grows.

The first line says what the samples are made of. A sample's line follows its files, so what has a line is there.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from jspsr_cli.errors import RunMismatch
from jspsr_cli.unfinished import MOST_DIFFERENCES
from jspsr_cli.unfinished import Journal as MadeOf
from jspsr_models.files import appearing


@dataclass(frozen=True, kw_only=True)
class Record:
    """One sample: kept, or left out for a `reason` that the sentence `why` explains.

    `x`, `y` are the middle in the CRS of the sample; of the pixels with a truth: `bias`, `rmse` of the DEM and `relief`
    of the terrain in metres, `classes` the share of each land use, `canopy` that of ground under trees. `made_of`
    changes with the files of this sample.
    """

    city: str
    id: str
    made_of: str = ""
    reason: str = ""
    why: str = ""
    x: float = 0.0
    y: float = 0.0
    pixels: int = 0
    bias: float = 0.0
    rmse: float = 0.0
    relief: float = 0.0
    canopy: float | None = None
    classes: tuple[float, ...] = ()

    @property
    def kept(self) -> bool:
        """Whether the sample belongs to the set."""
        return not self.reason


class SampleJournal:
    """The journal at `path` of samples made of `made_of`. Use as a context manager; `records` are by city and id.

    Raises on entering:
        RunMismatch: the journal is of something else, or damaged.
    """

    def __init__(self, path: Path, made_of: Mapping[str, str]) -> None:
        self.records: dict[tuple[str, str], Record] = {}
        self._path = path
        self._made_of = dict(made_of)
        self._file: IO[str]

    def __enter__(self) -> "SampleJournal":
        lines = _whole_lines(self._path)
        if lines:
            try:
                then, *said = map(json.loads, lines)
                found = [Record(**{**one, "classes": tuple(one["classes"])}) for one in said]
                differences = MadeOf(decides=then, machine={}).differences(MadeOf(decides=self._made_of, machine={}))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise RunMismatch(f"{self._path} is damaged: --restart makes its samples anew.") from error
            self._check(differences)
            self.records = {(record.city, record.id): record for record in found}
        # Anew, without the line that was cut off and those that later ones replace.
        with appearing(self._path) as part:
            part.write_text("\n".join([json.dumps(self._made_of), *map(_line, self.records.values()), ""]), "utf-8")
        self._file = self._path.open("a", encoding="utf-8")
        return self

    def _check(self, differences: Sequence[str]) -> None:
        if differences:
            what = "; ".join(differences[:MOST_DIFFERENCES])
            raise RunMismatch(
                f"{self._path.stem} was begun here with other inputs or options ({what}): give those, another --name "
                "or --output, or --restart to make it anew."
            )

    def add(self, record: Record) -> None:
        """Note a sample whose files are there, or that is left out."""
        self.records[record.city, record.id] = record
        self._file.write(_line(record) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if error is not None:
            error.add_note("The samples that are done are kept: the same command goes on with the others")


def _whole_lines(path: Path) -> list[str]:
    if not path.exists():
        return []
    *lines, _cut_off = path.read_text("utf-8").split("\n")
    return lines


def _line(record: Record) -> str:
    return json.dumps(asdict(record))

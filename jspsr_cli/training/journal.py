"""What `prepare` has done so far: a text file that grows by one line a sample.

The first line says what the samples are made of. A sample's line follows its files, so what has a line is there.
"""

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from jspsr_cli.errors import OtherWork
from jspsr_cli.training.limits import Beyond
from jspsr_cli.unfinished import differences
from jspsr_models.files import appearing


@dataclass(frozen=True, kw_only=True)
class Record:
    """One sample: kept, or left out for a `reason` that the sentence `why` explains.

    `x`, `y` are the middle in the CRS of the sample; of the pixels with a truth: `bias`, `rmse` of the DEM and `relief`
    of the terrain in metres, `classes` the share of each land use, `canopy` that of ground under trees; `beyond` are
    pixels out of the network's range, `licences` and `attributions` those of each layer, as its tags have them.
    `made_of` changes with the files of this sample. Of one that was left out: `path`, the file that is bad, where that
    is known, and `void`, the share of voids in its worst layer.
    """

    city: str
    id: str
    made_of: str = ""
    reason: str = ""
    why: str = ""
    path: str = ""
    void: float = 0.0
    x: float = 0.0
    y: float = 0.0
    pixels: int = 0
    bias: float = 0.0
    rmse: float = 0.0
    relief: float = 0.0
    canopy: float | None = None
    classes: tuple[float, ...] = ()
    beyond: Beyond = field(default_factory=Beyond)
    licences: dict[str, str] = field(default_factory=dict)
    attributions: dict[str, str] = field(default_factory=dict)

    @property
    def kept(self) -> bool:
        """Whether the sample belongs to the set."""
        return not self.reason


class SampleJournal:
    """The journal at `path` of samples made of `made_of`. Use as a context manager; `records` are by city and id.

    One of something else that kept no sample is begun anew, which `anew` says.

    Raises on entering:
        OtherWork: the journal is of something else, or damaged.
    """

    def __init__(self, path: Path, made_of: Mapping[str, str]) -> None:
        self.records: dict[tuple[str, str], Record] = {}
        self.anew = False
        self._path = path
        self._made_of = dict(made_of)
        self._file: IO[str]

    def __enter__(self) -> "SampleJournal":
        try:
            then, *said = [json.loads(line) for line in _whole_lines(self._path)] or [self._made_of]
            what = differences(then, self._made_of)
            kept = any(not one["reason"] for one in said)
            found = [] if what else [_record(one) for one in said]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise OtherWork(f"{self._path} is damaged: --restart makes its samples anew.") from error
        if what and kept:
            raise OtherWork(
                f"{self._path.stem} was begun here with other inputs or options ({what}): give those, another "
                "--name or --output, or --restart to make it anew."
            )
        self.anew = bool(what)
        self.records = {(record.city, record.id): record for record in found}
        self._begin()
        return self

    def _begin(self) -> None:
        """Write the journal anew, without the line that was cut off and those that later ones replace."""
        with appearing(self._path) as part:
            part.write_text("\n".join([json.dumps(self._made_of), *map(_line, self.records.values()), ""]), "utf-8")
        self._file = self._path.open("a", encoding="utf-8")

    def forget(self, gone: Collection[tuple[str, str]]) -> None:
        """Take samples, by city and id, out of the journal; their files are removed already."""
        if gone:
            for key in gone:
                del self.records[key]
            self._file.close()
            self._begin()

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


def _record(said: dict[str, Any]) -> Record:
    return Record(**{**said, "classes": tuple(said["classes"]), "beyond": Beyond(**said["beyond"])})


def _line(record: Record) -> str:
    return json.dumps(asdict(record))

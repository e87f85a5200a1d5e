"""Tables of metrics: each place and all together, per sample and pooled, as CSV and JSON."""

import csv
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jspsr_cli.assess.metrics import Compared, Metrics, Pool, mean_metrics, pooled, sample_metrics
from jspsr_models.files import appearing

OVERALL = "overall"

CSV_NAME, JSON_NAME = "metrics.csv", "metrics.json"


#: columns of the metrics with their units, and which of `Metrics` they are
COLUMNS = {"rmse_m": "rmse", "median_m": "median", "nmad_m": "nmad", "le95_m": "le95", "psnr_db": "psnr"}


@dataclass(frozen=True)
class Line:
    """Metrics of one source at one place, of so many samples and pixels of them.

    What counts as a sample is the crop that the network sees, at 3 m a tile, as in the paper.
    """

    place: str
    source: str
    protocol: Literal["per sample", "pooled"]
    samples: int
    pixels: int
    metrics: Metrics

    def flat(self) -> dict[str, str | int | float]:
        """All of it in one level, the metrics with their units."""
        about = {name: value for name, value in vars(self).items() if name != "metrics"}
        return about | {column: getattr(self.metrics, name) for column, name in COLUMNS.items()}


class Table:
    """Collects samples by place and by what was compared with the truth (the source)."""

    def __init__(self) -> None:
        self._samples: dict[tuple[str, str], list[Metrics]] = defaultdict(list)
        self._pools: dict[tuple[str, str], Pool] = defaultdict(Pool)

    def add(self, place: str, source: str, compared: Compared) -> None:
        """Enter a sample; one without a valid pixel does not count."""
        if compared.errors.size:
            self._samples[place, source].append(sample_metrics(compared))
            self._pools[place, source].add(compared)

    def pools(self) -> dict[str, Pool]:
        """All places together, by source."""
        sources = dict.fromkeys(source for _, source in self._pools)
        return {wanted: pooled(pool for (_, s), pool in self._pools.items() if s == wanted) for wanted in sources}

    def lines(self, *, order: Sequence[str]) -> list[Line]:
        """Lines by place, all together last, and by source in `order`."""
        places = list(dict.fromkeys(place for place, _ in self._samples))
        everywhere = self.pools()
        lines = []
        for place in (*places, OVERALL):
            for source in order:
                samples = [
                    sample
                    for (here, what), found in self._samples.items()
                    if what == source and place in (here, OVERALL)
                    for sample in found
                ]
                if not samples:
                    continue
                pool = everywhere[source] if place == OVERALL else self._pools[place, source]
                count = len(samples), sum(part.size for part in pool.parts)
                lines.append(Line(place, source, "per sample", *count, mean_metrics(samples)))
                lines.append(Line(place, source, "pooled", *count, pool.metrics()))
        return lines


def write_table(folder: Path, lines: Sequence[Line], *, about: Mapping[str, str]) -> None:
    """Write the lines as CSV and, with `about`, as JSON."""
    rows = [line.flat() for line in lines]
    with appearing(folder / CSV_NAME) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else [])
        writer.writeheader()
        writer.writerows(rows)
    with appearing(folder / JSON_NAME) as part:
        part.write_text(json.dumps({**about, "metrics": rows}, indent=1), encoding="utf-8")


def for_people(lines: Sequence[Line]) -> list[str]:
    """The table as text of fewer than 80 columns, in which what is to be compared stands below each other."""
    text = [f"{'':18}SAMPLES  RMSE (m)  MEDIAN (m)  NMAD (m)  LE95 (m)  PSNR (dB)"]
    for place, protocol in dict.fromkeys((line.place, line.protocol) for line in lines):
        text.append(f"{place}, {protocol}")
        for line in (one for one in lines if (one.place, one.protocol) == (place, protocol)):
            m = line.metrics
            metres = f"{m.rmse:10.4f}{m.median:12.4f}{m.nmad:10.4f}{m.le95:10.4f}"
            text.append(f"  {line.source:16}{line.samples:7}{metres}{m.psnr:11.4f}")
    return text

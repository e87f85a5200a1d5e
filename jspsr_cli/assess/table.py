"""Tables of metrics: each place and all together, per sample and pooled, as CSV and JSON."""

import csv
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from jspsr_cli.assess.metrics import Compared, Metrics, Pool, mean_metrics, pooled, sample_metrics
from jspsr_models.files import appearing

OVERALL = "overall"

CSV_NAME, JSON_NAME = "metrics.csv", "metrics.json"


@dataclass(frozen=True)
class Line:
    """Metrics of one source at one place; `samples` is the number that they are of."""

    place: str
    source: str
    protocol: Literal["per sample", "pooled"]
    samples: int
    metrics: Metrics

    def flat(self) -> dict[str, str | int | float]:
        """All of it in one level."""
        return {**{k: v for k, v in vars(self).items() if k != "metrics"}, **asdict(self.metrics)}


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
                lines.append(Line(place, source, "per sample", len(samples), mean_metrics(samples)))
                lines.append(Line(place, source, "pooled", len(samples), pool.metrics()))
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

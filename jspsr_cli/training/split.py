"""Which samples are for validation: whole cities as in the paper, or one end of each place."""

import math
from collections.abc import Sequence

from jspsr_cli.training.journal import Record

#: the validation cities of the paper
VALIDATION_CITIES = ("Angers", "Lille_Arras_Lens_Douai_Henin", "Vannes")

# Share of each place that is validated on where nothing else is said.
DEFAULT_SHARE = 0.2


def cities_of(city: str) -> tuple[str, str]:
    """Folders for training and for validation samples of a city."""
    return city, f"{city}_valid"


def split(records: Sequence[Record], share: float | None) -> tuple[dict[tuple[str, str], str], set[str]]:
    """The folder of each kept sample by city and id, and the folders that are for validation.

    Held out is a contiguous part at one end of each city, along its longer side: a random choice would have training
    samples next to every one of them. None holds out the paper's cities, whole, where `records` have them and others,
    else `DEFAULT_SHARE`.
    """
    kept = [record for record in records if record.kept]
    cities = sorted({record.city for record in kept})
    paper = set(cities) & set(VALIDATION_CITIES)
    if share is None and 0 < len(paper) < len(cities):
        return {(record.city, record.id): record.city for record in kept}, paper
    folders: dict[tuple[str, str], str] = {}
    for city in cities:
        mine = _along([record for record in kept if record.city == city])
        train, valid = cities_of(city)
        border = len(mine) - _count(len(mine), DEFAULT_SHARE if share is None else share)
        folders |= {(city, record.id): train if i < border else valid for i, record in enumerate(mine)}
    return folders, {cities_of(city)[1] for city in cities} & set(folders.values())


def _count(samples: int, share: float) -> int:
    """Samples to hold out; of two or more some stay on both sides where a part is asked for."""
    if 0 < share < 1 and samples > 1:
        return min(max(1, round(share * samples)), samples - 1)
    return math.floor(share * samples)


def _along(records: Sequence[Record]) -> list[Record]:
    wide = _reach([record.x for record in records]) >= _reach([record.y for record in records])
    return sorted(records, key=lambda r: (r.x, r.y, r.id) if wide else (r.y, r.x, r.id))


def _reach(values: Sequence[float]) -> float:
    return max(values) - min(values)

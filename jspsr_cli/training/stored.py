"""The samples of a place on the disk: OUT/DATASET_8m/<City>/<Layer>/<id>_<Layer>.tif."""

import os
import shutil
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from jspsr_cli.training.ground import BAD_FILE
from jspsr_cli.training.journal import Record
from jspsr_cli.training.places import LAYERS, Candidate, needed
from jspsr_cli.training.split import cities_of


class StoredSamples:
    """Samples with `layers` in the folder `path`, each in the folder of its city for training or for validation."""

    def __init__(self, path: Path, layers: Collection[str]) -> None:
        self.path = path
        self._needed = needed(layers)

    def files(self, folder: str, id_: str) -> dict[str, Path]:
        """Where each layer that there is may lie for a sample in a city's `folder`."""
        return {layer: self.path / folder / layer / f"{id_}_{layer}.tif" for layer in LAYERS}

    def has(self, candidate: Candidate, record: Record | None) -> bool:
        """Whether `record` is of the candidate as it is now, and what it says was written is there.

        One of a bad file never counts: a share that was away for a while leaves its files as they were.
        """
        if record is None or record.reason == BAD_FILE or record.made_of != candidate.made_of:
            return False
        places = [self.files(folder, candidate.id) for folder in cities_of(candidate.city)]
        return not record.kept or all(any(files[layer].exists() for files in places) for layer in self._needed)

    def remove(self, city: str, id_: str) -> None:
        """Remove all layers of a sample, whichever folder of its city it is in."""
        for folder in cities_of(city):
            for path in self.files(folder, id_).values():
                path.unlink(missing_ok=True)

    def sort(self, folders: Mapping[tuple[str, str], str], *, cities: Collection[str]) -> None:
        """Move samples, by city and id, to their folders; remove folders of `cities` that are empty then."""
        for (city, id_), folder in folders.items():
            for other in set(cities_of(city)) - {folder}:
                for old, new in zip(self.files(other, id_).values(), self.files(folder, id_).values(), strict=True):
                    if old.exists():
                        new.parent.mkdir(parents=True, exist_ok=True)
                        os.replace(old, new)
        for name in (name for city in cities for name in cities_of(city)):
            for path in (*(self.path / name / layer for layer in LAYERS), self.path / name):
                with suppress(OSError):  # of one that holds something
                    path.rmdir()

    def discard(self, folders: Collection[str]) -> None:
        """Remove these folders with all that they hold."""
        for name in folders:
            shutil.rmtree(self.path / name, ignore_errors=True)

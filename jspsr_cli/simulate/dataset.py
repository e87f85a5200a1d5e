"""A training set of simulated scenes in a folder, in the layout of DFC30.

OUT/SIM_8m/<Name>/<Layer>/<id>_<Layer>.tif     to train on; <Name>_valid to validate on, every tenth
OUT/config.yaml, OUT/scenes.png                a training file, and a look at the first scenes
"""

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import rasterio
import yaml

from jspsr_cli.errors import OutputExists, OutputNotWritable, UnreadableRaster
from jspsr_cli.limits import WINDOW_STEP
from jspsr_cli.provenance import inherited_tags, program_tags
from jspsr_cli.raster.gdal import GDAL_OPTIONS
from jspsr_cli.raster.products import SIMULATED_TAG
from jspsr_cli.raster.samples import write_layer
from jspsr_cli.raster.sources import inspect_raster
from jspsr_cli.simulate.real import divides, validates
from jspsr_cli.simulate.request import Paths, SimulateOptions, simulation_of
from jspsr_cli.simulate.sheet import write_sheet
from jspsr_cli.simulate.views import Simulation
from jspsr_cli.training.config import DEM_LAYERS
from jspsr_cli.training.dfc30 import TRUTH
from jspsr_cli.training.places import WINDOW, state_of
from jspsr_cli.training.split import cities_of
from jspsr_cli.types import Progress
from jspsr_models.files import appearing

# What `dataset:` in a training file calls a set of simulated scenes.
DATASET = "SIM"

# What kind of country a scene is.
KIND_TAG = "JSPSR_SCENE"

# Scenes on the picture sheet.
PICTURES = 12

CONFIG_HEAD = "# Written by jspsr simulate, anew by every run: copy it before you change it.\n"


@dataclass(frozen=True)
class SimulateReport:
    """What came of it: samples `made` by this run and in all, by the folder they are in."""

    output: str
    config: str | None
    sheet: str
    made: int
    cities: dict[str, int]
    seconds: float
    warnings: tuple[str, ...]

    @property
    def summary(self) -> str:
        """One line for people."""
        where = ", ".join(f"{city} {count}" for city, count in self.cities.items())
        count = sum(self.cities.values())
        return f"{count} samples ({where}), {self.made} made now in {self.seconds:.1f} s: {self.sheet}"


def simulate(
    output: str | os.PathLike[str],
    *,
    terrain: Paths = (),
    surface: Paths = (),
    canopy: Paths = (),
    options: SimulateOptions | None = None,
    progress: Progress | None = None,
) -> SimulateReport:
    """Write simulated samples to the folder `output`; those that it has already are left alone.

    Args:
        output: folder of the set.
        terrain: terrain models of real ground, on which only the DEM, the canopy map and the orthophoto are simulated.
        surface: surface models of the same ground.
        canopy: canopy heights there, which tell trees from buildings; without them there is no orthophoto.
        options: everything else.
        progress: called with the share that is done, 0 to 1.

    Raises:
        JspsrError: with `exit_code` 2 before any work, 1 after; see `jspsr_cli.errors`.
    """
    begun, chosen = time.monotonic(), options or SimulateOptions()
    with rasterio.Env(**GDAL_OPTIONS):
        simulation = simulation_of(chosen, terrain=terrain, surface=surface, canopy=canopy)
        work = _Work(Path(output), simulation, chosen)
        warnings = work.check()
        missing = work.missing()
        for done in work.make(missing):
            if progress:
                progress(done / len(missing))
        config = work.write_config()
        sheet = work.folder / "scenes.png"
        if missing or not sheet.exists():
            write_sheet(sheet, simulation, range(min(PICTURES, chosen.scenes)))
    return SimulateReport(
        output=str(work.folder),
        config=str(config) if config else None,
        sheet=str(sheet),
        made=len(missing),
        cities=work.cities(),
        seconds=round(time.monotonic() - begun, 3),
        warnings=warnings,
    )


class _Work:
    """The samples of one simulation in the folder of a set."""

    def __init__(self, folder: Path, simulation: Simulation, options: SimulateOptions) -> None:
        self.folder, self._simulation, self._options = folder, simulation, options
        self._samples = folder / f"{DATASET}_{options.resolution:g}m"

    def check(self) -> tuple[str, ...]:
        """Look at the inputs and the folder before any work. Returns warnings.

        Raises:
            OutputNotWritable: the folder cannot be made.
        """
        warnings: tuple[str, ...] = ()
        ground = self._simulation.ground
        if ground:
            self._simulation.scene(0)
            if divides(ground.grid(self._simulation.resolution), self._simulation.size) is None:
                warnings = ("the ground is too small to validate on a part of it alone",)
        try:
            self._samples.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputNotWritable(f"{self.folder} cannot be written to: {error.strerror}.") from error
        return warnings

    def missing(self) -> list[int]:
        """Samples that are not there yet.

        Raises:
            OutputExists: other samples are in their place.
        """
        found = []
        for number in range(self._options.scenes):
            state = [self._is_ours(path, number) for path in self._files(number).values()]
            if False in state and not self._options.overwrite:
                path = list(self._files(number).values())[state.index(False)]
                raise OutputExists(
                    f"{path} is no sample of this simulation (other options, or another version of jspsr): give "
                    "another folder or --name, or --overwrite."
                )
            if not all(state):
                found.append(number)
        return found

    def make(self, numbers: Sequence[int]) -> Iterator[int]:
        """Make samples; says after each how many are done. Raises as `write_layer`."""
        if self._options.workers == 1:
            for done, number in enumerate(numbers, 1):
                write_sample(self._simulation, number, self._files(number), self._tags(number))
                yield done
            return
        # Started anew rather than forked: GDAL and BLAS have threads, which a fork does not survive.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(self._options.workers, mp_context=context, initializer=_ignore_interrupts) as pool:
            jobs = [
                pool.submit(write_sample, self._simulation, number, self._files(number), self._tags(number))
                for number in numbers
            ]
            try:
                for done, job in enumerate(as_completed(jobs), 1):
                    job.result()
                    yield done
            finally:
                pool.shutdown(cancel_futures=True)

    def write_config(self) -> Path | None:
        """Write a training file for all that the folder holds, None if there is nothing to train or to validate on."""
        path = self.folder / "config.yaml"
        found = list(self.cities())
        valid = [name for name in found if name.endswith("_valid")]
        train = [name for name in found if name not in valid]
        if not (train and valid):
            return None
        config = {
            "name": f"{DATASET}-{self._options.resolution:g}m",
            "dataset": DATASET,
            "data_root": str(self.folder.resolve()),
            "train_set": train,
            "valid_set": valid,
            "resolution": self._options.resolution,
            "input_data": {"COP30": 1, "canopy": 1},
            "patch_size": min(WINDOW, self._simulation.size // WINDOW_STEP * WINDOW_STEP),
            "simulated": True,
        }
        with appearing(path) as part:
            part.write_text(CONFIG_HEAD + yaml.safe_dump(config, sort_keys=False), "utf-8")
        return path

    def cities(self) -> dict[str, int]:
        """Folders of the set with the number of samples in each."""
        counts = {entry.name: len(list((entry / TRUTH).glob(f"*_{TRUTH}.tif"))) for entry in self._samples.iterdir()}
        return {name: counts[name] for name in sorted(counts) if counts[name]}

    def _files(self, number: int) -> dict[str, Path]:
        city = cities_of(self._options.name)[validates(number)]
        return {layer: self._samples / city / layer / f"{number}_{layer}.tif" for layer in self._simulation.kinds}

    def _is_ours(self, path: Path, number: int) -> bool | None:
        """Whether a file is of this simulation; None if there is none."""
        if not path.exists():
            return None
        try:
            found = inspect_raster(str(path)).tags
        except UnreadableRaster:
            return False
        return all(found.get(key) == value for key, value in self._tags(number).items())

    def _tags(self, number: int) -> dict[str, str]:
        simulation, tags = self._simulation, {}
        made_of: dict[str, object] = {
            "seed": simulation.seed,
            "number": number,
            "size": simulation.size,
            "resolution": simulation.resolution,
            "canopy_map": simulation.canopy or "drawn",
            "bias": simulation.biased,
        }
        if simulation.ground:
            files = [file for group in simulation.ground.files.values() for file in group]
            made_of["ground"] = [state_of(path) for file in files for path in file.local_files or [file.path]]
            tags = inherited_tags(files)
        return {**tags, **program_tags(), SIMULATED_TAG: json.dumps(made_of)}


def write_sample(simulation: Simulation, number: int, files: dict[str, Path], tags: dict[str, str]) -> None:
    """Make one sample and write its layers to `files`. Raises as `write_layer`."""
    scene = simulation.scene(number)
    layers = simulation.layers(scene, number)
    for layer, path in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        heights = layer in (TRUTH, *DEM_LAYERS)
        write_layer(path, layers[layer], grid=scene.grid, heights=heights, tags={**tags, KIND_TAG: scene.kind})


def _ignore_interrupts() -> None:
    """Leave Ctrl-C, which all processes of a terminal get, to the first one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

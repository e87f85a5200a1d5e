"""Which command takes which kind of file, and how it is called with one."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from tests.test_enhance_command import Scene

#: from a scene and the file of a stranger to a command line
Taking: TypeAlias = Callable[[Scene, Path], list[object]]


def prepare(scene: Scene, *more: object, **instead: Path) -> list[object]:
    """Prepare a set of the scene; `instead` names other files for terrain, dem or guide."""
    files = {"terrain": scene.dem, "dem": scene.dem, "guide": scene.guide} | instead
    options = [text for role, path in files.items() for text in (f"--{role}", path)]
    return ["prepare", *options, "-o", scene.folder / "set", "--name", "X", *more]


TAKING_RASTERS: dict[str, Taking] = {
    "enhance": lambda s, p: [*s.arguments(dem=p)],
    "enhance --guide": lambda s, p: [*s.arguments(guide=p)],
    "evaluate": lambda s, p: ["evaluate", p, "--reference", s.dem],
    "evaluate --reference": lambda s, p: ["evaluate", s.dem, "--reference", p],
    "preview": lambda s, p: ["preview", s.dem, p, "-o", s.folder / "p.png"],
    "prepare": lambda s, p: prepare(s, terrain=p),
    "simulate": lambda s, p: ["simulate", s.folder / "set", "--terrain", p, "--surface", s.dem],
    "fetch-copernicus": lambda s, p: ["fetch-copernicus", "--like", p, "-o", s.output],
    "fetch-fabdem": lambda s, p: ["fetch-fabdem", "--like", p, "-o", s.output],
    "fetch-canopy": lambda s, p: ["fetch-canopy", "--like", p, "-o", s.output],
}

TAKING_POLYGONS: dict[str, Taking] = {
    "enhance --geometry": lambda s, p: [*s.arguments("--geometry", p)],
    "fetch-copernicus": lambda s, p: ["fetch-copernicus", "--geometry", p, "-o", s.output],
    "fetch-fabdem": lambda s, p: ["fetch-fabdem", "--geometry", p, "-o", s.output],
    "fetch-canopy": lambda s, p: ["fetch-canopy", "--geometry", p, "-o", s.output],
}

TAKING_WEIGHTS: dict[str, Taking] = {
    "weights show": lambda _, p: ["weights", "show", p],
    "weights convert": lambda s, p: ["weights", "convert", p, s.folder / "made.safetensors"],
    "enhance --weights": lambda s, p: [*s.arguments(weights=p)],
}

TAKING_TRAINING_FILES: dict[str, Taking] = {
    "train": lambda s, p: ["train", p, "--data-root", s.folder, "-o", s.folder / "run"],
    "validate": lambda s, p: [
        "validate", p, "--data-root", s.folder, "--weights", s.weights["image"], "-o", s.folder / "v",
    ],
}  # fmt: skip

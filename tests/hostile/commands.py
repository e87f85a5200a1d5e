"""The commands that meet mutants: each with the kind of mutant that it takes, and what it may do with one."""

import shutil
from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner

from jspsr_cli.main import cli
from tests.hostile.taking import TAKING_POLYGONS, TAKING_RASTERS, TAKING_TRAINING_FILES, TAKING_WEIGHTS, Taking, prepare
from tests.mistakes import LONGEST
from tests.test_enhance_command import Scene, save_weights
from tests.training.dataset import make_set, write_config

#: outputs that appear whole or not at all, and folders in which unfinished work may stay
WHOLE, KEPT = {"out.tif", "p.png", "made.safetensors"}, {"out.tif.partial", "set", "run", "v"}

#: of a scene of a kilometre, whose mutants cover less
SMALL = ("--size", 32, "--voids", 0.9, "--valid-share", 0)


def _training(take: Taking) -> Taking:
    """One epoch of a small set, in whatever file."""

    def taken(scene: Scene, path: Path) -> list[object]:
        arguments = take(scene, path)
        more = ("--epochs", 1) if arguments[0] == "train" else ()
        return [*arguments, "--data-root", scene.folder.parent / "small", "--device", "cpu", *more]

    return taken


def _from(scene: Scene, path: Path) -> list[object]:
    config = write_config(scene.folder / "c.yaml", scene.folder.parent / "small", epochs=1)
    return ["train", config, "-o", scene.folder / "run", "--device", "cpu", "--from", path]


#: command -> kind of mutant, and how it is called
COMMANDS: dict[str, tuple[str, Taking]] = {
    "enhance": ("dem", TAKING_RASTERS["enhance"]),
    "enhance --guide": ("tif", TAKING_RASTERS["enhance --guide"]),
    "enhance --canopy": ("canopy", lambda s, p: [*s.arguments("--canopy", p, guide=None, weights=s.weights["canopy"])]),
    "enhance --weights pt": ("pt", TAKING_WEIGHTS["enhance --weights"]),
    "enhance --weights safetensors": ("safetensors", TAKING_WEIGHTS["enhance --weights"]),
    "enhance --geometry": ("geojson", TAKING_POLYGONS["enhance --geometry"]),
    "evaluate": ("dem", lambda s, p: ["evaluate", p, "--reference", s.folder / "dtm.tif"]),
    "evaluate --reference": ("dtm", TAKING_RASTERS["evaluate --reference"]),
    "evaluate --canopy": ("canopy", lambda s, p: [*TAKING_RASTERS["evaluate"](s, s.dem), "--canopy", p]),
    "preview": ("tif", TAKING_RASTERS["preview"]),
    "preview --difference": ("dem", lambda s, p: ["preview", "--difference", p, s.dem, "-o", s.folder / "p.png"]),
    "prepare --terrain": ("dtm", lambda s, p: prepare(s, *SMALL, terrain=p)),
    "prepare --dem": ("dem", lambda s, p: prepare(s, *SMALL, terrain=s.folder / "dtm.tif", dem=p)),
    "prepare --guide": ("tif", lambda s, p: prepare(s, *SMALL, terrain=s.folder / "dtm.tif", guide=p)),
    "weights show": ("safetensors", TAKING_WEIGHTS["weights show"]),
    "weights convert": ("pt", TAKING_WEIGHTS["weights convert"]),
    "weights convert legacy": ("legacy", TAKING_WEIGHTS["weights convert"]),
    "train": ("yaml", _training(TAKING_TRAINING_FILES["train"])),
    "train --from": ("safetensors", _from),
    "validate": ("yaml", _training(TAKING_TRAINING_FILES["validate"])),
}  # fmt: skip


class Wrong(Exception):
    """A command did with a mutant what none may do."""


def shared(root: Path) -> None:
    """Make what the commands have in common: a training set and weights."""
    make_set(root / "small", samples=1)
    (root / "weights").mkdir()
    save_weights(root / "weights")


def meeting(command: str, folder: Path, terrain: bytes) -> Callable[[Path], str]:
    """A function from a file to why `command` refuses it, in a scene of its own in `folder`; empty where it is taken.

    `terrain` is a terrain model of that ground. The function raises Wrong.
    """
    weights = {path.stem: path for path in (folder.parent / "weights").iterdir()}
    scene = Scene(folder, weights)
    (folder / "dtm.tif").write_bytes(terrain)
    take = COMMANDS[command][1]

    def meet(path: Path) -> str:
        arguments = [str(argument) for argument in take(scene, path)]
        before = scene.listing()
        done = CliRunner().invoke(cli, arguments)
        after = scene.listing()
        new = {Path(name).parts[0] for name, _ in after.items() ^ before.items()}
        for name in WHOLE | KEPT:
            shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink(missing_ok=True)
        _check(done.exit_code, done.stdout, done.stderr, new)
        return done.stderr if done.exit_code else ""

    return meet


def _check(code: int, out: str, err: str, new: set[str]) -> None:
    last = err.strip().splitlines()[-1] if err.strip() else ""
    wrong = {
        f"exit code {code}": code not in (0, 1, 2),
        "a bug": "bug" in err or "Traceback" in err,
        "no sentence": code and not last.startswith(("jspsr: error: ", "Error: ")),
        f"{len(last)} characters": len(last) > LONGEST,
        "control characters": not (out + err).replace("\n", "").isprintable(),
        "a result without success": code and out,
        f"wrote {sorted(new)}": not new <= (KEPT if code else KEPT | WHOLE),
    }
    if found := [what for what, is_so in wrong.items() if is_so]:
        raise Wrong(f"{', '.join(found)}: {err[-600:]!r}")

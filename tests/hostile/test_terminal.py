"""Whatever is in a file or in its name reaches the terminal spelt out."""

import shutil
from pathlib import Path

import pytest
import rasterio

from tests.hostile import files
from tests.hostile.files import ESCAPES
from tests.test_enhance_command import Scene, invoke

HARM = set(ESCAPES) & set("\x1b\x07\u202e")


def spoilt(scene: Scene) -> Path:
    """The DEM with escape codes in its name, its tags, and the description of its band."""
    path = Path(shutil.copy(scene.dem, scene.folder / f"dem{ESCAPES}.tif"))
    with rasterio.open(path, "r+") as dataset:
        tags = ("JSPSR_NOTICE", "JSPSR_LICENCE", "JSPSR_ATTRIBUTION", "TIFFTAG_SOFTWARE")
        dataset.update_tags(**dict.fromkeys(tags, ESCAPES))
        dataset.set_band_description(1, ESCAPES)
    return path


@pytest.mark.parametrize("more", [("-v",), ("--json",)], ids=str)
def test_enhance(tmp_path: Path, weights: dict[str, Path], more: tuple[str, ...]) -> None:
    scene = Scene(tmp_path, weights)
    path = tmp_path / "w.safetensors"
    path.write_bytes(
        files.stating(tmp_path, name=ESCAPES, licence=ESCAPES, trained_on=ESCAPES, resolution=8, window=64)
    )
    done = invoke(scene.arguments(*more, dem=spoilt(scene), weights=path))
    assert done.exit_code == 0, done.output
    assert not set(done.output) & HARM


@pytest.mark.parametrize("command", [("show",), ("show", "--json"), ("verify",), ("convert",)], ids=str)
def test_weights(tmp_path: Path, command: tuple[str, ...]) -> None:
    path = tmp_path / f"w{ESCAPES}.safetensors"
    path.write_bytes(files.stating(tmp_path, name=ESCAPES, licence=ESCAPES, trained_on=ESCAPES))
    more = [str(tmp_path / "made.safetensors")] if command == ("convert",) else []
    done = invoke(["weights", *command, str(path), *more])
    assert done.exit_code == 0, done.output
    assert not set(done.output) & HARM


@pytest.mark.parametrize("what", ["evaluate", "preview", "train"])
def test_names_of_files(tmp_path: Path, weights: dict[str, Path], what: str) -> None:
    scene = Scene(tmp_path, weights)
    path = spoilt(scene)
    arguments = {
        "evaluate": ["evaluate", path, "--reference", scene.dem],
        "preview": ["preview", path, "-o", tmp_path / f"{ESCAPES}.png"],
        "train": ["train", path],
    }
    done = invoke([str(argument) for argument in arguments[what]])
    assert done.exit_code in (0, 2), done.output
    assert not set(done.output) & HARM

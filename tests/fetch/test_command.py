"""`jspsr fetch-copernicus` as it is typed."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from jspsr_cli.main import cli
from tests.fetch.archive import Server, silent, status, tile_name
from tests.fetch.conftest import CORNER, MINUS_FIFTY, SIXTY
from tests.fetch.test_copernicus import inner
from tests.scenes import heights_of, utm

pytestmark = pytest.mark.usefixtures("server")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def typed(*words: object) -> Result:
    return CliRunner().invoke(cli, ["fetch-copernicus", *map(str, words)])


def words(box: tuple[float, ...]) -> list[str]:
    return [f"{number:.4f}" for number in inner(box)]


def test_four_numbers_or_one_argument(here: Path) -> None:
    done = typed(*words(MINUS_FIFTY), "--buffer", 0)
    assert (done.exit_code, done.stdout.startswith("cop30.tif: ")) == (0, True), done.stderr
    assert typed(",".join(words(MINUS_FIFTY)), "--buffer", 0, "-o", "other.tif").exit_code == 0
    assert np.array_equal(heights_of(here / "cop30.tif"), heights_of(here / "other.tif"))
    assert sorted(path.name for path in here.iterdir()) == ["cop30.tif", "other.tif"]


def test_like_is_all_it_takes(here: Path) -> None:
    assert typed(*words(CORNER), "--buffer", 0, "-o", "like.tif").exit_code == 0
    done = typed("--like", "like.tif", "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert report["tiles"] == [tile_name(south, west) for south in (45, 44) for west in (6, 7)]
    assert report["output"] == "cop30.tif"
    inside, around = heights_of(here / "like.tif").shape, heights_of(here / "cop30.tif").shape
    assert around[0] - inside[0] == pytest.approx(2 * 1500 / 30.9, abs=3)
    assert "is there already" in typed("--like", "like.tif").stdout


def test_what_was_resampled_is_said(here: Path) -> None:
    done = typed(*words(SIXTY), "--crs", utm(10.5, 60), "-v")
    assert done.exit_code == 0
    assert "crosses 60 degrees" in done.stderr
    assert "resampled to EPSG:32632" in done.stderr
    assert "2 tiles from http" in done.stderr
    assert typed(*words(SIXTY), "--crs", utm(10.5, 60), "-q").stderr == ""
    assert here.exists()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([], "One area is needed"),
        (["1", "2", "3"], "four numbers"),
        (["1", "2", "1", "3"], r"west \(1\) is not less than east \(1\)"),
        (["7", "46", "8", "45"], "south .* is not less than north"),
        (["7", "89", "8", "91"], "no area on Earth"),
        (["7", "45", "8", "46", "--like", "x"], "No such file"),
        (["7", "45", "8", "46", "--buffer", "-1"], "--buffer"),
        (["7", "45", "8", "46", "--cache-size", "inf"], "cache_size inf"),
        (["7", "45", "8", "46", "--sea", "5"], "--sea"),
        (["7", "45", "8", "46", "--source", "ftp://x"], "is no source"),
        (["7", "45", "8", "46", "--crs", "EPSG:4258"], "not projected in metres"),
        (["7", "45", "8", "46", "-o", "no/where.tif"], "does not exist"),
        (["-180", "-90", "180", "90"], "MB free"),
        (["45", "40", "46", "41", "--strict"], "GLO-30 is not public at .*N39E044, N39E045"),
    ],
)
def test_mistakes_are_told_before_anything_is_fetched(
    here: Path, server: Server, given: list[str], sentence: str
) -> None:
    done = typed(*given)
    assert (done.exit_code, done.stdout) == (2, "")
    last = done.stderr.strip().splitlines()[-1]
    assert re.search(sentence, last), last
    assert not server.requests
    assert not list(here.iterdir())


def test_a_failure_ends_with_1(here: Path, server: Server) -> None:
    server.always = status(403)
    done = typed(*words(CORNER))
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("jspsr: error: Copernicus_DSM_COG_10_N4")
    assert not list(here.iterdir())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_silent_server_does_not_hold_up_ctrl_c(here: Path, server: Server, number: int, code: int) -> None:
    server.always = silent(60)
    command = [sys.executable, "-m", "jspsr_cli", "fetch-copernicus", *words(CORNER)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        while not server.requests and process.poll() is None:
            time.sleep(0.01)  # what is waited for needs the processor
        process.send_signal(number)
        _, said = process.communicate(timeout=30)  # half of what the server takes, and long on a busy machine
    assert (process.returncode, said) == (code, f"jspsr: {'interrupted' if code == 130 else 'terminated'}\n")
    assert not list(here.iterdir())


def test_help_and_imports() -> None:
    done = typed("--help")
    assert "Copernicus GLO-30" in done.output
    assert "[default: (JSPSR_COPERNICUS_URL, else the public bucket)]" in " ".join(done.output.split())
    code = "import sys, jspsr_cli.fetch.copernicus as f; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

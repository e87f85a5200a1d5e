"""The batch script over a folder of orthophotos: real once, and with a stand-in of jspsr where that would be slow."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from jspsr_models import WeightsInfo, identity_checkpoint, save_network
from tests.fetch.archive import BUCKETS, save_tile, serving, tile_name
from tests.scenes import heights_of, write_raster
from tests.test_output import tags_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="bash")

SCRIPT = Path(__file__).parents[1] / "examples" / "enhance_region.sh"

#: Does as jspsr does, by what the name of the orthophoto holds.
STAND_IN = """#!/usr/bin/env bash
arguments="$*"
while [[ $1 != --guide ]]; do shift; done
photo=$2 output=$4
printf '%s\\n' "$arguments" >> "$CALLS"
case $photo in
    *slow*)
        trap 'kill %1; sleep 0.3; printf "put away\\n" >> "$CALLS"; exit 143' TERM
        sleep 30 &
        wait ;;
    *busy*) printf 'jspsr: error: Process 5 on host works on it: wait for it, or end it.\\n' >&2; exit 2 ;;
    *nothing*) printf 'x.tif: 1 km2\\n'; exit ;;
    *raced*) printf 'jspsr: error: Mine.\\n' >&2; printf 'of another script\\n' > "$output.log"; exit 2 ;;
    *bad*) printf 'jspsr: warning: beware\\njspsr: error: It is bad: mend it.\\n' >&2; exit 2 ;;
esac
[[ -e $output ]] && printf '%s is there already, made by this command of these inputs.\\n' "$output" && exit
printf x > "$output"
printf 'x.tif: 1 km2\\n'
"""


def command(folder: Path, text: str) -> dict[str, str]:
    """The environment in which `jspsr` is a script of `text`."""
    program = folder / "bin" / "jspsr"
    program.parent.mkdir()
    program.write_text(text)
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "CALLS": str(folder / "calls"), "PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    return command(tmp_path, STAND_IN)


def photos(*names: str) -> None:
    for name in names:
        Path("photos", name).touch()


def run(environment: dict[str, str], *words: object) -> "subprocess.CompletedProcess[str]":
    given = ["bash", str(SCRIPT), *map(str, words)]
    return subprocess.run(given, capture_output=True, text=True, env=environment, timeout=100, check=False)


def test_a_real_region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with a space and an end of line, and a file that is none; then the same command once more."""
    monkeypatch.chdir(tmp_path)
    save_tile(tmp_path / "archive" / BUCKETS[30], 44, 7, [(7.46, 44.46, 7.54, 44.54)])
    (tmp_path / "photos").mkdir()
    values = np.random.default_rng(1).integers(0, 256, (3, 60, 60)).astype(np.uint8)
    photo = tmp_path / "photos" / "in\ntwo  lines.tif"
    write_raster(photo, values, crs="EPSG:32632", transform=Affine(8, 0, 380_704, 0, -8, 4_928_704))
    (tmp_path / "photos" / "broken.tif").touch()
    info = WeightsInfo(name="identity", sha256="", inputs=("image",), num_feature=4, resolution=8.0, licence="none")
    save_network(identity_checkpoint(), tmp_path / "w.safetensors", info)
    environment = command(tmp_path, f'#!/bin/sh\nexec "{sys.executable}" -m jspsr_cli "$@"\n')
    with serving(tmp_path / "archive") as server:
        environment |= {"JSPSR_COPERNICUS_URL": server.url, "JSPSR_CACHE": str(tmp_path / "cache"), "no_proxy": "*"}
        first = run(environment, "-j", 2, "photos", "dems", "--weights", "w.safetensors")
        requests = len(server.requests)
        again = run(environment, "-j", 2, "photos", "dems", "--weights", "w.safetensors")
        assert len(server.requests) == requests > 0
    broken = "failed        broken.tif  Invalid value for '--guide': './photos/broken.tif' is empty (0 bytes)."
    name = r"$'in\ntwo  lines.tif'"
    assert (first.returncode, again.returncode) == (1, 1)
    lines = first.stdout.splitlines()
    assert (lines[0], lines[2]) == (broken, "1 done, 0 already done, 1 not done")
    assert lines[1].startswith(f"done          {name}  0.2")
    assert again.stdout.splitlines() == [broken, f"already done  {name}  ", "0 done, 1 already done, 1 not done"]
    output = tmp_path / "dems" / photo.name
    assert np.isfinite(heights_of(output)).all()
    assert tile_name(44, 7) in tags_of(output)["JSPSR_TILES_DEM"]


def test_each_has_an_output_of_its_own_and_a_line(stand_in: dict[str, str]) -> None:
    photos("a.tif", "a.TIFF", "a.jp2", "bad.tif", "-n.tif", "'\"$(x)`.tif", ".hidden.tif", "a.txt")
    done = run(stand_in, "-j", 3, "photos", "of it/dems", "--weights", "two words", "dem *.tif")
    made = {"a.tif", "a.TIFF.tif", "a.jp2.tif", "-n.tif", "'\"$(x)`.tif"}
    assert {path.name for path in Path("of it/dems").iterdir() if path.suffix == ".tif"} == made
    assert done.returncode == 1
    *lines, last = done.stdout.splitlines()
    assert sorted(lines) == sorted(done.stderr.splitlines())
    assert sorted(line.split("  ")[0] for line in lines) == ["done"] * 5 + ["failed"]
    assert "failed        bad.tif  It is bad: mend it." in lines
    assert last == "5 done, 0 already done, 1 not done"
    assert "beware" in Path("of it/dems/bad.tif.log").read_text()
    calls = Path("calls").read_text().splitlines()
    assert "enhance --fetch --guide ./photos/a.tif -o ./of it/dems/a.tif --weights two words dem *.tif" in calls
    again = run(stand_in, "photos", "of it/dems").stdout
    assert again.splitlines()[-1] == "0 done, 5 already done, 1 not done"


def test_success_is_0(stand_in: dict[str, str]) -> None:
    photos("a.tif")
    assert run(stand_in, "photos", "dems").returncode == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "usage: enhance_region.sh"),
        (["photos"], "usage: enhance_region.sh"),
        (["-x", "photos", "dems"], "usage: enhance_region.sh"),
        (["-j"], "usage: enhance_region.sh"),
        (["-j", "0", "photos", "dems"], "not 0"),
        (["-j", "two", "photos", "dems"], "not two"),
        (["photos", "dems"], "There is no orthophoto in ./photos"),
        (["-j", "2", "nowhere", "dems"], "There is no orthophoto in ./nowhere"),
    ],
)
def test_wrong_usage(stand_in: dict[str, str], words: list[str], sentence: str) -> None:
    done = run(stand_in, *words)
    assert (done.returncode, done.stdout, sentence in done.stderr) == (2, "", True), done.stderr
    assert not Path("dems").exists()


@pytest.mark.parametrize("option", ["-o", "-ox.tif", "--output=x", "--guide", "--guide=b", "--json", "--dry-run"])
def test_what_the_script_itself_chooses_is_refused(stand_in: dict[str, str], option: str) -> None:
    photos("a.tif")
    done = run(stand_in, "photos", "dems", "--guide-bands", "1,2,3", option)
    said = f"The script itself chooses {option} for each orthophoto: leave it away.\n"
    assert (done.returncode, done.stderr, Path("calls").exists()) == (2, said, False)


def test_folders_that_cannot_work_are_a_sentence(stand_in: dict[str, str]) -> None:
    photos("a.jp2", "b.tif")
    Path("same").symlink_to("photos")
    for outputs, sentence in (
        ("same", "OUTPUTS is the folder of the orthophotos"),
        ("photos/b.tif/x", "cannot be made"),
    ):
        done = run(stand_in, "photos", outputs)
        assert (done.returncode, done.stderr.count("\n"), sentence in done.stderr) == (2, 1, True), done.stderr
    photos("a.jp2.tif")
    done = run(stand_in, "photos", "dems")
    assert (done.returncode, done.stderr.count("\n"), "one output" in done.stderr) == (2, 1, True), done.stderr
    assert not Path("calls").exists()


def test_help_is_no_mistake(stand_in: dict[str, str]) -> None:
    done = run(stand_in, "-h")
    assert (done.returncode, done.stdout.split()[0], done.stderr) == (0, "usage:", "")


def test_each_state_has_its_name(stand_in: dict[str, str]) -> None:
    photos("busy.tif", "nothing.tif")
    lines = run(stand_in, "photos", "dems").stdout.splitlines()
    assert lines[0].startswith("at work       busy.tif  Process 5 on host works on it")
    assert lines[1] == "failed        nothing.tif  There is no ./dems/nothing.tif."
    assert not Path("dems/busy.tif.log").exists()  # the other's


def test_the_log_of_the_work_is_kept_from_other_runs(stand_in: dict[str, str]) -> None:
    """Neither the same command again nor a script beside it writes over it, or reads what it says."""
    photos("a.tif", "raced.tif")
    run(stand_in, "photos", "dems")
    done = run(stand_in, "photos", "dems")
    assert done.stdout.splitlines()[:2] == ["already done  a.tif  ", "failed        raced.tif  Mine."]
    assert "1 km2" in Path("dems/a.tif.log").read_text()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_it_ends_all_that_it_began(stand_in: dict[str, str], number: int, code: int) -> None:
    photos("a slow.tif", "b slow.tif", "c.tif")
    words = ["bash", str(SCRIPT), "-j", "2", "photos", "dems"]
    calls = Path("calls")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=stand_in) as process:
        deadline = time.monotonic() + 20
        while not (calls.exists() and calls.read_text().count("\n") == 2) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(number)
        assert process.wait(timeout=10) == code
        assert calls.read_text().count("put away") == 2
        said, _ = process.communicate()
    assert [line[:13] for line in said.splitlines()] == ["interrupted  "] * 2 + ["not begun    ", "0 done, 0 alr"]

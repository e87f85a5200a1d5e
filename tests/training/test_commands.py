"""`jspsr train` and `jspsr validate` as their users meet them."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from jspsr_cli import extras
from jspsr_cli.main import cli
from jspsr_models import WeightsInfo, identity_checkpoint, save_network
from tests.training.dataset import write_config


def run(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def config(tmp_path: Path, small_set: Path) -> Path:
    return write_config(tmp_path / "small.yaml", small_set, epochs=1)


def test_train_then_validate(config: Path, tmp_path: Path, small_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("train", config, "--data-root", small_set, "--device", "cpu", "--json")
    *said, line = result.stderr.splitlines()
    assert [text.split(" is ")[0] for text in said] == [
        "jspsr: warning: train_batch_size", "jspsr: warning: patch_size"
    ]  # fmt: skip
    assert line.startswith("epoch 1/1: loss ")
    assert "RMSE" in line
    assert line.endswith("m), best so far")
    report = json.loads(result.stdout)
    assert (report["folder"], report["weights"]) == ("runs/small", "runs/small/best.safetensors")
    again = run("train", config, "--device", "cpu")
    assert again.stderr.splitlines() == said
    assert "already_done:  yes" in again.stdout

    result = run("validate", config, "--weights", report["weights"], "--device", "cpu")
    lines = result.stdout.splitlines()
    assert lines[0].split()[:3] == ["SAMPLES", "RMSE", "(m)"]
    assert [line for line in lines[1:] if line[0] != " "] == [
        "Caen, per sample", "Caen, pooled", "overall, per sample", "overall, pooled"
    ]  # fmt: skip
    assert len(lines) == 1 + 2 * 2 * (1 + 4)
    assert lines[2].split()[:2] == ["network", "3"]
    assert max(map(len, lines)) < 80
    assert result.stderr == "tables, plot and 3 predictions: validation/small\n"
    printed = json.loads(run("validate", config, "--weights", report["weights"], "--json", "-q").stdout)
    assert printed["already_done"]
    written = json.loads((tmp_path / "validation" / "small" / "metrics.json").read_text())["metrics"]
    # The metrics of training and of `validate` are the same ones, but for folding.
    for first in (printed["lines"][0], written[0]):
        assert first["rmse_m"] == pytest.approx(report["best"], rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("train", "none.yaml"), "File 'none.yaml' does not exist"),
        (("train", "{config}", "--epochs", "0"), "Invalid value for '--epochs'"),
        (("train", "{config}", "--data-root", "none"), "Directory 'none' does not exist"),
        (("train", "{config}", "--from", "nope"), "no weights file nope exists"),
        (("validate", "{config}"), "Missing option '--weights'"),
        (("validate", "{config}", "--weights", "jspsr-8m-image"), "run: jspsr weights pull jspsr-8m-image"),
    ],
    ids=str,
)
def test_mistakes_end_with_2(
    config: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    monkeypatch.setenv("JSPSR_CACHE", str(tmp_path / "cache"))
    assert sentence in run(*[a.format(config=config) for a in arguments], code=2).stderr


def test_keys_without_meaning_are_a_warning(tmp_path: Path, small_set: Path) -> None:
    config = write_config(tmp_path / "c.yaml", small_set, epochs=1, verbose=True)
    result = run("train", config, "-o", tmp_path / "run", "--device", "cpu", "-q")
    first, *others = result.stderr.splitlines()
    assert first == f"jspsr: warning: {config}: keys without meaning here were left out: verbose"
    assert len(others) == 2  # of the settings of the small set; each is said once
    again = run("validate", config, "--weights", tmp_path / "run" / "best.safetensors", "-o", tmp_path / "out")
    assert again.stderr.splitlines()[0] == first
    assert again.stderr.count("jspsr: warning") == 1


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a folder in which nothing can be made")
@pytest.mark.parametrize("output", ["file/run", "/proc/run"])
@pytest.mark.parametrize("command", ["train", "validate"])
def test_outputs_that_cannot_be_made(config: Path, tmp_path: Path, command: str, output: str) -> None:
    (tmp_path / "file").touch()
    weights = tmp_path / "mine.safetensors"
    info = WeightsInfo(name="mine", sha256="", inputs=("image",), num_feature=4)
    save_network(identity_checkpoint(), weights, info)
    more = ("--weights", weights) if command == "validate" else ()
    result = run(command, config, *more, "-o", tmp_path / output, "--device", "cpu", "-q", code=2)
    assert "cannot be written: " in result.stderr.splitlines()[-1]


def test_a_missing_extra_names_the_command_that_installs_it(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("jspsr_cli.training")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(extras.EXTRAS, "train", ("yaml", "not_there"))
    for arguments in (("train", config), ("validate", config, "--weights", "x")):
        result = run(*arguments, code=2)
        sentence = "not_there is not installed, which this needs: pip install 'jspsr[train]'."
        assert result.stderr == f"jspsr: error: {sentence}\n"


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize(
    ("number", "code", "text"),
    [
        (signal.SIGINT, 130, "interrupted"),
        pytest.param(signal.SIGTERM, 143, "terminated", marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_keeps_the_last_whole_epoch(
    tmp_path: Path, small_set: Path, number: signal.Signals, code: int, text: str
) -> None:
    config = write_config(tmp_path / "c.yaml", small_set, epochs=500)
    command = [sys.executable, "-m", "jspsr_cli", "train", str(config), "-o", str(tmp_path / "run"), "--device", "cpu"]
    with (
        (tmp_path / "out").open("w") as out,
        subprocess.Popen(command, stdout=out, stderr=subprocess.PIPE, text=True) as process,
    ):
        assert process.stderr is not None
        next(line for line in process.stderr if line.startswith("epoch 2/500"))
        process.send_signal(number)
        last = next(line for line in process.stderr if not line.startswith("epoch "))
        assert (process.wait(timeout=60), last) == (code, f"jspsr: {text}\n")
    assert (tmp_path / "out").read_text() == ""
    done = run("train", config, "-o", tmp_path / "run", "--device", "cpu", "--epochs", "5", "--json")
    assert json.loads(done.stdout)["resumed_after"] >= 2


@pytest.mark.slow
def test_validate_finds_the_metrics_of_two_processes(tmp_path: Path, small_set: Path) -> None:
    config = write_config(tmp_path / "c.yaml", small_set, epochs=2)
    command = [sys.executable, "-m", "jspsr_cli", "train", str(config), "-o", str(tmp_path / "run"), "--device", "cpu"]
    more = ["--devices", "2", "--strategy", "ddp", "--json"]
    done = subprocess.run([*command, *more], capture_output=True, text=True, check=True, timeout=300)
    report, out = json.loads(done.stdout), tmp_path / "out"
    run("validate", config, "--weights", report["weights"], "-o", out, "--device", "cpu", "-q")
    metrics = json.loads((out / "metrics.json").read_text())["metrics"]
    # Three crops on two processes: each counts once.
    assert metrics[0]["rmse_m"] == pytest.approx(report["best"], rel=1e-6)

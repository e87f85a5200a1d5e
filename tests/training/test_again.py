"""The same folder again: after a kill, with corrected settings, with weights that were moved."""

import errno
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from jspsr_cli.errors import InvalidConfig, OtherWork, TrainingDiverged, WriteFailed
from jspsr_cli.training import keeping
from jspsr_models import JSPSR, WeightsInfo, identity_checkpoint, load_network, save_network
from tests.training.running import Run, Stop, assert_same_tensors, state_of


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """Weights to begin with, in a folder of their own."""
    info = WeightsInfo(name="start", sha256="", inputs=("image",), num_feature=4)
    (tmp_path / "weights").mkdir()
    save_network(identity_checkpoint(("image",)), tmp_path / "weights" / "start.safetensors", info)
    return tmp_path / "weights" / "start.safetensors"


@pytest.mark.parametrize(
    ("keys", "first"),
    [({"val_interval": 9}, 9), ({"val_start_epoch": 3}, 3), ({"val_interval": 2, "val_start_epoch": 3}, 4),
     ({"val_interval": 2, "val_start_epoch": 2}, None)],
)  # fmt: skip
def test_first_weights_are_not_the_result_where_no_epoch_is_evaluated(
    run: Run, start: Path, keys: dict[str, Any], first: int | None
) -> None:
    report = run(keys=keys, start=str(start))
    sentence = f"no epoch is evaluated: the first would be epoch {first} of 2; lower val_start_epoch or val_interval"
    assert (sentence in report.warnings) == (first is not None)
    assert (Path(report.weights).name, report.best is None) == (
        ("last.safetensors", True) if first else ("best.safetensors", False)
    )
    assert first is None or not [warning for warning in report.warnings if "no epoch was better" in warning]


def test_a_full_disk_is_named_where_torch_hides_it(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(WriteFailed, match=r"last\.ckpt cannot be written: the disk is full, or its share was lost\."):
        run()
    assert not (tmp_path / "run" / "last.ckpt").exists()


def test_a_finished_run_keeps_its_warnings(run: Run) -> None:
    first = run(keys={"val_interval": 9})
    said: list[str] = []
    again = run(keys={"val_interval": 9}, on_warning=said.append)
    assert again.already_done
    assert again.warnings == tuple(said) == first.warnings
    assert said


@pytest.mark.usefixtures("begun")
@pytest.mark.parametrize("removals", [1, 2, 3, 4])
def test_a_restart_that_is_killed_half_way_binds_nobody(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, removals: int
) -> None:
    unlink, removed = Path.unlink, list[str]()

    def killed(path: Path, missing_ok: bool = False) -> None:
        if path.parent == tmp_path / "run" and path.name[0] != ".":
            if len(removed) == removals:
                raise Stop
            removed.append(path.name)
        unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed)
        with pytest.raises(Stop):
            run(keys={"seed": 3}, epochs=1, restart=True)
    if removals == 1:  # the state is whole: it goes on, as that of its own run
        assert run(epochs=1).resumed_after == 1
    else:
        assert run(keys={"seed": 3}, epochs=1).resumed_after == 0


def test_a_state_without_settings_is_refused_with_a_way_out(run: Run, begun: Path) -> None:
    (begun / "config.yaml").unlink()
    for epochs in (1, 2):
        with pytest.raises(InvalidConfig, match=r"config\.yaml is missing or damaged: --restart begins anew"):
            run(epochs=epochs)
    assert run(epochs=1, restart=True).resumed_after == 0


def test_the_batch_that_diverged_is_not_that_of_the_next_run(run: Run, tmp_path: Path) -> None:
    with pytest.raises(TrainingDiverged):
        run(keys={"optimizer": "SGD", "optimizer_kwargs": {"lr": 1e30}})
    assert (tmp_path / "run" / "diverged_batch.json").exists()
    run(epochs=1)
    assert not (tmp_path / "run" / "diverged_batch.json").exists()


def test_what_killed_processes_had_begun_to_write_is_removed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "run" / "sheets").mkdir(parents=True)
    parts = [tmp_path / "run" / name for name in (".last.ckpt.0a.part", "sheets/.epoch_0001.png.0a.part")]
    mine = tmp_path / "run" / ".mine.part"
    for path in (*parts, mine):
        path.touch()
    run(epochs=1)
    assert [path for path in parts if path.exists()] == []
    assert mine.exists()


@pytest.mark.usefixtures("begun")
@pytest.mark.parametrize("ended", [True, False], ids=["finished", "broken off"])
@pytest.mark.parametrize("key", ["licence", "attribution", "simulated"])
def test_a_corrected_statement_is_not_ignored(run: Run, key: str, ended: bool) -> None:
    value = True if key == "simulated" else "corrected"
    with pytest.raises(OtherWork, match=f"holds a run with another {key}: give another --output, or --restart"):
        run(keys={key: value}, epochs=1 if ended else 2)


@pytest.mark.parametrize("epoch", [1, 2])
def test_weights_cut_off_after_the_state_are_written_from_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epoch: int
) -> None:
    keys = {"epochs": 2, "ema": 0.5}
    run("whole", keys=keys)
    save = save_network

    def killed(network: JSPSR, path: Path, info: WeightsInfo) -> None:
        if state_of(path.parent)["epoch"] + 1 == epoch:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(network, path, info)

    with monkeypatch.context() as patch:
        patch.setattr(keeping, "save_network", killed)
        with pytest.raises(OSError, match="No space left"):
            run(keys=keys)
    assert run(keys=keys).resumed_after == epoch
    for name in ("best.safetensors", "last.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_the_weights_are_those_of_the_state(run: Run, begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill before the state: the epoch is repeated, and on a GPU may then not be the best."""
    names = ("best.safetensors", "last.safetensors")
    before = {name: (begun / name).read_bytes() for name in names}

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        run(epochs=2)
    assert {name: (begun / name).read_bytes() for name in names} == before


def test_patience_can_be_emptied_without_a_word(run: Run) -> None:
    """Warnings of the training library are errors here."""
    run(keys={"early_stop": {"patience": 5}}, epochs=1)
    assert run(keys={"early_stop": {}}, epochs=2).resumed_after == 1


@pytest.mark.parametrize("epochs", [1, 2], ids=["finished", "goes on"])
def test_first_weights_may_be_moved_or_left_out(run: Run, tmp_path: Path, start: Path, epochs: int) -> None:
    run(start=str(start), epochs=1)
    shutil.copy(start, tmp_path / "moved.safetensors")
    network, info = load_network(start)
    torch.nn.init.ones_(next(network.parameters()))
    save_network(network, tmp_path / "other.safetensors", info)
    for other in ("other.safetensors", "missing.safetensors"):
        with pytest.raises(OtherWork, match=r"holds a run with another model_kwargs\.checkpoint"):
            run(start=str(tmp_path / other), epochs=epochs)
    report = run(start=str(tmp_path / "moved.safetensors"), epochs=epochs)
    assert (report.resumed_after, report.already_done) == (epochs - 1, epochs == 1)
    assert run(epochs=epochs).already_done
    run("straight", start=str(start), epochs=epochs)
    assert_same_tensors(*(state_of(tmp_path / name)["state_dict"] for name in ("run", "straight")))


@pytest.mark.usefixtures("begun")
def test_a_run_from_nothing_does_not_take_first_weights_later(run: Run, start: Path) -> None:
    with pytest.raises(OtherWork, match=r"holds a run with another model_kwargs\.checkpoint"):
        run(start=str(start), epochs=2)

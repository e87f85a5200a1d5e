"""The folder of a run: what is refused, what goes on, what is left alone."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rasterio
import torch
from filelock import FileLock

from jspsr_cli.errors import BadTrainingSet, InvalidConfig, OtherWork, OutputExists, OutputNotWritable, TrainingDiverged
from jspsr_cli.training.keeping import EpochReport
from jspsr_models import WeightsInfo, identity_checkpoint, load_network, save_network
from tests.training.dataset import layer_path, rewrite
from tests.training.running import Run, Stop, assert_same_tensors, state_of, stop_after


def test_the_same_command_again_does_nothing_and_more_epochs_go_on(run: Run, tmp_path: Path) -> None:
    first = run(epochs=1)
    before = (tmp_path / "run" / "last.ckpt").stat().st_mtime_ns
    again = run(epochs=1, on_epoch=stop_after(1, Stop()))
    assert (again.already_done, again.best, again.epochs) == (True, first.best, 1)
    assert (tmp_path / "run" / "last.ckpt").stat().st_mtime_ns == before
    # Cut off after the last epoch, before the report was written.
    (tmp_path / "run" / "report.json").unlink()
    rewritten = run(epochs=1)
    assert (rewritten.already_done, rewritten.best, rewritten.resumed_after) == (False, first.best, 1)
    more = run(epochs=2)
    assert (more.already_done, more.resumed_after, more.epochs) == (False, 1, 2)
    run("straight", epochs=2)
    assert_same_tensors(*(state_of(tmp_path / name)["state_dict"] for name in ("run", "straight")))


def test_the_folder_of_another_run_is_refused_and_restart_throws_it_away(run: Run, begun: Path) -> None:
    with pytest.raises(OtherWork, match="holds a run with another loss, seed: give another --output, or --restart"):
        run(keys={"seed": 3, "loss": {"L1": 1}})
    report = run(keys={"seed": 3, "epochs": 1}, restart=True)
    assert (report.resumed_after, report.already_done) == (0, False)
    (begun / "thesis.txt").write_text("mine")
    with pytest.raises(OutputExists, match=r"holds thesis.txt, which no run wrote"):
        run(restart=True)
    assert (begun / "thesis.txt").exists()


def test_two_processes_do_not_train_in_one_folder(run: Run) -> None:
    def again(_: EpochReport) -> None:
        run()

    with pytest.raises(OutputExists, match="Another jspsr trains in"):
        run(on_epoch=again)


class Hostile:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, ...]]:
        return (Path.touch, (Path("executed"),))  # type: ignore[return-value]


@pytest.mark.parametrize("content", [b"", b"x" * 100, None], ids=["empty", "damaged", "hostile"])
def test_a_state_that_is_damaged_or_holds_code_is_refused(
    run: Run, begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    monkeypatch.chdir(tmp_path)
    state = begun / "last.ckpt"
    if content is None:
        torch.save({"epoch": 0, "callbacks": Hostile()}, state)
    else:
        state.write_bytes(content)
    with pytest.raises(InvalidConfig, match=r"last.ckpt is damaged, or holds more than tensors .*: --restart"):
        run(epochs=2)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("ended", [True, False], ids=["finished", "broken off"])
def test_fewer_epochs_than_there_are(run: Run, ended: bool) -> None:
    if ended:
        run(epochs=2)
    else:
        with pytest.raises(Stop):
            run(epochs=4, on_epoch=stop_after(2, Stop()))
    with pytest.raises(InvalidConfig, match="holds 2 epochs already, and 1 are asked for"):
        run(epochs=1)


@pytest.mark.parametrize("scheduler", ["CosineAnnealingLR", "OneCycleLR"])
def test_rates_that_end_with_the_run_keep_their_epochs(run: Run, scheduler: str) -> None:
    """With more epochs, the rates of those that are done would have been others."""
    keys = {"scheduler": scheduler, "scheduler_kwargs": {}}
    with pytest.raises(Stop):
        run(keys=keys, epochs=2, on_epoch=stop_after(1, Stop()))
    with pytest.raises(OtherWork, match="another epochs"):
        run(keys=keys, epochs=3)


def test_the_state_is_whole_or_the_one_before(run: Run, begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that runs full while it is written, wherever the folder for temporary files lies."""
    before = (begun / "last.ckpt").read_bytes()
    save = torch.save

    def full(thing: Any, file: Any, *arguments: Any, **options: Any) -> None:
        save(thing, file, *arguments, **options)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(OSError, match="No space left"):
            run(epochs=2)
    assert (begun / "last.ckpt").read_bytes() == before
    assert run(epochs=2).resumed_after == 1


@pytest.fixture
def own_set(tmp_path: Path, small_set: Path) -> Path:
    """A copy of the small set at 8 m, to be changed."""
    shutil.copytree(small_set / "DFC30_8m", tmp_path / "own" / "DFC30_8m")
    return tmp_path / "own"


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """Weights to begin with."""
    info = WeightsInfo(name="start", sha256="", inputs=("image",), num_feature=4, licence="CC0", simulated=True)
    save_network(identity_checkpoint(("image",)), tmp_path / "start.safetensors", info)
    return tmp_path / "start.safetensors"


def test_what_is_finished_needs_neither_data_nor_first_weights(run: Run, own_set: Path, start: Path) -> None:
    first = run(data_root=str(own_set), start=str(start), epochs=1)
    shutil.rmtree(own_set)
    start.unlink()
    again = run(data_root=str(own_set), start=str(start), epochs=1)
    assert (again.already_done, again.best) == (True, first.best)


def test_first_weights_of_a_run_without_an_epoch_do_not_stay(run: Run, tmp_path: Path, start: Path) -> None:
    with pytest.raises(Stop):
        run(start=str(start), on_epoch=stop_after(0, Stop()))
    assert (tmp_path / "run" / "best.safetensors").exists()
    report = run(keys={"val_start_epoch": 9}, epochs=1)
    assert (report.best, Path(report.weights).name) == (None, "last.safetensors")
    assert not (tmp_path / "run" / "best.safetensors").exists()


def test_what_goes_on_does_not_need_the_first_weights(run: Run, tmp_path: Path, start: Path) -> None:
    run("whole", start=str(start))
    with pytest.raises(Stop):
        run(start=str(start), on_epoch=stop_after(1, Stop()))
    start.unlink()
    assert run(start=str(start)).resumed_after == 1
    assert load_network(tmp_path / "run" / "last.safetensors")[1].licence.endswith("CC0")
    for name in ("best.safetensors", "last.safetensors", "epochs.csv"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_other_first_weights_under_the_same_name_are_refused(run: Run, start: Path) -> None:
    run(start=str(start), epochs=1)
    network, info = load_network(start)
    torch.nn.init.ones_(next(network.parameters()))
    save_network(network, start, info)
    with pytest.raises(
        OtherWork, match=r"start\.safetensors holds other weights than those .* begun with: go on without --from"
    ):
        run(start=str(start))
    assert run(start=str(start), epochs=1, restart=True).resumed_after == 0


@pytest.mark.usefixtures("begun")
@pytest.mark.parametrize(
    ("city", "renamed", "sentence"),
    [("Angers", None, r"samples of train_set are not .* \(6 then, 5 now\)"),
     ("Caen", "7", r"samples of valid_set are not .* \(3 then, 3 others or changed ones now\)")],
)  # fmt: skip
def test_other_samples_are_refused(run: Run, own_set: Path, city: str, renamed: str | None, sentence: str) -> None:
    for path in (own_set / "DFC30_8m" / city).glob("*/2_*.tif"):
        path.rename(path.with_name(path.name.replace("2", renamed, 1))) if renamed else path.unlink()
    with pytest.raises(OtherWork, match=sentence):
        run(data_root=str(own_set))


@pytest.mark.usefixtures("begun")
def test_what_the_error_of_a_bad_file_advises_is_not_refused(run: Run, own_set: Path) -> None:
    stray = own_set / "DFC30_8m" / "Brest" / "COP30" / "notes.tif"
    stray.touch()
    with pytest.raises(BadTrainingSet, match="or set skip_incomplete: true"):
        run(data_root=str(own_set))
    assert run(data_root=str(own_set), keys={"skip_incomplete": True}).resumed_after == 1


@pytest.mark.usefixtures("begun")
@pytest.mark.parametrize(("layer", "refused"), [("RGEALTI", True), ("BDORTHO", True), ("FABDEM", False)])
def test_changed_pixels_are_refused_and_a_copy_goes_on(
    run: Run, tmp_path: Path, own_set: Path, layer: str, refused: bool
) -> None:
    """FABDEM lies in the set and is not trained on."""
    copy = own_set.rename(tmp_path / "moved")
    for path in copy.rglob("*.tif"):
        os.utime(path, ns=(0, 0))
    path = layer_path(copy / "DFC30_8m" / "Brest", "1", layer)
    before = path.read_bytes()
    with rasterio.open(path) as dataset:
        values = dataset.read()
    values[0, 0, 0] += 1
    rewrite(path, values)
    if refused:
        with pytest.raises(OtherWork, match=r"of train_set are not .* \(6 then, 6 others or changed ones now\)"):
            run(data_root=str(copy))
        path.write_bytes(before)
    assert run(data_root=str(copy)).resumed_after == 1


def test_restart_throws_nothing_away_where_the_data_are_gone(run: Run, begun: Path, own_set: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in begun.iterdir() if path.is_file()}
    shutil.rmtree(own_set / "DFC30_8m" / "Caen")
    with pytest.raises(BadTrainingSet):
        run(data_root=str(own_set), restart=True)
    assert {path.name: path.stat().st_mtime_ns for path in begun.iterdir() if path.is_file()} == before


def test_what_failed_before_an_epoch_was_whole_binds_nobody(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="train_batch_size"):
        run(keys={"train_batch_size": 7})
    assert not (tmp_path / "run").exists()
    with pytest.raises(TrainingDiverged, match="epoch 1"):
        run(keys={"optimizer": "SGD", "optimizer_kwargs": {"lr": 1e30}})
    assert run(epochs=1).resumed_after == 0


def test_patience_can_be_changed(run: Run, tmp_path: Path) -> None:
    """A longer one goes on as if it had been so from the beginning, a shorter one stops at once."""
    keys = {"epochs": 6, "optimizer_kwargs": {"lr": 1e-12}, "optimizer": "SGD", "val_border": 0.0}
    patient, impatient = {**keys, "early_stop": {"patience": 3}}, {**keys, "early_stop": {"patience": 1}}
    run("straight", keys=patient)
    assert run(keys=impatient).epochs < 4
    assert run(keys=impatient).already_done
    on = run(keys=patient)
    assert on.epochs > on.resumed_after > 0
    straight, now = (state_of(tmp_path / name) for name in ("straight", "run"))
    assert straight["callbacks"] == now["callbacks"]
    assert_same_tensors(straight["state_dict"], now["state_dict"])
    assert run(keys=impatient).epochs == on.epochs


def test_an_error_of_the_training_is_not_one_of_the_folder(run: Run) -> None:
    error = PermissionError(errno.EACCES, "no", "elsewhere")
    with pytest.raises(PermissionError) as caught:
        run(on_epoch=stop_after(1, error))
    assert caught.value is error


@pytest.mark.parametrize("inside", [False, True])
def test_a_file_in_place_of_the_folder(run: Run, tmp_path: Path, inside: bool) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputNotWritable, match=r"file.* cannot be written: (File exists|Not a directory)\."):
        run("file/run" if inside else "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_file_system_without_locks(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def acquire(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(FileLock, "acquire", acquire)
    with pytest.raises(OutputNotWritable, match="run has no locks: write to another"):
        run()
    assert not (tmp_path / "run").exists()

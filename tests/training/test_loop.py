"""Training from end to end on the small set."""

import csv
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from jspsr_cli.errors import InvalidConfig, InvalidOption, JspsrError, TrainingDiverged
from jspsr_cli.raster.products import SIMULATED_TAG
from jspsr_cli.training import keeping, losses, schedule
from jspsr_cli.training.config import TrainingConfig
from jspsr_cli.training.dfc30 import SampleSet, find_samples
from jspsr_cli.training.hardware import Hardware
from jspsr_cli.training.keeping import EpochReport
from jspsr_cli.training.start import weights_info
from jspsr_models import JSPSR, WeightsInfo, identity_checkpoint, load_network, save_network, to_released
from jspsr_models.errors import WeightsError
from tests.training.running import Run, Stop, assert_same_tensors, state_of, stop_after


def test_a_trained_network_is_better_than_its_input(run: Run) -> None:
    seen: list[EpochReport] = []
    shares: list[float] = []
    keys = {"input_data": {"COP30": 1, "image": 3, "mask": 15}, "optimizer_kwargs": {"lr": 0.01}, "epochs": 24,
            "val_num_visual": 1, "val_interval": 12}  # fmt: skip
    report = run(keys=keys, on_epoch=seen.append, progress=shares.append)
    last = seen[-1]
    assert last.metrics is not None
    assert last.input_rmse is not None
    assert last.metrics.rmse < 0.8 * last.input_rmse
    assert seen[-1].loss < seen[0].loss / 3
    assert [epoch.metrics is not None for epoch in seen] == [False] * 11 + [True] + [False] * 11 + [True]
    assert (report.epochs, report.best_epoch, report.best) == (24, 24, last.metrics.rmse)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    folder = Path(report.folder)
    sheets = sorted(path.name for path in (folder / "sheets").iterdir())
    assert sheets == ["epoch_0012.png", "epoch_0024.png"]
    with (folder / "epochs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == [str(i) for i in range(1, 25)]
    assert float(rows[-1]["val_rmse"]) == last.metrics.rmse
    assert list((folder / "tensorboard").glob("events*"))
    network, info = load_network(folder / "best.safetensors")
    assert info.inputs == ("image", "mask")
    assert (info.resolution, info.window, info.num_feature) == (8, 32, 4)
    assert info.trained_on.startswith("DFC30, 2 areas (Angers, Brest): COP30 to RGEALTI at 8 m")
    assert network.training is False


def test_resuming_gives_the_weights_of_an_uninterrupted_run(run: Run, tmp_path: Path) -> None:
    """Cut by Ctrl-C after the first epoch, and by an error after the second."""
    keys = {"epochs": 3, "scheduler": "StepLR", "scheduler_kwargs": {"step_size": 1}, "ema": 0.5,
            "early_stop": {"patience": 9}}  # fmt: skip
    run("whole", keys=keys)
    for epoch, error in ((1, KeyboardInterrupt()), (2, Stop())):
        with pytest.raises(type(error)):
            run("cut", keys=keys, on_epoch=stop_after(epoch, error))
        assert state_of(tmp_path / "cut")["epoch"] == epoch - 1
    report = run("cut", keys=keys)
    assert (report.resumed_after, report.epochs) == (2, 3)
    whole, cut = (state_of(tmp_path / name) for name in ("whole", "cut"))
    assert_same_tensors(whole["state_dict"], cut["state_dict"])
    for key, value in whole["optimizer_states"][0]["state"].items():
        assert_same_tensors(value, cut["optimizer_states"][0]["state"][key])
    for name in ("epochs.csv", "best.safetensors", "last.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes(), name
    assert whole["callbacks"] == cut["callbacks"]


def test_a_seed_decides_all(run: Run, tmp_path: Path) -> None:
    for name, seed, workers in (("a", 0, 0), ("b", 0, 1), ("c", 1, 0)):
        run(name, keys={"seed": seed, "epochs": 1, "workers": workers})
    a, b, c = (load_network(tmp_path / name / "last.safetensors")[0].state_dict() for name in "abc")
    assert_same_tensors(a, b)
    assert any(not torch.equal(a[name], c[name]) for name in a)


def test_every_epoch_has_its_learning_rate(run: Run, tmp_path: Path) -> None:
    rates: list[float] = []
    keys = {"epochs": 3, "scheduler": "StepLR", "scheduler_kwargs": {"step_size": 1, "gamma": 0.5}}
    run(keys=keys, on_epoch=lambda epoch: rates.append(epoch.learning_rate))
    assert rates == pytest.approx([1e-3, 5e-4, 2.5e-4])
    assert state_of(tmp_path / "run")["optimizer_states"][0]["param_groups"][0]["lr"] == 2.5e-4


def test_training_leaves_the_callers_random_numbers_alone(run: Run) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run(keys={"epochs": 1})
    assert torch.equal(torch.rand(3), expected)


def test_the_average_of_weights_is_what_is_kept(run: Run, tmp_path: Path) -> None:
    run(keys={"ema": 0.5, "epochs": 1})
    state = state_of(tmp_path / "run")["state_dict"]
    network = load_network(tmp_path / "run" / "best.safetensors")[0].state_dict()
    assert_same_tensors(network, {name: state[f"average.module.{name}"] for name in network})
    assert any(not torch.equal(network[name], state[f"network.{name}"]) for name in network)


def test_early_stopping(run: Run) -> None:
    keys = {"epochs": 9, "early_stop": {"patience": 2}, "optimizer_kwargs": {"lr": 1e-12}, "optimizer": "SGD",
            "val_start_epoch": 2, "model_kwargs": {"num_feature": 4, "checkpoint": None}}  # fmt: skip
    metrics: list[EpochReport] = []
    report = run(keys={**keys, "val_border": 0.0}, on_epoch=metrics.append)
    assert report.stopped_early
    assert report.epochs < 9
    assert metrics[0].metrics is None
    assert run(keys={**keys, "val_border": 0.0}).already_done


@pytest.mark.parametrize("released", [False, True])
def test_fine_tuning_begins_with_the_weights_given(run: Run, tmp_path: Path, released: bool) -> None:
    network = identity_checkpoint(("image",))
    path = tmp_path / ("start.pt" if released else "start.safetensors")
    if released:
        torch.save({"state_dict": to_released(network.state_dict()), "epoch": 9}, path)
    else:
        info = WeightsInfo(name="start", sha256="", inputs=("image",), num_feature=4, licence="CC0", simulated=True,
                           trained_on="noise")  # fmt: skip
        save_network(network, path, info)
    seen: list[EpochReport] = []
    run(start=str(path), keys={"epochs": 1, "optimizer_kwargs": {"lr": 1e-9}}, on_epoch=seen.append)
    assert seen[0].metrics is not None
    assert seen[0].metrics.rmse == pytest.approx(seen[0].input_rmse, abs=1e-3)  # the identity
    tuned, made = load_network(tmp_path / "run" / "last.safetensors")
    seen_batches = [int(value) for name, value in tuned.state_dict().items() if name.endswith("num_batches_tracked")]
    assert min(seen_batches) > 0  # it was trained as a network in training, not in evaluation
    assert "begun with start" in made.trained_on
    if not released:
        assert (made.licence, made.simulated) == ("Copernicus DEM: free of charge, with attribution | CC0", True)


def test_weights_of_other_guides_are_made_to_take_those_of_the_training(run: Run, tmp_path: Path) -> None:
    start = identity_checkpoint(("canopy",))
    path = tmp_path / "start.pt"
    torch.save(start.state_dict(), path)
    seen: list[tuple[EpochReport, WeightsInfo]] = []

    def look(epoch: EpochReport) -> None:
        seen.append((epoch, load_network(tmp_path / "run" / "best.safetensors")[1]))

    keys = {"epochs": 1, "optimizer_kwargs": {"lr": 1e-9}}
    report = run(start=str(path), keys=keys, on_epoch=look)
    sentence = "start was trained with canopy (to be learnt: image; left out: canopy)"
    assert sentence in report.warnings
    (before, best), _ = seen
    assert before.metrics is not None
    assert before.metrics.rmse == pytest.approx(before.input_rmse, abs=1e-3)  # still the identity
    assert best.trained_on.endswith(", made to take image")
    tuned, made = load_network(tmp_path / "run" / "last.safetensors")
    assert (best.inputs, made.inputs) == (("image",), ("image",))
    stem = "encoder.stems.dem.conv.weight"
    torch.testing.assert_close(tuned.state_dict()[stem], start.state_dict()[stem], atol=1e-6, rtol=0)
    further = run(keys=keys, epochs=2)
    assert (further.resumed_after, sentence in further.warnings) == (1, True)


def test_weights_of_another_width_are_refused(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "start.pt"
    torch.save(JSPSR(num_feature=8).state_dict(), path)
    with pytest.raises(InvalidConfig, match="is a network with num_feature = 8, and the training file asks for 4"):
        run(start=str(path))
    assert not (tmp_path / "run").exists()


class Spoiling(torch.optim.SGD):
    """Ruins the weights in the last step of the second epoch, after its loss was a number."""

    steps = 0

    def step(self, closure: Any = None) -> Any:
        loss = super().step(closure)
        Spoiling.steps += 1
        if Spoiling.steps == 6:
            self.param_groups[0]["params"][-1].data.fill_(math.nan)
        return loss


def test_weights_that_are_no_numbers_are_not_kept(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Spoiling, "steps", 0)
    monkeypatch.setitem(schedule.OPTIMIZERS, "SGD", lambda parameters, o: Spoiling(parameters, lr=o.lr))
    keys = {"optimizer": "SGD", "val_interval": 9}
    kept: dict[str, bytes] = {}

    def note(_: EpochReport) -> None:
        kept.update({name: (tmp_path / "run" / name).read_bytes() for name in ("last.ckpt", "last.safetensors")})

    with pytest.raises(TrainingDiverged, match="weights after epoch 2 are no numbers: the same command goes on from"):
        run(keys=keys, on_epoch=note)
    assert {name: (tmp_path / "run" / name).read_bytes() for name in kept} == kept
    assert state_of(tmp_path / "run")["epoch"] == 0
    assert run(keys=keys).resumed_after == 1


def test_weights_that_give_no_heights_are_not_kept(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predict = JSPSR.forward

    def forward(network: JSPSR, dem: torch.Tensor, **guides: torch.Tensor) -> torch.Tensor:
        return predict(network, dem, **guides) * (1 if torch.is_grad_enabled() else math.inf)

    monkeypatch.setattr(JSPSR, "forward", forward)
    with pytest.raises(TrainingDiverged, match="weights after epoch 1 give no heights: the same command goes on from"):
        run()
    assert not (tmp_path / "run" / "last.safetensors").exists()


@pytest.mark.parametrize(("first", "shown"), [(2, ["Caen/2"]), (438, ["Caen/0", "Caen/1"])])
def test_pictures_of_crops_that_are_not_there(
    run: Run, monkeypatch: pytest.MonkeyPatch, first: int, shown: list[str]
) -> None:
    pictured: list[str] = []
    monkeypatch.setattr(keeping, "picture_sheet", lambda _path, crops, **_: pictured.extend(crops))
    said: list[str] = []
    run(keys={"epochs": 1, "val_id_visual": first, "val_num_visual": 2}, on_warning=said.append)
    assert pictured == shown
    sentence = "val_id_visual is 438, and the validation set has 3 crops, counted from 0: the pictures begin with 0"
    assert (sentence in said) == (first == 438)


@pytest.mark.parametrize(
    ("extra", "keys", "words"),
    [
        ([], {}, ["train_batch_size is 2, too few", "patch_size is 32, and 6 pixels"]),
        (["notes.tif"], {"verbose": True, "skip_incomplete": True},
         ["verbose", "left out: ", "train_batch_size", "patch_size"]),
    ],
    ids=["plain", "more"],
)  # fmt: skip
def test_warnings_are_said_once_before_the_first_epoch(
    run: Run, tmp_path: Path, small_set: Path, extra: list[str], keys: dict[str, Any], words: list[str]
) -> None:
    shutil.copytree(small_set / "DFC30_8m", tmp_path / "set" / "DFC30_8m")
    for name in extra:
        (tmp_path / "set" / "DFC30_8m" / "Brest" / "COP30" / name).touch()
    said: list[str] = []
    with pytest.raises(Stop):
        run(keys=keys, data_root=str(tmp_path / "set"), on_warning=said.append, on_epoch=stop_after(1, Stop()))
    assert [word for word, warning in zip(words, said, strict=True) if word not in warning] == []
    again: list[str] = []
    report = run(keys=keys, data_root=str(tmp_path / "set"), on_warning=again.append)
    assert report.warnings == tuple(again) == tuple(said)


def weights_of(path: Path, network: JSPSR) -> str:
    torch.save(network.state_dict(), path)
    return str(path)


@pytest.mark.parametrize("better", [False, True])
def test_fine_tuning_never_gives_worse_weights_than_it_began_with(run: Run, tmp_path: Path, better: bool) -> None:
    """At a rate that ruins the identity, or at one that teaches it something: with all that makes learning slower."""
    start = weights_of(tmp_path / "start.pt", identity_checkpoint(("canopy",)))
    seen: list[EpochReport] = []
    keys: dict[str, Any] = {"epochs": 2, "optimizer_kwargs": {"lr": 3.0}}
    if better:
        keys = {"epochs": 4, "optimizer_kwargs": {"lr": 0.003}, "resolution": 3, "ema": 0.8, "precision": "bfloat16"}
    keys |= {"input_data": {"COP30": 1, "canopy": 1}, "val_start_epoch": 2}
    report = run(keys=keys, start=start, on_epoch=seen.append)
    assert [epoch.number for epoch in seen] == [*range(keys["epochs"] + 1)]
    first = seen[0].metrics
    assert first is not None
    assert first.rmse == pytest.approx(seen[0].input_rmse, abs=1e-3)
    assert report.epochs == keys["epochs"]
    made, info = load_network(report.weights)
    assert Path(report.weights).name == "best.safetensors"
    sentence = "no epoch was better than the weights that the run began with: best.safetensors holds those"
    if better:
        assert report.best_epoch > 0
        assert report.best is not None
        assert report.best < 0.9 * first.rmse
        assert sentence not in report.warnings
        return
    assert (report.best, report.best_epoch) == (first.rmse, 0)
    assert sentence in report.warnings
    assert_same_tensors(made.state_dict(), load_network(start)[0].state_dict())
    assert "DFC30" not in info.trained_on
    assert run(keys=keys, start=start).already_done


def test_weights_to_begin_with_that_give_no_heights(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = weights_of(tmp_path / "start.pt", identity_checkpoint(("image",)))
    monkeypatch.setattr(JSPSR, "forward", lambda _self, dem, **_: dem * math.nan)
    with pytest.raises(TrainingDiverged, match="weights to begin with give no heights: begin with others"):
        run(start=start)


def test_what_a_training_file_leaves_open_comes_from_the_weights(run: Run, tmp_path: Path) -> None:
    start = weights_of(tmp_path / "start.pt", JSPSR(inputs=("image",), num_feature=6, propagation=False))
    keys = {"model_kwargs": {}, "epochs": 1}
    report = run(keys=keys, start=start)
    network, info = load_network(report.weights)
    assert (network.num_feature, network.propagation) == (info.num_feature, info.propagation) == (6, False)
    assert run(keys=keys, start=start).already_done
    assert run(keys=keys, start=start, epochs=2).resumed_after == 1
    with pytest.raises(WeightsError, match=r"last\.ckpt is the state of a training; give best\.safetensors or last"):
        run("other", keys=keys, start=str(tmp_path / "run" / "last.ckpt"))


def test_weights_inherit_from_the_samples(config: Callable[..., TrainingConfig]) -> None:
    settings = config(input_data={"FABDEM": 1, "canopy": 1}, licence="MIT", attribution="me")
    network, samples = JSPSR(inputs=("canopy",), num_feature=3), find_samples(settings, settings.train_set)
    info = weights_info(settings, network, trained_on=samples, earlier=None)
    assert info.licence == "MIT | FABDEM: CC BY-NC-SA 4.0: what is derived from it inherits that"
    assert info.attribution.startswith("me | FABDEM V1-2, Hawker et al. 2022")
    assert not info.simulated
    later = weights_info(settings, network, trained_on=SampleSet((), 0, ()), earlier=info)
    assert later.licence == info.licence


def test_made_up_samples_are_of_no_product(config: Callable[..., TrainingConfig]) -> None:
    settings = config(input_data={"FABDEM": 1, "canopy": 1})
    found = find_samples(settings, settings.train_set)
    made_up = [replace(sample, dem=replace(sample.dem, tags={SIMULATED_TAG: "{}"})) for sample in found.samples]
    samples = replace(found, samples=tuple(made_up))
    info = weights_info(settings, JSPSR(inputs=("canopy",), num_feature=3), trained_on=samples, earlier=None)
    assert (info.licence, info.simulated) == ("not stated", True)


def test_a_loss_that_is_no_number_stops_with_the_batch(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(losses.LOSSES, "L1", lambda predicted, truth: (predicted - truth).mean() * math.nan)
    with pytest.raises(TrainingDiverged, match=r"epoch 1 is no number: look at the samples listed in .*\.json"):
        run()
    noted = json.loads((tmp_path / "run" / "diverged_batch.json").read_text())
    assert noted["epoch"] == 1
    assert len(noted["crops"]) == 2
    assert all(name.split("/")[0] in ("Angers", "Brest") for name in noted["crops"])
    assert not (tmp_path / "run" / "last.ckpt").exists()


@pytest.mark.parametrize(
    ("keys", "options", "error", "sentence"),
    [
        ({"train_batch_size": 7}, {}, InvalidConfig, r"has 6 crops, fewer than train_batch_size \(7\)"),
        ({"precision": "float16"}, {}, InvalidOption, "float16 is not for CPUs"),
        ({}, {"hardware": Hardware(device="cuda:77")}, InvalidOption, "'cuda:77' is not on this machine"),
        ({}, {"hardware": Hardware(device="cpu", strategy="magic")}, InvalidOption, "cannot run on that hardware"),
    ],
    ids=str,
)
def test_what_cannot_be_trained_is_said_before(
    run: Run, tmp_path: Path, keys: dict[str, Any], options: dict[str, Any], error: type[JspsrError], sentence: str
) -> None:
    with pytest.raises(error, match=sentence) as caught:
        run(keys=keys, **options)
    assert caught.value.exit_code == 2
    assert not (tmp_path / "run").exists()


def test_reduced_precision_keeps_heights_in_float32(run: Run, tmp_path: Path) -> None:
    """The identity network gives back the input exactly; half precision of heights would cost decimetres."""
    path = tmp_path / "start.pt"
    torch.save(identity_checkpoint(("image",)).state_dict(), path)
    seen: list[EpochReport] = []
    keys = {"precision": "bfloat16", "optimizer_kwargs": {"lr": 1e-9}, "epochs": 1}
    run(start=str(path), keys=keys, on_epoch=seen.append)
    assert seen[-1].metrics is not None
    assert seen[-1].metrics.rmse == pytest.approx(seen[-1].input_rmse, abs=1e-3)
    network = load_network(tmp_path / "run" / "last.safetensors")[0]
    assert {tensor.dtype for tensor in network.parameters()} == {torch.float32}
    assert np.isfinite(seen[-1].loss)

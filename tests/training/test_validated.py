"""`validate` and what its folder holds already: nothing is done twice, nothing of an earlier validation stays."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from jspsr_cli.errors import JspsrError, OtherWork, OutputExists, OutputNotWritable, PredictionFailed
from jspsr_cli.predict import WindowPredictor
from jspsr_cli.training.validated import ValidationReport
from jspsr_cli.training.validation import validate
from jspsr_models import JSPSR, WeightsInfo, identity_checkpoint, save_network
from tests.training.dataset import layer_path, make_set, write_config

Validate = Callable[..., ValidationReport]


@pytest.fixture(autouse=True)
def quick_plot(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in the plot is tested elsewhere, and drawing it takes longer than all the rest."""
    monkeypatch.setattr("jspsr_cli.training.validation.plot_errors", lambda path, *_, **__: path.touch())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_set(tmp_path / "set", samples=2)


@pytest.fixture
def run(tmp_path: Path, root: Path) -> Validate:
    """Return a function that validates a `network` on some `areas` into the folder `out`."""

    def run(*areas: str, network: JSPSR | None = None, **options: Any) -> ValidationReport:
        config = write_config(tmp_path / "c.yaml", root, train_set=["Angers"], valid_set=list(areas or ("Caen",)))
        info = WeightsInfo(name="mine", sha256="", inputs=("image",), num_feature=4)
        save_network(network or identity_checkpoint(), tmp_path / "mine.safetensors", info)
        weights = str(tmp_path / "mine.safetensors")
        return validate(config, weights=weights, **{"output": tmp_path / "out", "device": "cpu", **options})

    return run


def never(*_: Any) -> None:
    raise AssertionError


def listing(folder: Path) -> dict[str, int]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in files}


def predictions(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*_JSPSR.tif"))


@pytest.mark.parametrize("moved", [False, True])
def test_the_same_again_computes_nothing(
    run: Validate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: bool
) -> None:
    first, out = run(), tmp_path / "out"
    if moved:
        out = out.rename(tmp_path / "elsewhere")
    before = listing(out)
    monkeypatch.setattr(WindowPredictor, "scaled_heights", never)
    for options in ({}, {"predictions": False}):
        again = run(output=out, **options)
        assert again == replace(first, already_done=True, seconds=0.0, folder=str(out))
    assert not first.already_done
    assert listing(out) == before


@pytest.mark.parametrize("gone", ["metrics.csv", "distribution.png", "predictions/Caen/1_JSPSR.tif"])
def test_what_is_missing_is_made_again(run: Validate, tmp_path: Path, gone: str) -> None:
    run()
    (tmp_path / "out" / gone).unlink()
    assert not run().already_done
    assert (tmp_path / "out" / gone).exists()
    assert run().already_done


def test_predictions_that_were_not_wanted_are_made_later(run: Validate, tmp_path: Path) -> None:
    run(predictions=False)
    assert run().predictions == 2
    assert predictions(tmp_path / "out") == ["predictions/Caen/0_JSPSR.tif", "predictions/Caen/1_JSPSR.tif"]


def other_weights(run: Validate, _root: Path, **options: Any) -> ValidationReport:
    return run(network=JSPSR(num_feature=4).eval(), **options)


def other_areas(run: Validate, _root: Path, **options: Any) -> ValidationReport:
    return run("Brest", **options)


def other_pixels(run: Validate, root: Path, **options: Any) -> ValidationReport:
    os.utime(layer_path(root / "DFC30_8m" / "Caen", "1", "FABDEM"), ns=(0, 0))
    return run(**options)


@pytest.mark.parametrize(
    ("change", "what"), [(other_weights, "weights"), (other_areas, "valid_set, samples"), (other_pixels, "samples")]
)
def test_another_validation_is_refused_and_restart_leaves_nothing_of_it(
    run: Validate, root: Path, tmp_path: Path, change: Callable[..., ValidationReport], what: str
) -> None:
    run()
    out = tmp_path / "out"
    beside = out / "predictions" / "Caen" / "0_JSPSR.tif.aux.xml"  # the statistics of a GIS
    beside.touch()
    (out / "predictions" / "Caen" / "style.qml").touch()
    before = listing(out)
    with pytest.raises(OtherWork, match=f"holds a validation that differs in {what}: give another --output, or"):
        change(run, root)
    assert listing(out) == before
    report = change(run, root, restart=True)
    assert not report.already_done
    city = "Brest" if change is other_areas else "Caen"
    assert predictions(out) == [f"predictions/{city}/0_JSPSR.tif", f"predictions/{city}/1_JSPSR.tif"]
    assert not beside.exists()
    assert (out / "predictions" / "Caen" / "style.qml").exists()  # not ours


@pytest.mark.parametrize("areas", [("Caen", "Brest"), ("Brest",)], ids=str)
def test_what_was_broken_off_is_begun_anew(
    run: Validate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, areas: tuple[str, ...]
) -> None:
    calls = iter(range(9))

    def fails_at_last(dem: torch.Tensor) -> torch.Tensor:
        return dem * (torch.nan if next(calls) == 3 else 1)

    with monkeypatch.context() as patch:
        patch.setattr(JSPSR, "forward", lambda _self, dem, **_: fails_at_last(dem))
        with pytest.raises(PredictionFailed):
            run("Caen", "Brest")
    assert len(predictions(tmp_path / "out")) == 3
    assert not (tmp_path / "out" / "metrics.csv").exists()
    report = run(*areas)
    assert not report.already_done
    assert predictions(tmp_path / "out") == sorted(
        f"predictions/{city}/{number}_JSPSR.tif" for city in areas for number in (0, 1)
    )


def test_a_damaged_record_is_begun_anew(run: Validate, tmp_path: Path) -> None:
    run()
    (tmp_path / "out" / "validation.json").write_text("{")
    assert not run().already_done


@pytest.mark.parametrize("name", ["notes.txt", "predictions"])
def test_a_folder_of_something_else_is_left_alone(run: Validate, tmp_path: Path, name: str) -> None:
    (tmp_path / "out" / name).mkdir(parents=True)
    for restart in (False, True):
        with pytest.raises(OutputExists, match=f"holds {name}, which no validation wrote: give another --output"):
            run(restart=restart)
    assert list(listing(tmp_path / "out")) == []


def test_a_folder_that_cannot_be_made(run: Validate, tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(OutputNotWritable, match="out cannot be written: ") as error:
        run()
    assert isinstance(error.value, JspsrError)
    assert error.value.exit_code == 2

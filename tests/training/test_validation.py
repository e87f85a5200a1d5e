"""`validate` on the small set: what is compared, tables, plot and predictions."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch

from jspsr_cli.errors import GuideMismatch
from jspsr_cli.training.validation import ValidationReport, validate
from jspsr_models import JSPSR, WeightsInfo, identity_checkpoint, save_network
from tests.scenes import Array, heights_of
from tests.training.dataset import PATCH, layer_path, write_config


def weights(folder: Path, network: JSPSR, **fields: object) -> str:
    known = {"name": "mine", "sha256": "", "inputs": network.inputs, "num_feature": 4, "licence": "CC0",
             "trained_on": "noise"}  # fmt: skip
    save_network(network, folder / "mine.safetensors", WeightsInfo(**{**known, **fields}))  # type: ignore[arg-type]
    return str(folder / "mine.safetensors")


def errors_inside(report_set: Path, layer: str, sample: str, cut: int) -> Array:
    city = report_set / "DFC30_8m" / "Caen"
    difference = heights_of(layer_path(city, sample, layer)) - heights_of(layer_path(city, sample, "RGEALTI"))
    return difference[cut:-cut, cut:-cut].ravel()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("validated")


@pytest.fixture(scope="module")
def report(folder: Path, small_set: Path) -> ValidationReport:
    """The identity on two cities at 8 m."""
    config = write_config(folder / "c.yaml", small_set, train_set=["Angers"], valid_set=["Caen", "Brest"])
    return validate(config, weights=weights(folder, identity_checkpoint()), output=folder / "out", device="cpu")


def test_all_sources_places_and_protocols_are_there(report: ValidationReport) -> None:
    assert (report.samples, report.crops, report.predictions) == (6, 6, 6)
    found = [(line.place, line.source, line.protocol) for line in report.lines]
    assert found == [
        (place, source, protocol)
        for place in ("Caen", "Brest", "overall")
        for source in ("network", "input", "FABDEM", "FATHOM")
        for protocol in ("per sample", "pooled")
    ]
    assert {line.samples for line in report.lines if line.place == "overall"} == {6}
    assert {line.samples for line in report.lines if line.place == "Caen"} == {3}


@pytest.mark.parametrize(("source", "layer"), [("network", "COP30"), ("input", "COP30"), ("FABDEM", "FABDEM")])
def test_metrics_are_those_of_the_rasters(report: ValidationReport, small_set: Path, source: str, layer: str) -> None:
    cut = int(0.05 * PATCH)
    errors = [errors_inside(small_set, layer, str(i), cut) for i in range(3)]
    lines = {line.protocol: line.metrics for line in report.lines if (line.place, line.source) == ("Caen", source)}
    assert lines["pooled"].rmse == pytest.approx(np.sqrt(np.mean(np.square(errors))), abs=1e-3)
    assert lines["pooled"].le95 == pytest.approx(np.percentile(np.abs(errors), 95), abs=1e-2)
    rmse = np.mean([np.sqrt(np.mean(np.square(one))) for one in errors])
    assert lines["per sample"].rmse == pytest.approx(rmse, abs=1e-3)


def test_tables_and_plot(report: ValidationReport, folder: Path) -> None:
    stored = json.loads((folder / "out" / "metrics.json").read_text())
    with (folder / "out" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(stored["metrics"]) == len(report.lines)
    assert (stored["weights"], len(stored["sha256"])) == ("mine", 64)
    assert [float(row["rmse"]) for row in rows] == [line.metrics.rmse for line in report.lines]
    assert (folder / "out" / "distribution.png").read_bytes().startswith(b"\x89PNG")


def test_predictions_lie_where_their_samples_lie(report: ValidationReport, folder: Path, small_set: Path) -> None:
    del report
    path = folder / "out" / "predictions" / "Caen" / "1_JSPSR.tif"
    sample = layer_path(small_set / "DFC30_8m" / "Caen", "1", "COP30")
    with rasterio.open(path) as made, rasterio.open(sample) as given:
        assert (made.transform, made.crs, made.shape) == (given.transform, given.crs, given.shape)
        tags = made.tags()
    assert (tags["JSPSR_WEIGHTS"], tags["JSPSR_WEIGHTS_LICENCE"]) == ("mine", "CC0")
    assert (tags["JSPSR_INPUT_DEM"], tags["JSPSR_INPUT_IMAGE"]) == ('["1_COP30.tif"]', '["1_BDORTHO.tif"]')
    assert "Copernicus" in tags["JSPSR_ATTRIBUTION"]
    np.testing.assert_allclose(heights_of(path), heights_of(sample), atol=2e-3)


def test_tiles_at_3m_become_one_prediction_again(tmp_path: Path, small_set: Path) -> None:
    config = write_config(tmp_path / "c.yaml", small_set, resolution=3, valid_batch_size=3)
    shares: list[float] = []
    network = weights(tmp_path, identity_checkpoint(), resolution=3.0, height_range=(-80.0, 933.0))
    report = validate(config, weights=network, output=tmp_path / "out", device="cpu", progress=shares.append)
    assert (report.samples, report.crops, report.lines[0].samples) == (1, 4, 4)
    assert shares == [1.0]
    made = heights_of(tmp_path / "out" / "predictions" / "Caen" / "0_JSPSR.tif")
    given = heights_of(layer_path(small_set / "DFC30_3m" / "Caen", "0", "COP30"))
    np.testing.assert_allclose(made, given, atol=2e-3)
    plain = validate(config, weights=network, output=tmp_path / "bare", device="cpu", predictions=False)
    assert not (tmp_path / "bare" / "predictions").exists()
    assert plain.lines == report.lines


def test_a_set_without_other_elevation_models(tmp_path: Path, small_set: Path) -> None:
    root = tmp_path / "DFC30_8m" / "Caen"
    root.mkdir(parents=True)
    for layer in ("COP30", "BDORTHO", "RGEALTI"):
        (root / layer).symlink_to(small_set / "DFC30_8m" / "Caen" / layer)
    config = write_config(tmp_path / "c.yaml", tmp_path)
    network = weights(tmp_path, identity_checkpoint())
    report = validate(config, weights=network, output=tmp_path / "out", device="cpu", predictions=False)
    assert {line.source for line in report.lines} == {"network", "input"}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"resolution": 3.0}, r"another resolution \(3.0\) than the training file \(8.0\)"),
        ({"resolution": 8.0, "height_range": (-80.0, 500.0)}, "another range of heights"),
        ({"inputs": ("canopy",)}, r"another inputs \(canopy\) than the training file \(image\)"),
    ],
    ids=str,
)
def test_weights_for_something_else_are_refused(
    tmp_path: Path, small_set: Path, fields: dict[str, object], sentence: str
) -> None:
    network = identity_checkpoint(fields.get("inputs", ("image",)))  # type: ignore[arg-type]
    config = write_config(tmp_path / "c.yaml", small_set)
    with pytest.raises(GuideMismatch, match=sentence):
        validate(config, weights=weights(tmp_path, network, **fields), output=tmp_path / "out", device="cpu")
    assert not (tmp_path / "out").exists()


def test_weights_that_are_worth_nothing_are_still_compared(tmp_path: Path, small_set: Path) -> None:
    network = JSPSR(num_feature=4).eval()
    with torch.no_grad():
        network.output.get_parameter("step.bias").fill_(50.0)
    config = write_config(tmp_path / "c.yaml", small_set)
    report = validate(config, weights=weights(tmp_path, network), output=tmp_path / "out", device="cpu")
    assert report.lines[0].metrics.rmse > 100

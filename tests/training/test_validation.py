"""`validate` on the small set: what is compared, tables, plot and predictions."""

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch

from jspsr_cli import EnhanceOptions, enhance
from jspsr_cli.errors import GuideMismatch, PredictionFailed, ReadFailed
from jspsr_cli.raster.samples import SamplePixels
from jspsr_cli.training.dfc30 import Sample
from jspsr_cli.training.validated import ValidationReport
from jspsr_cli.training.validation import validate
from jspsr_models import JSPSR, WeightsInfo, identity_checkpoint, save_network
from tests.scenes import Array, heights_of
from tests.training.dataset import PATCH, SIDES, layer_path, make_set, rewrite, write_config


def weights(folder: Path, network: JSPSR, **fields: object) -> str:
    known = {"name": "mine", "sha256": "", "inputs": network.inputs, "num_feature": 4, "licence": "CC0",
             "trained_on": "noise"}  # fmt: skip
    save_network(network, folder / "mine.safetensors", WeightsInfo(**{**known, **fields}))  # type: ignore[arg-type]
    return str(folder / "mine.safetensors")


def tags_of(path: Path) -> dict[str, str]:
    with rasterio.open(path) as dataset:
        tags: dict[str, str] = dataset.tags()
        return tags


def errors_inside(report_set: Path, layer: str, sample: str, cut: int) -> Array:
    city = report_set / "DFC30_8m" / "Caen"
    difference = heights_of(layer_path(city, sample, layer)) - heights_of(layer_path(city, sample, "RGEALTI"))
    return difference[cut:-cut, cut:-cut].ravel()


def assert_inside(made: Array, given: Array) -> None:
    """The same heights, but for six unreliable pixels at each edge, which are void."""
    inside = np.s_[..., 6:-6, 6:-6]
    np.testing.assert_allclose(made[inside], given[inside], atol=2e-3)
    assert np.isnan(made).sum() == made.size - made[inside].size


@pytest.fixture(autouse=True)
def quick_plot(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is drawn once, in `report`: drawing it takes longer than all the rest."""
    monkeypatch.setattr("jspsr_cli.training.validation.plot_errors", lambda path, *_, **__: path.touch())


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
    assert {line.pixels for line in report.lines if line.place == "Caen"} == {3 * (PATCH - 2) ** 2}


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
    assert [float(row["rmse_m"]) for row in rows] == [line.metrics.rmse for line in report.lines]
    assert (folder / "out" / "distribution.png").read_bytes().startswith(b"\x89PNG")


def test_predictions_lie_where_their_samples_lie(report: ValidationReport, folder: Path, small_set: Path) -> None:
    del report
    path = folder / "out" / "predictions" / "Caen" / "1_JSPSR.tif"
    sample = layer_path(small_set / "DFC30_8m" / "Caen", "1", "COP30")
    with rasterio.open(path) as made, rasterio.open(sample) as given:
        assert (made.transform, made.crs, made.shape) == (given.transform, given.crs, given.shape)
    assert_inside(heights_of(path), heights_of(sample))


def test_predictions_carry_the_tags_of_enhance(
    report: ValidationReport, folder: Path, small_set: Path, tmp_path: Path
) -> None:
    del report
    city, made = small_set / "DFC30_8m" / "Caen", folder / "out" / "predictions" / "Caen" / "1_JSPSR.tif"
    dem, image = layer_path(city, "1", "COP30"), layer_path(city, "1", "BDORTHO")
    options = EnhanceOptions(device="cpu", window=PATCH, overlap=0.5, like=str(dem))
    enhance(dem, image=[image], weights=str(folder / "mine.safetensors"), output=tmp_path / "e.tif", options=options)
    wanted, found = (tags_of(path) for path in (tmp_path / "e.tif", made))
    assert "Copernicus" in found["JSPSR_ATTRIBUTION"]
    assert "EGM2008" in found["JSPSR_VERTICAL_DATUM"]
    assert json.loads(found.pop("JSPSR_OPTIONS")) == {"resolution": 8.0, "window": PATCH, "precision": "float32"}
    del wanted["JSPSR_OPTIONS"]
    assert found == wanted


@pytest.mark.parametrize("dem", ["FABDEM", "FATHOM"])
def test_share_alike_is_passed_on_to_predictions(tmp_path: Path, small_set: Path, dem: str) -> None:
    config = write_config(tmp_path / "c.yaml", small_set, input_data={dem: 1, "image": 3})
    network = weights(tmp_path, identity_checkpoint(), simulated=True)
    report = validate(config, weights=network, output=tmp_path / "out", device="cpu")
    assert "CC BY-NC-SA 4.0" in tags_of(tmp_path / "out" / "predictions" / "Caen" / "1_JSPSR.tif")["JSPSR_LICENCE"]
    assert report.warnings == ("the weights were trained on simulated scenes",)


def test_tiles_at_3m_become_one_prediction_again(tmp_path: Path, small_set: Path) -> None:
    config = write_config(tmp_path / "c.yaml", small_set, resolution=3, valid_batch_size=3)
    shares: list[float] = []
    network = weights(tmp_path, identity_checkpoint(), resolution=3.0, height_range=(-80.0, 933.0))
    report = validate(config, weights=network, output=tmp_path / "out", device="cpu", progress=shares.append)
    assert (report.samples, report.crops, report.lines[0].samples) == (1, 4, 4)
    assert shares == [1.0]
    made = heights_of(tmp_path / "out" / "predictions" / "Caen" / "0_JSPSR.tif")
    given = heights_of(layer_path(small_set / "DFC30_3m" / "Caen", "0", "COP30"))
    assert_inside(made, given)
    plain = validate(config, weights=network, output=tmp_path / "bare", device="cpu", predictions=False)
    assert not (tmp_path / "bare" / "predictions").exists()
    assert plain.lines == report.lines
    tags = tags_of(tmp_path / "out" / "predictions" / "Caen" / "0_JSPSR.tif")
    assert json.loads(tags["JSPSR_OPTIONS"])["overlap"] == 12


@pytest.mark.parametrize("resolution", SIDES)
def test_a_sample_is_read_once(
    tmp_path: Path, small_set: Path, monkeypatch: pytest.MonkeyPatch, resolution: int
) -> None:
    plain, reads = Sample.read, Counter[str]()

    def read(self: Sample) -> SamplePixels:
        reads[self.name] += 1
        return plain(self)

    monkeypatch.setattr(Sample, "read", read)
    config = write_config(tmp_path / "c.yaml", small_set, resolution=resolution, valid_batch_size=5)
    network = weights(tmp_path, identity_checkpoint())
    report = validate(config, weights=network, output=tmp_path / "out", device="cpu", predictions=False)
    assert (len(reads), max(reads.values())) == (report.samples, 1)


def test_batches_go_on_from_sample_to_sample(tmp_path: Path, small_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def seen(dem: torch.Tensor) -> torch.Tensor:
        sizes.append(len(dem))
        return dem

    monkeypatch.setattr(JSPSR, "forward", lambda _self, dem, **_: seen(dem))
    monkeypatch.setattr("jspsr_cli.predict.OnCpu", lambda network: network)  # which takes a batch apart
    config = write_config(tmp_path / "c.yaml", small_set, resolution=3, valid_set=["Caen", "Brest"],
                          train_set=["Angers"], valid_batch_size=3)  # fmt: skip
    report = validate(config, weights=weights(tmp_path, JSPSR(num_feature=4)), output=tmp_path / "out", device="cpu")
    assert sizes == [3, 3, 2]
    assert [line.samples for line in report.lines if line.source == "network"] == [4, 4, 4, 4, 8, 8]
    for city in ("Caen", "Brest"):
        made = heights_of(tmp_path / "out" / "predictions" / city / "0_JSPSR.tif")
        given = heights_of(layer_path(small_set / "DFC30_3m" / city, "0", "COP30"))
        assert_inside(made, given)


def test_a_device_that_is_too_small(tmp_path: Path, small_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(JSPSR, "forward", full)
    config = write_config(tmp_path / "c.yaml", small_set, valid_batch_size=2)
    with pytest.raises(PredictionFailed, match=r"one window: use a smaller patch_size in the training file, or"):
        validate(config, weights=weights(tmp_path, identity_checkpoint()), output=tmp_path / "out", device="cpu")


def test_what_is_beyond_the_scale_is_a_warning(tmp_path: Path) -> None:
    root = make_set(tmp_path, samples=1)
    for layer, value, count in (("CHM", 90, 5), ("RGEALTI", -500, 3), ("COP30", 8000, 2)):
        path = layer_path(root / "DFC30_8m" / "Caen", "0", layer)
        with rasterio.open(path) as dataset:
            values = dataset.read()
        values[:, 3, :count] = value
        rewrite(path, values)
    config = write_config(tmp_path / "c.yaml", root, input_data={"COP30": 1, "canopy": 1})
    network = weights(tmp_path, identity_checkpoint(("canopy",)))
    (warning,) = validate(config, weights=network, output=tmp_path / "out", device="cpu").warnings
    for count in (5, 3, 2):
        assert f"{count} pixels of" in warning


def test_warnings_are_said_before_an_error(tmp_path: Path, small_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(JSPSR, "forward", lambda _self, dem, **_: dem * torch.nan)
    config = write_config(tmp_path / "c.yaml", small_set, verbose=True)
    network, said = weights(tmp_path, identity_checkpoint(), simulated=True), list[str]()
    with pytest.raises(PredictionFailed):
        validate(config, weights=network, output=tmp_path / "out", device="cpu", on_warning=said.append)
    assert [warning.split(": ")[-1] for warning in said] == ["verbose", "the weights were trained on simulated scenes"]


def test_a_truth_without_a_valid_pixel(tmp_path: Path) -> None:
    root = make_set(tmp_path, samples=1)
    rewrite(layer_path(root / "DFC30_8m" / "Caen", "0", "RGEALTI"), np.full((PATCH, PATCH), -9999, dtype=np.float32))
    config = write_config(tmp_path / "c.yaml", root)
    with pytest.raises(ReadFailed, match="No sample of Caen has a valid pixel"):
        validate(config, weights=weights(tmp_path, identity_checkpoint()), output=tmp_path / "out", device="cpu")


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
        ({"resolution": 3.0}, r"are for the resolution 3.0, and the training file is for 8.0"),
        ({"resolution": 8.0, "height_range": (-80.0, 500.0)}, "are for the range of heights"),
        ({"inputs": ("canopy",)}, r"are for the inputs canopy, and the training file is for image"),
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

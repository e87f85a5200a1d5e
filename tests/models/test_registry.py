"""The registry and the cache."""

import dataclasses
from pathlib import Path

import pytest

from jspsr_models import load_network
from jspsr_models.errors import UnknownWeights, WeightsNotPulled
from jspsr_models.inputs import VALID_INPUTS
from jspsr_models.registry import REGISTRY, WeightsEntry, weights_dir
from jspsr_models.weights import locate, pull

NAME = "tiny"

pytestmark = pytest.mark.usefixtures("cache")


def test_the_authors_checkpoints_are_known() -> None:
    released = {name: entry for name, entry in REGISTRY.items() if entry.drive_id}
    assert len(released) == 4
    assert len({entry.drive_id for entry in released.values()}) == 4
    for name, entry in released.items():
        info = entry.info
        assert info.name == name
        assert info.inputs in VALID_INPUTS
        assert f"{info.resolution:g}m" in name
        assert info.height_range == (-80.0, 929.0 if info.resolution == 8 else 933.0)
        assert (info.num_feature, info.window, info.propagation, info.simulated) == (32, 128, True, False)
        assert "no licence" in info.licence
    assert [entry.rmse for entry in released.values()] == [1.1087, 1.0741, 1.1197, 1.1150]


def test_the_cache_is_where_it_is_told_to_be(
    cache: Path, entry: WeightsEntry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert weights_dir() == cache
    assert entry.path == cache / "tiny.pt"
    monkeypatch.delenv("JSPSR_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    assert "jspsr" in weights_dir().parts
    packaged = dataclasses.replace(entry, drive_id=None, package_file="py.typed")
    assert packaged.path.is_file()


def test_names_that_are_not_known_or_not_here() -> None:
    with pytest.raises(WeightsNotPulled, match=r"run: jspsr weights pull tiny\.$"):
        load_network(NAME)
    with pytest.raises(UnknownWeights, match=r"no weights file jspsr-80m exists.*\(tiny\)\.$"):
        locate("jspsr-80m")
    with pytest.raises(UnknownWeights, match="no weights are called jspsr-80m"):
        pull("jspsr-80m")


def test_first_use_records_a_file_that_was_put_there_by_hand(cache: Path, checkpoint: bytes) -> None:
    cache.mkdir()
    (cache / "tiny.pt").write_bytes(checkpoint)
    info = load_network(NAME)[1]
    assert (cache / "tiny.pt.sha256").read_text() == f"{info.sha256}  tiny.pt\n"

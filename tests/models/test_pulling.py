"""Pulling from a real server that can be told to misbehave."""

import dataclasses
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

import pytest
import torch

from jspsr_models import JSPSR, WeightsError, load_network, to_released, weights
from jspsr_models.download import download_url
from jspsr_models.errors import DownloadFailed, WeightsChanged, WeightsNotWritten
from jspsr_models.registry import WeightsEntry
from jspsr_models.weights import pull, recorded_sha256

FillNetwork = Callable[..., JSPSR]
NAME = "tiny"

pytestmark = pytest.mark.usefixtures("cache")


class Server(ThreadingHTTPServer):
    """Answers `/<id>` with `content`, in the way that `mode` says."""

    content = b""
    mode = "good"
    requests = 0
    daemon_threads = True


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests += 1
        mode, content = self.server.mode, self.server.content
        if mode == "missing" or self.path != "/drive-id":
            self.send_error(404)
            return
        self.send_response(200)
        if mode == "html":
            content = b"<!DOCTYPE html><html>Quota exceeded</html>"
        self.send_header("Content-Type", "text/html; charset=utf-8" if mode == "html" else "application/octet-stream")
        if mode != "unannounced":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if mode == "cut" else content)

    def log_message(self, *_args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server(checkpoint: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as server:
        server.content = checkpoint
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("JSPSR_WEIGHTS_URL", f"http://127.0.0.1:{server.server_port}/{{id}}")
        monkeypatch.setenv("no_proxy", "*")
        yield server
        server.shutdown()
        thread.join()


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# Pulling


@pytest.mark.parametrize("mode", ["good", "unannounced"])
def test_pull_once_and_load_by_name(server: Server, cache: Path, checkpoint: bytes, mode: str) -> None:
    server.mode = mode
    reports: list[tuple[int, int | None]] = []
    path = pull(NAME, progress=lambda done, total: reports.append((done, total)))
    assert path == cache / "tiny.pt"
    assert path.read_bytes() == checkpoint
    assert reports[-1] == (len(checkpoint), None if mode == "unannounced" else len(checkpoint))
    assert files(cache) == ["tiny.pt", "tiny.pt.sha256"]
    info = load_network(NAME)[1]
    assert info.sha256 == recorded_sha256(path)
    assert (info.name, info.resolution, info.window) == (NAME, 8.0, 128)
    assert pull(NAME) == path
    assert server.requests == 1


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("missing", "answers 404"),
        ("cut", "broke off after"),
        ("html", "answers with a web page"),
    ],
)
def test_a_failed_download_is_a_sentence_and_leaves_nothing(
    server: Server, cache: Path, mode: str, message: str
) -> None:
    server.mode = mode
    with pytest.raises(DownloadFailed, match=message) as caught:
        pull(NAME)
    assert str(caught.value).endswith(".")
    assert caught.value.exit_code == 1
    assert files(cache) == []
    server.mode = "good"
    assert pull(NAME).exists()


def other_network(_checkpoint: bytes, fill_network: FillNetwork, path: Path) -> bytes:
    torch.save(to_released(fill_network(num_feature=5).state_dict()), path)
    return path.read_bytes()


def html_as_binary(*_args: Any) -> bytes:
    return b"<html>virus scan warning</html>"


def truncated(checkpoint: bytes, *_args: Any) -> bytes:
    return checkpoint[:-1000]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (other_network, "num_feature = 5, but the registry says 4"),
        (html_as_binary, "is a web page"),
        (truncated, "damaged"),
        (lambda *_args: b"", "is empty"),
    ],
)
def test_what_is_not_the_weights_is_not_kept(
    server: Server,
    cache: Path,
    checkpoint: bytes,
    fill_network: FillNetwork,
    tmp_path: Path,
    make: Callable[..., bytes],
    message: str,
) -> None:
    server.content = make(checkpoint, fill_network, tmp_path / "other.pt")
    with pytest.raises(DownloadFailed, match=f"what was downloaded for tiny.*{message}"):
        pull(NAME)
    assert files(cache) == []


def test_a_file_changed_after_it_was_recorded_is_refused(
    server: Server, cache: Path, fill_network: FillNetwork
) -> None:
    path = pull(NAME)
    torch.save(to_released(fill_network(seed=6).state_dict()), path)
    changed = path.read_bytes()
    with pytest.raises(WeightsChanged, match="as recorded"):
        load_network(NAME)
    path.unlink()
    assert pull(NAME) == path  # the server still has what was recorded
    path.unlink()
    server.content = changed
    with pytest.raises(DownloadFailed, match="as recorded"):
        pull(NAME)
    assert files(cache) == ["tiny.pt.sha256"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_not_blamed_on_the_network(server: Server) -> None:
    with (
        pytest.raises(WeightsNotWritten, match="/dev/full cannot be written"),
        open("/dev/full", "wb", buffering=0) as full,
    ):
        download_url(f"http://127.0.0.1:{server.server_port}/drive-id", full)


def test_a_pinned_checksum_goes_before_a_recorded_one(
    server: Server, cache: Path, entry: WeightsEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned = dataclasses.replace(entry, info=dataclasses.replace(entry.info, sha256="ab" * 32))
    monkeypatch.setattr(weights, "REGISTRY", MappingProxyType({NAME: pinned}))
    with pytest.raises(DownloadFailed, match="not abababababab"):
        pull(NAME)
    assert files(cache) == []
    assert server.requests == 1


def test_pulling_at_once_is_safe(server: Server, cache: Path, checkpoint: bytes) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert {path.read_bytes() for path in pool.map(pull, [NAME] * 4)} == {checkpoint}
    assert files(cache) == ["tiny.pt", "tiny.pt.sha256"]
    assert server.requests >= 1


def test_an_interrupted_pull_leaves_nothing(server: Server, cache: Path) -> None:
    def interrupt(_done: int, _total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull(NAME, progress=interrupt)
    assert files(cache) == []
    assert server.requests == 1


def test_a_cache_that_cannot_be_written_is_a_sentence(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("JSPSR_CACHE", str(tmp_path / "file"))
    with pytest.raises(WeightsNotWritten, match=r"cannot be written.*set JSPSR_CACHE") as caught:
        pull(NAME)
    assert caught.value.exit_code == 1
    assert server.requests == 0


def test_a_record_that_cannot_be_read_is_known_before_the_download(server: Server, cache: Path) -> None:
    cache.mkdir()
    (cache / "tiny.pt.sha256").write_text("nothing")
    with pytest.raises(WeightsError, match="holds no sha256") as caught:
        pull(NAME)
    assert caught.value.exit_code == 2
    assert server.requests == 0


def test_a_body_without_end_is_cut_off(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jspsr_models.download.MAX_BYTES", 1000)
    for mode in ("good", "unannounced"):
        server.mode = mode
        with pytest.raises(DownloadFailed, match="no checkpoint of this network"):
            pull(NAME)
    assert files(cache) == []


@pytest.mark.parametrize(
    ("url", "message", "exit_code"),
    [
        ("file:///etc/{id}", "over http or https", 2),
        ("http://127.0.0.1:9/{id}", "could not be downloaded", 1),
        ("http://[broken/{id}", "could not be downloaded", 1),
    ],
)
def test_mirrors_that_cannot_work(
    cache: Path, monkeypatch: pytest.MonkeyPatch, url: str, message: str, exit_code: int
) -> None:
    monkeypatch.setenv("JSPSR_WEIGHTS_URL", url)
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(WeightsError, match=message) as caught:
        pull(NAME)
    assert caught.value.exit_code == exit_code
    assert files(cache) == []


# The public drive, behind gdown


def test_the_drive_is_asked_by_id(checkpoint: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def download(*, output: BinaryIO, progress: Callable[[int, int | None], None], **options: Any) -> None:
        asked.update(options)
        output.write(checkpoint)
        progress(len(checkpoint), len(checkpoint))

    monkeypatch.delenv("JSPSR_WEIGHTS_URL", raising=False)
    monkeypatch.setattr("gdown.download", download)
    assert pull(NAME).read_bytes() == checkpoint
    assert asked["id"] == "drive-id"
    assert asked["timeout"] > 0


@pytest.mark.parametrize("error", [RuntimeError("Too many users.\nMore text"), OSError("no route"), ValueError()])
def test_errors_of_the_drive_are_one_sentence(cache: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def download(**_options: Any) -> None:
        raise error

    monkeypatch.delenv("JSPSR_WEIGHTS_URL", raising=False)
    monkeypatch.setattr("gdown.download", download)
    with pytest.raises(DownloadFailed, match="could not be downloaded") as caught:
        pull(NAME)
    assert "\n" not in str(caught.value)
    assert files(cache) == []

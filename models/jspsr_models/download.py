"""Downloading one file over HTTP, all of it or an error (free of torch)."""

import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import IO, BinaryIO

from jspsr_models.errors import DownloadFailed, WeightsError, WeightsNotWritten

# Bytes so far, and in all if known.
Progress = Callable[[int, int | None], None]

# Seconds without a byte before giving up.
TIMEOUT = 30.0
# Ten times the released checkpoints: a server that never stops must not fill the disk.
MAX_BYTES = 4 * 2**30
_CHUNK = 1 << 20


def download_url(url: str, file: BinaryIO, *, progress: Progress | None = None) -> str:
    """Write what lies at an http(s) URL to an open file and return the URL.

    Raises:
        DownloadFailed: for any failure, among them a web page in place of a file, and a body cut short.
        WeightsNotWritten: if the file cannot be written to.
        WeightsError: for another kind of URL.
    """
    if not url.lower().startswith(("http://", "https://")):
        raise WeightsError(f"weights are pulled over http or https, not from {url}.")
    try:
        with _opener().open(url, timeout=TIMEOUT) as response:
            _check_type(response.headers.get_content_type(), url)
            _copy(response, file, url, progress)
    except urllib.error.HTTPError as error:
        error.close()
        raise DownloadFailed(f"{url} answers {error.code} {error.reason}; try again later.") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise DownloadFailed(
            f"{url} could not be downloaded ({reason}); check the connection and try again."
        ) from error
    return url


def download_drive(drive_id: str, file: BinaryIO, *, progress: Progress | None = None) -> str:
    """Write a file of the public drive, behind its confirmation page, to an open file; return its address.

    Raises:
        DownloadFailed: for any failure, among them the drive's page about a used-up quota.
    """
    import gdown  # takes a third of a second

    url = f"https://drive.google.com/uc?id={drive_id}"
    try:
        gdown.download(
            id=drive_id,
            output=file,
            quiet=True,
            use_cookies=False,
            timeout=TIMEOUT,
            progress=_limited(progress, url),
        )
    except WeightsError:
        raise
    # gdown's own errors and those of requests have no common base but this.
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise DownloadFailed(
            f"{url} could not be downloaded ({lines[0].rstrip('.:')}); the drive limits downloads a day, so "
            "try again later, or download it in a browser and give the file's path."
        ) from error
    return url


def _opener() -> urllib.request.OpenerDirector:
    """What follows redirects from http(s) to http(s) and nothing else; urllib's own goes to ftp, too."""
    web = urllib.request
    opener = web.OpenerDirector()
    for handler in (
        web.ProxyHandler, web.UnknownHandler, web.HTTPHandler, web.HTTPSHandler, web.HTTPDefaultErrorHandler,
        _Redirects, web.HTTPErrorProcessor,
    ):  # fmt: skip
        opener.add_handler(handler())
    return opener


class _Redirects(urllib.request.HTTPRedirectHandler):
    """urllib's, but that it would read the body of a redirect to its end, which it may not have."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """As urllib's."""
        fp.close()
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check_type(content_type: str, url: str) -> None:
    if content_type == "text/html":
        raise DownloadFailed(f"{url} answers with a web page, not with weights; its quota may be used up, try later.")


def _copy(response: http.client.HTTPResponse, file: IO[bytes], url: str, progress: Progress | None) -> None:
    report = _limited(progress, url)
    length = response.headers.get("Content-Length")
    total = int(length) if length else None
    done = 0
    while chunk := response.read(_CHUNK):
        done += len(chunk)
        report(done, total)
        _write(file, chunk)
    # read() does not say so when the connection ends before the announced length.
    if total is not None and done != total:
        raise DownloadFailed(f"{url} broke off after {done} of {total} bytes; try again.")


def _write(file: IO[bytes], chunk: bytes) -> None:
    try:
        file.write(chunk)
    except OSError as error:
        raise WeightsNotWritten(
            f"{file.name} cannot be written ({error.strerror or error}); make room, or set JSPSR_CACHE."
        ) from error


def _limited(progress: Progress | None, url: str) -> Progress:
    def report(done: int, total: int | None) -> None:
        if max(done, total or 0) > MAX_BYTES:
            raise DownloadFailed(f"{url} is larger than {MAX_BYTES >> 30} GiB, so it is no checkpoint of this network.")
        if progress is not None:
            progress(done, total)

    return report

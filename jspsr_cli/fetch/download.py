"""Ranges of bytes of remote files, tried again where that can help."""

import logging
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from re import fullmatch, sub
from urllib.parse import urljoin, urlsplit, urlunsplit
from urllib.request import url2pathname

import requests
import urllib3

from jspsr_cli import __version__
from jspsr_cli.errors import FetchFailed, MissingTile
from jspsr_cli.fetch.request import Origin

log = logging.getLogger(__name__)

# Seconds: until a connection stands, and without a byte on it.
CONNECT_TIMEOUT, READ_TIMEOUT = 10.0, 20.0

# Bytes a second over a whole answer, below which a server is taken for one that keeps connections open for nothing.
SLOWEST = 16_384

# How often an answer is asked for, and the seconds before the second time, which double from then on.
ATTEMPTS, FIRST_WAIT = 5, 1.0

# Seconds that a server may ask to be left alone for; S3 and its mirrors ask for a few.
LONGEST_WAIT = 60.0

MAX_REDIRECTS = 5

# Bytes before those wanted that a server which ignores ranges may send: more than a tile has, less than a zip of tiles.
LONGEST_SKIP = 256 * 2**20

_CHUNK = 1 << 16

# A size that a file can have: Python refuses to read a number of thousands of digits.
_SIZE = r"\d{1,19}"

# Answers that are worth asking again for: time-outs, too many requests. So are all from 500 on.
_TRY_AGAIN = (408, 425, 429)


@dataclass(frozen=True)
class Piece:
    """Bytes of a file, and the size of the whole where the server tells it."""

    content: bytes
    total: int | None


class _TryAgain(Exception):
    """What went wrong, and the seconds that the server asks to be left alone for."""

    def __init__(self, why: str, *, after: float = 0.0) -> None:
        super().__init__(why)
        self.after = after


class _Session(requests.Session):
    """Follows no redirect: requests would read its body to the end, which it may not have."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """There is none."""
        del resp
        return None


class Downloader:
    """Reads ranges of files of an archive at http(s) and file addresses, from any number of threads.

    Proxies are those of the environment (HTTPS_PROXY, NO_PROXY). `cancel` ends what is under way soon; `received`
    counts bytes that came over the network.
    """

    def __init__(self, *, origin: Origin, connections: int) -> None:
        self.origin = origin
        self.received = 0
        self._counting = threading.Lock()
        self._cancelled = threading.Event()
        self._session = _Session()  # its adapters are for http and https: no redirect leads elsewhere
        self._session.headers.update({"User-Agent": f"jspsr/{__version__}", "Accept-Encoding": "identity"})
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, requests.adapters.HTTPAdapter(pool_maxsize=connections))

    @property
    def cancelled(self) -> bool:
        """Whether nothing more is wanted."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Let what is under way fail."""
        self._cancelled.set()

    def read(self, address: str, start: int, length: int, *, name: str) -> Piece:
        """`length` bytes from `start` on of the file at `address`, fewer where it ends before; `name` is for messages.

        Raises:
            MissingTile: nothing is there.
            FetchFailed: the server, or the way to it, failed as often as was tried.
        """
        if address.startswith("file:"):
            return self._read_local(address, start, length, name=name)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._ask(address, start, length, name=name)
            except _TryAgain as error:
                why, after = str(error), error.after
            wait = FIRST_WAIT * 2 ** (attempt - 1) * random.uniform(0.5, 1)
            if attempt < ATTEMPTS:
                wait = max(wait, min(after, LONGEST_WAIT))
                log.info("%s: %s %s: again in %.1f s", name, shown(address), why, wait)
                self._pause(wait)
            if self.cancelled:
                raise FetchFailed(f"{name} is no longer wanted.")
        raise FetchFailed(
            f"{name} cannot be fetched: {shown(address)} {why}, {ATTEMPTS} times: check the connection and give the "
            "same command again, which goes on with what is here."
        )

    def _pause(self, seconds: float) -> None:
        self._cancelled.wait(seconds)

    def _ask(self, address: str, start: int, length: int, *, name: str) -> Piece:
        with _faults(address, name=name), self._answer(address, start, length, name=name) as response:
            self._check_status(response, address, name=name)
            first, total = _placed(response, start)
            if start - first > LONGEST_SKIP:
                raise FetchFailed(
                    f"{name} cannot be fetched: {shown(address)} ignores ranges and would send the whole file: name "
                    f"a mirror with {self.origin.choices}."
                )
            expected = length if total is None else max(0, min(length, total - start))
            content = self._body(response.raw, start - first, expected, name=name)
            if len(content) != expected:
                raise _TryAgain(f"broke off after {len(content)} of {expected} bytes")
            return Piece(content, total)

    def _answer(self, address: str, start: int, length: int, *, name: str) -> requests.Response:
        """What answers at `address`, or where that leads."""
        headers = {"Range": f"bytes={start}-{start + length - 1}"}
        timeout = (CONNECT_TIMEOUT, READ_TIMEOUT)
        for _ in range(1 + MAX_REDIRECTS):
            response = self._session.get(address, headers=headers, timeout=timeout, stream=True)
            if not response.is_redirect:
                return response
            with response:
                self._body(response.raw, 0, _CHUNK, name=name)  # a connection that is read to its end serves again
            address = urljoin(address, response.headers["Location"].encode("latin-1").decode())
        raise requests.TooManyRedirects(f"it leads on more than {MAX_REDIRECTS} times")

    def _body(self, raw: urllib3.HTTPResponse, skip: int, length: int, *, name: str) -> bytes:
        """`length` bytes of a body after the first `skip`, fewer where it is shorter."""
        deadline = time.monotonic() + READ_TIMEOUT + (skip + length) / SLOWEST
        body = bytearray()
        while (left := skip + length - len(body)) and (chunk := raw.read1(min(_CHUNK, left))):
            dropped = min(skip, len(chunk))
            skip -= dropped
            body += chunk[dropped:]
            with self._counting:
                self.received += len(chunk)
            if self.cancelled:
                raise FetchFailed(f"{name} is no longer wanted.")
            if time.monotonic() > deadline:
                raise _TryAgain(f"sends less than {SLOWEST >> 10} kB a second")
        return bytes(body)

    def _check_status(self, response: requests.Response, address: str, *, name: str) -> None:
        status = response.status_code
        if status in (200, 206):
            return
        answers = f"answers {status} {response.reason or ''}".strip()
        if status in _TRY_AGAIN or status >= 500:
            after = response.headers.get("Retry-After", "")
            raise _TryAgain(answers, after=float(after) if fullmatch(r"\d{1,6}", after) else 0.0)
        if status in (404, 410):
            raise self._missing(name, shown(address))
        raise FetchFailed(
            f"{name} cannot be fetched: {shown(address)} {answers}: check {self.origin.choices} and the access to it."
        )

    def _read_local(self, address: str, start: int, length: int, *, name: str) -> Piece:
        path = Path(url2pathname(urlsplit(address).path))
        try:
            with path.open("rb") as file:
                file.seek(start)
                return Piece(file.read(length), path.stat().st_size)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise self._missing(name, str(path)) from error
        except OSError as error:
            raise FetchFailed(f"{name} cannot be read: {path}: {error.strerror or error}.") from error

    def _missing(self, name: str, place: str) -> MissingTile:
        return MissingTile(
            f"{name} is not at {place}: check {self.origin.choices}, or look anew which tiles there are with jspsr "
            f"{self.origin.command} --refresh."
        )


@contextmanager
def _faults(address: str, *, name: str) -> Iterator[None]:
    """Sort what requests, urllib3 and the system raise into what is tried again and what is not."""
    try:
        yield
    except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError, ConnectionError) as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise FetchFailed(
                f"{name} cannot be fetched: the certificate of {shown(address)} is not valid: set REQUESTS_CA_BUNDLE "
                "if a proxy has its own."
            ) from error
        raise _TryAgain(f"cannot be reached ({_cause(error)})") from error
    except (requests.RequestException, ValueError) as error:  # a redirect to nowhere, or to another kind of address
        raise FetchFailed(f"{name} cannot be fetched: {shown(address)} cannot be followed ({error}).") from error


def _cause(error: BaseException) -> str:
    """The innermost reason, without the objects that urllib3 wraps it in."""
    inner = getattr(error, "reason", None) or next((a for a in error.args if isinstance(a, Exception)), None)
    if inner is not None:
        return _cause(inner)
    said = " ".join(str(error.args[-1] if error.args else type(error).__name__).split())
    return sub(r"^\w+\([^)]*\): ", "", said)  # HTTPConnection(host='...', port=80)


def _placed(response: requests.Response, start: int) -> tuple[int, int | None]:
    """Where in the file a body begins, and the size of the file if that is told; servers may ignore ranges."""
    if response.status_code == 200:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if fullmatch(_SIZE, length) else None
    found = fullmatch(rf"bytes ({_SIZE})-\d+/({_SIZE}|\*)", response.headers.get("Content-Range", ""))
    if not found or int(found[1]) != start:
        raise _TryAgain("answers with other bytes than it was asked for")
    return start, None if found[2] == "*" else int(found[2])


def shown(address: str) -> str:
    """`address` without the name and password that it may hold."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

"""Weights by name: finding, checking and pulling them (free of torch until something is pulled)."""

import contextlib
import math
import os
import re
from collections.abc import Collection
from pathlib import Path

from jspsr_models.download import Progress, download_drive, download_url
from jspsr_models.errors import (
    DownloadFailed,
    UnknownWeights,
    WeightsChanged,
    WeightsError,
    WeightsNotPulled,
    WeightsNotWritten,
)
from jspsr_models.files import appearing
from jspsr_models.registry import CACHE_VARIABLE, REGISTRY, WeightsEntry

# A mirror to pull from in place of the public drive: an http(s) URL with {id} where the file's id goes.
MIRROR_VARIABLE = "JSPSR_WEIGHTS_URL"

# Characters of a record that are looked at: a checksum and the longest name of a file.
_RECORD = 1024

_SHA256 = re.compile(r"\b[0-9a-fA-F]{64}\b")


def find_entry(name: str) -> WeightsEntry:
    """Return the registry's entry of that name.

    Raises:
        UnknownWeights: if there is none.
    """
    if name not in REGISTRY:
        raise UnknownWeights(f"no weights are called {name}; known are {', '.join(REGISTRY)}.")
    return REGISTRY[name]


def starter_for(guides: Collection[str], resolution: float) -> WeightsEntry | None:
    """Return the weights of the package for these guides that were trained nearest to `resolution` in metres."""
    fitting = [entry for entry in REGISTRY.values() if entry.package_file and set(entry.info.inputs) == set(guides)]
    return min(fitting, key=lambda entry: abs(math.log((entry.info.resolution or 1) / resolution)), default=None)


def locate(path_or_name: str | os.PathLike[str]) -> tuple[Path, WeightsEntry | None]:
    """Return the file of `path_or_name`, and its entry if it is a name in the registry (which goes first).

    Raises:
        UnknownWeights: if there is no such file.
        WeightsNotPulled: if the name has not been pulled yet.
    """
    asked = os.fspath(path_or_name)
    entry = REGISTRY.get(asked)
    path = Path(asked) if entry is None else entry.path
    if os.path.exists(path):  # False, too, for what cannot be a path
        return path, entry
    if entry is not None:
        raise WeightsNotPulled(f"the weights {asked} are not on this machine yet; run: jspsr weights pull {asked}.")
    raise UnknownWeights(
        f"no weights file {asked} exists, and no known weights have that name ({', '.join(REGISTRY)})."
    )


def recorded_sha256(path: Path, entry: WeightsEntry | None = None) -> str:
    """Return the checksum the file must have: pinned in the registry or recorded beside it; else empty.

    Raises:
        WeightsError: if the record beside the file cannot be read.
    """
    if entry is not None and entry.info.sha256:
        return entry.info.sha256
    record = _record_of(path)
    if not record.exists():
        return ""
    try:
        if not record.is_file():
            raise OSError("it is no file")  # a pipe would be waited for, a device read without end
        with record.open(encoding="ascii") as file:
            found = _SHA256.search(file.read(_RECORD))
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(f"{record} cannot be read; delete it to record the checksum anew.") from error
    if found is None:
        raise WeightsError(f"{record} holds no sha256; delete it to record the checksum anew.")
    return found.group().lower()


def check_sha256(sha256: str, path: Path, entry: WeightsEntry | None = None) -> None:
    """Compare the checksum of a file's content with the recorded one, if there is one.

    Raises:
        WeightsChanged: if they differ.
        WeightsError: if the record beside the file cannot be read.
    """
    expected = recorded_sha256(path, entry)
    if expected not in ("", sha256):
        if entry is not None and entry.package_file:
            raise WeightsChanged(f"{path} was changed or damaged since it was installed: install jspsr again.")
        raise WeightsChanged(
            f"{path} has sha256 {sha256[:12]}…, not {expected[:12]}… as recorded: it was changed or damaged; "
            f"if the new content is meant, delete {_record_of(path).name}, else pull or copy the file again."
        )


def record_sha256(sha256: str, path: Path) -> None:
    """Record the checksum beside the file, in the layout of `sha256sum`, unless there is a record."""
    record = _record_of(path)
    if record.exists():
        return
    # Weights in a folder that cannot be written to are as good as any; they just stay unrecorded.
    with contextlib.suppress(OSError), appearing(record) as part:
        part.write_text(f"{sha256}  {path.name}\n", encoding="ascii")


def pull(name: str, *, progress: Progress | None = None) -> Path:
    """Download weights into the cache, check them, and return their path; do nothing if they are there.

    Args:
        name: in the registry.
        progress: called with the bytes so far and in all (None if unknown).

    Raises:
        UnknownWeights: for an unknown name.
        DownloadFailed: for a failed download, or a file that is not what the registry says.
        WeightsNotWritten: if the cache cannot be written to.
        WeightsError: if the mirror or the record of an earlier pull cannot be used.

    Nothing is left behind then.
    """
    entry = find_entry(name)
    path = entry.path
    if entry.drive_id is None or path.exists():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        recorded_sha256(path, entry)  # a record that cannot be read is better known before the download than after
        with appearing(path) as part:
            source = _download(entry.drive_id, part, progress)
            sha256 = _check_download(part, path, entry, source)
    except OSError as error:
        why = error.strerror or error
        raise WeightsNotWritten(f"{path} cannot be written ({why}); set {CACHE_VARIABLE}.") from error
    record_sha256(sha256, path)
    return path


def _download(drive_id: str, target: Path, progress: Progress | None) -> str:
    """Download to `target` and return the address."""
    mirror = os.environ.get(MIRROR_VARIABLE)
    with target.open("wb") as file:
        if mirror:
            return download_url(mirror.replace("{id}", drive_id), file, progress=progress)
        return download_drive(drive_id, file, progress=progress)


def _check_download(part: Path, path: Path, entry: WeightsEntry, source: str) -> str:
    """Return the checksum of what was downloaded to `part`, if it can become `path`."""
    from jspsr_models.loading import load_file  # imports torch

    try:
        info = load_file(part, entry=entry, label=f"what was downloaded for {entry.info.name} ({source})")[1]
        check_sha256(info.sha256, path, entry)
    except WeightsError as error:  # not the fault of what was asked for
        raise DownloadFailed(str(error)) from error
    return info.sha256


def _record_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")

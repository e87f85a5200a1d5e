"""Unfinished work: the folder OUT.partial, from which the same command goes on where it was ended.

    jspsr.lock     says that the folder is ours; held by the process at work, and let go by the system if that is killed
    holder.json    which process that is
    journal.json   what the heights are made of: program, weights, inputs, options, grid
    heights.f32    finished rows from north to south, little-endian float32; of each row first the pixels of the
                   first output, then those of the second if there is one
    state.npz      how far the work has come; replaced as a whole after every strip

Rows go to the disk before the state that counts them, so what the state counts is there, whatever happens.
"""

import errno
import json
import os
import socket
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from filelock import FileLock

from jspsr_cli.errors import OtherWork, OutputExists, WriteFailed
from jspsr_cli.locked import check_known, not_writable, remove_if_empty, take_lock
from jspsr_cli.raster.writer import NODATA
from jspsr_cli.types import FloatArray

HOLDER, JOURNAL, HEIGHTS, STATE = "holder.json", "journal.json", "heights.f32", "state.npz"

# What is ours in the folder, and may be removed: the files above, and those that GDAL makes the output in.
OURS = ("holder.", "journal.", "heights.", "state.", "finished.")

# What messages say that the folder is for.
PURPOSE = "unfinished work"

# More differences than this are not read.
MOST_DIFFERENCES = 3

# What reading them raises if they are not what was written. A share that is away for a while is none of these.
_DAMAGED = (FileNotFoundError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile)


def partial_folder(output: Path) -> Path:
    """Where the unfinished work for `output` lies."""
    return output.with_name(output.name + ".partial")


def bytes_kept(output: Path) -> int:
    """Size of the finished rows that lie there from an earlier run."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return (partial_folder(output) / HEIGHTS).stat().st_size
    return 0


@dataclass(frozen=True, kw_only=True)
class Journal:
    """What the work is made of, each entry with a name for messages.

    `decides` makes the heights: with another, the work cannot go on. `machine` (device, threads) moves them within
    rounding.
    """

    decides: dict[str, str]
    machine: dict[str, str]


def differences(then: Mapping[str, str], now: Mapping[str, str]) -> str:
    """What `now` has otherwise than `then`, in words; empty where nothing."""
    names = [*then, *(name for name in now if name not in then)]
    pairs = [(name, then.get(name, "not given"), now.get(name, "not given")) for name in names]
    found = [f"{name} was {old} and is {new}" for name, old, new in pairs if old != new]
    return "; ".join(found[:MOST_DIFFERENCES])


@dataclass(frozen=True, kw_only=True)
class State:
    """How far the work has come: finished strips and rows, what the blender carries on, what was counted so far."""

    strips: int = 0
    rows: int = 0
    carry: FloatArray | None = None
    counted: dict[str, Any] = field(default_factory=dict)


class UnfinishedWork:
    """The working folder of one output, locked. Use as a context manager.

    Entering takes up what lies there, or begins anew where nothing does or `restart` is asked for. Leaving keeps the
    folder only if it holds finished strips and `discard` was not called. `notes` says what a user should know,
    `journal` what this work is made of. `carry_shape` is that of `Blender.carry`; its last number is the width of the
    `outputs`, which are made together.

    Raises on entering:
        OutputNotWritable: the folder cannot be made.
        OutputExists: it is not ours, or another process holds it.
        OtherWork: the work in it is made of something else.
    """

    def __init__(
        self, output: Path, journal: Journal, *, carry_shape: tuple[int, ...], restart: bool, outputs: int = 1
    ) -> None:
        self.folder = partial_folder(output)
        self.state = State()
        self.notes: list[str] = []
        self._output = output
        self.journal = journal
        self._carry_shape, self._row_bytes = carry_shape, 4 * outputs * carry_shape[-1]
        self._restart = restart
        self._lock: FileLock
        self._finished = False
        self._heights: IO[bytes]

    @property
    def heights(self) -> Path:
        """The file of finished rows."""
        return self.folder / HEIGHTS

    def look(self) -> State:
        """What entering would take up. Raises as entering does, and writes nothing."""
        check_known(self.folder, purpose=PURPOSE)
        if not self.folder.exists():
            return State()
        self._lock = take_lock(self.folder, busy=self._busy)
        try:
            return self._found()
        except OSError as error:
            raise not_writable(self._output, error) from error
        finally:
            self._lock.release()

    def __enter__(self) -> "UnfinishedWork":
        check_known(self.folder, purpose=PURPOSE)
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise not_writable(self._output, error) from error
        self._lock = take_lock(self.folder, busy=self._busy)
        try:
            self._take_up()
        except BaseException as error:
            remove_if_empty(self.folder)
            self._lock.release()
            if isinstance(error, OSError):
                raise not_writable(self._output, error) from error
            raise
        return self

    def _busy(self) -> OutputExists:
        try:
            known = json.loads((self.folder / HOLDER).read_text("utf-8"))
            holder = f"Process {int(known['pid'])} on {known['host']}"
        except (OSError, *_DAMAGED):
            holder = "Another jspsr"
        return OutputExists(f"{holder} is working on {self._output}: wait for it, or end it.")

    def _found(self) -> State:
        if self._restart or not (self.folder / STATE).exists():
            return State()
        try:
            self._check(self._load_journal())
            return self._load_state()
        except _DAMAGED:
            self.notes.append(f"the unfinished work in {self.folder} is damaged: all of it was done again")
            return State()

    def _take_up(self) -> None:
        self.state = self._found()
        if not self.state.strips:
            self._clear()
            self._replace(JOURNAL, json.dumps(vars(self.journal), indent=1).encode())
        self._replace(HOLDER, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())
        self._heights = self.heights.open("ab")
        self._heights.truncate(self.state.rows * self._row_bytes)

    def _load_journal(self) -> Journal:
        then = json.loads((self.folder / JOURNAL).read_text("utf-8"))
        return Journal(decides=dict(then["decides"]), machine=dict(then["machine"]))

    def _load_state(self) -> State:
        with (self.folder / STATE).open("rb") as file, np.load(file, allow_pickle=False) as saved:
            counted = json.loads(str(saved["counted"]))
            state = State(strips=int(saved["strips"]), rows=int(saved["rows"]), carry=saved["carry"], counted=counted)
        carry = state.carry if state.carry is not None else np.empty(0)
        if carry.shape != self._carry_shape or bytes_kept(self._output) < state.rows * self._row_bytes:
            raise ValueError("parts are missing")
        if self.heights.is_symlink():
            raise ValueError("the rows lie elsewhere")
        return state

    def _check(self, then: Journal) -> None:
        if what := differences(then.decides, self.journal.decides):
            raise OtherWork(
                f"{self.folder} holds unfinished work of another command ({what}): give that command again to finish "
                "it, or --restart to begin anew."
            )
        if then.machine != self.journal.machine:
            was, now = (", ".join(f"{k} {v}" for k, v in m.items()) for m in (then.machine, self.journal.machine))
            self.notes.append(f"the work was begun with {was} and finished with {now}: heights differ by rounding")

    def append(self, rows: FloatArray, state: State) -> None:
        """Keep `rows` (rows, columns), or (rows, outputs, columns), in metres and the `state` that they lead to.

        NaN is nodata.

        Raises:
            WriteFailed: the disk is full, or the folder went away.
        """
        try:
            self._heights.write(np.where(np.isnan(rows), NODATA, rows).astype("<f4").tobytes())
            self._heights.flush()
            os.fsync(self._heights.fileno())
            with (self.folder / "state.tmp").open("wb") as file:
                carry, counted = state.carry, json.dumps(state.counted)
                np.savez(file, strips=state.strips, rows=state.rows, carry=carry, counted=counted)  # type: ignore[arg-type]
                file.flush()
                os.fsync(file.fileno())
            os.replace(file.name, self.folder / STATE)
        except OSError as error:
            raise WriteFailed(f"{self._output} cannot be written: {error.strerror or error}.") from error
        self.state = state

    def discard(self) -> None:
        """The output is there: leaving removes the folder."""
        self._finished = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # on a full disk
            self._heights.close()
        kept = self._leave()
        if error is not None and kept:
            error.add_note(f"What is finished is kept in {self.folder}: the same command goes on with it.")

    def _leave(self) -> bool:
        """Let go of the folder, and say whether it stays."""
        kept = (self.folder / STATE).exists() and not self._finished
        if not kept:
            with suppress(OSError):  # the lock goes last: without it the rest would not be known as ours
                self._clear()
            remove_if_empty(self.folder)
        with suppress(OSError):
            self._lock.release()
        return kept

    def _clear(self) -> None:
        """Remove what is ours but the lock; nothing, where a folder is in the way."""
        ours = [path for path in self.folder.iterdir() if path.name.startswith(OURS)]
        for path in ours:
            if path.is_dir() and not path.is_symlink():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        for path in ours:
            path.unlink()

    def _replace(self, name: str, content: bytes) -> None:
        temporary = self.folder / f"{name}.tmp"
        temporary.write_bytes(content)
        os.replace(temporary, self.folder / name)

"""Commands run in processes that are forked from one in which everything is imported: seconds less for each."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

SERVER = """
import json, os, signal, sys, traceback
import jspsr_cli.commands.enhance, jspsr_cli.commands.fetch_copernicus
import jspsr_cli.estimate, jspsr_cli.fetch.copernicus, jspsr_cli.fetch.estimate, jspsr_cli.pipeline
import rasterio.shutil, pyogrio
from jspsr_cli.main import main

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin without it

def run(job):
    for number, name in ((0, os.devnull), (1, job["out"]), (2, job["err"])):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
    os.environ.update(job["environment"])
    os.chdir(job["folder"])
    sys.argv = ["jspsr", *job["arguments"]]
    code = 99
    try:
        main()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    if os.path.exists("/proc/self/io"):
        with open("/proc/self/io") as io, open(job["io"], "w") as file:
            file.write(io.read())
    os._exit(code)

print("up", flush=True)
for line in sys.stdin:
    pid = os.fork()
    if not pid:
        run(json.loads(line))
    print(pid, flush=True)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    print("ended", flush=True)
    sys.stdin.readline()  # its number is free from now on
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit code (negative: the signal), what it wrote, its seconds, and the bytes that it read
    (0 where the system does not count them).
    """

    code: int
    out: str
    err: str
    seconds: float
    read: int

    @property
    def result(self) -> dict[str, Any]:
        """What --json said."""
        found: dict[str, Any] = json.loads(self.out)
        return found


class Forks:
    """Runs commands, one at a time. Use as a context manager.

    `folder` is for what they write to their streams; `within` are the words of a command that runs another.
    """

    def __init__(self, folder: Path, *, within: Sequence[str] = ()) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            [*within, sys.executable, "-c", SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

    def __enter__(self) -> "Forks":
        assert self._read() == "up"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ExitStack() as stack:
            stack.callback(self._process.wait, 60)
            for stream in (self._process.stdout, self._process.stdin):
                assert stream is not None
                stack.callback(stream.close)

    def run(
        self,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        meanwhile: Callable[[int], None] = lambda _pid: None,
    ) -> Ended:
        """Run `jspsr` with `arguments`; `meanwhile` is called with its process while that works or has just ended."""
        streams = {name: str(self._folder / f"std{name}.txt") for name in ("out", "err", "io")}
        for path in streams.values():
            Path(path).unlink(missing_ok=True)
        job = {"arguments": list(arguments), "environment": dict(environment or {}), "folder": str(self._folder)}
        begun = time.monotonic()
        self._write(json.dumps(job | streams))
        pid = int(self._read())
        meanwhile(pid)
        assert self._read() == "ended"
        seconds = time.monotonic() - begun
        self._write("")
        code = int(self._read())
        out, err, io = (Path(path).read_text() if Path(path).exists() else "" for path in streams.values())
        read = re.search(r"rchar: (\d+)", io)
        return Ended(code, out, err, seconds, int(read[1]) if read else 0)

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

"""What the commands say: notices, warnings and progress on stderr, results on stdout.

Nothing here is slow to import: rich and json are loaded when they are first needed.
"""

import logging
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from math import isfinite
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from jspsr_cli.fetch.report import Fetched

# Where the -v of a subcommand is noted, for the handler of errors above it. Click shares `Context.meta`
# between a command and its groups.
VERBOSITY = "jspsr_cli.verbosity"

# Control characters (an escape code in a file name can rewrite the terminal), line and paragraph
# separators, marks that reverse the direction of text, and the lone surrogates of undecodable file names.
_HARMFUL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

# Seconds of work that the time left is judged by: on a laptop one step of a wide raster takes more than rich's 30.
SPEED_PERIOD = 600

# Enough for UTM coordinates to the centimetre, short enough to read.
_SIGNIFICANT_DIGITS = 10


def harmless(text: str) -> str:
    """`text` on one line, with control characters spelt out as Python spells them."""
    return _HARMFUL.sub(lambda match: ascii(match[0])[1:-1], text)


class Console:
    """The stderr side of a command.

    `verbose` is the number of -v given (None: those of the running command); `quiet` silences everything but
    warnings, which are never silenced since they say something about the result.
    """

    def __init__(self, *, verbose: int | None = None, quiet: bool = False) -> None:
        ctx = click.get_current_context(silent=True)
        self.verbose = verbose if verbose is not None else (ctx.meta.get(VERBOSITY, 0) if ctx else 0)
        self.quiet = quiet

    def info(self, message: str) -> None:
        """Say a detail: only with -v."""
        if self.verbose and not self.quiet:
            self._say(message)

    def notice(self, message: str) -> None:
        """Say what a user should know: not with -q."""
        if not self.quiet:
            self._say(message)

    def warn(self, message: str) -> None:
        """Say what may spoil the result: always."""
        self._say(f"jspsr: warning: {message}")

    @contextmanager
    def following(self, logger: str) -> Iterator[None]:
        """Say what the library logs under the name `logger` while the block runs: only with -v."""
        if not self.verbose:
            yield
            return
        handler, log = _Follower(self), logging.getLogger(logger)
        before = log.level, log.propagate
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        log.propagate = False  # rio has a handler of its own at the root
        try:
            yield
        finally:
            log.removeHandler(handler)
            log.level, log.propagate = before

    @contextmanager
    def progress(self, total: float | None, description: str) -> Iterator[Callable[[float], None]]:
        """Show a bar while the block runs, if stderr is a terminal and -q was not given.

        Yields `advance(n)`, to be called with the steps done since the last call. There are `total` steps
        in all (None: unknown).
        """
        with self._bars() as add:
            yield add(total, description)

    @contextmanager
    def share(self, description: str) -> Iterator[Callable[[float], None]]:
        """Show a bar like `progress`, but yield `report(share)`, a `types.Progress` (0 to 1)."""
        with self.progress(1.0, description) as advance:
            yield _reporting(advance)

    @contextmanager
    def shares(self, *descriptions: str) -> Iterator[Sequence[Callable[[float], None]]]:
        """Show a bar like that of `share` for each of several steps, one below the other."""
        with self._bars() as add:
            yield [_reporting(add(1.0, description)) for description in descriptions]

    @contextmanager
    def _bars(self) -> Iterator[Callable[[float | None, str], Callable[[float], None]]]:
        """Yield `add(total, description)`, which adds a bar and returns its `advance`."""
        if self.quiet or sys.stderr is None or not sys.stderr.isatty():
            yield lambda _total, _description: lambda _steps: None
            return
        from rich.console import Console as Terminal
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=Terminal(stderr=True),
            redirect_stdout=False,  # results stay out of the bar's hands
            redirect_stderr=True,  # messages appear above it
            transient=True,
            speed_estimate_period=SPEED_PERIOD,
        )

        def add(total: float | None, description: str) -> Callable[[float], None]:
            task = bars.add_task(harmless(description), total=total)
            return lambda steps: bars.advance(task, steps)

        with bars:
            yield add

    def _say(self, message: str) -> None:
        if sys.stderr is not None:
            click.echo(harmless(message), file=sys.stderr)  # err=True would go past the bar's redirection


def _reporting(advance: Callable[[float], None]) -> Callable[[float], None]:
    """`report(share)` by way of `advance(steps)`, of one step in all."""
    done = 0.0

    def report(share: float) -> None:
        nonlocal done
        advance(share - done)
        done = share

    return report


class _Follower(logging.Handler):
    """Hands records of a logger to a console."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.INFO)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        self._console.info(record.getMessage())


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Return columns as wide as their widest cell, spelt out as by `harmless`: as easy to read as to cut."""
    rows = [[harmless(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def echo_result(result: Mapping[str, Any], *, as_json: bool) -> None:
    """Write a command's result to stdout.

    As JSON it is one object on one line, in the order given, with null for numbers that JSON lacks (NaN,
    infinity). As text it is one aligned `key: value` line each; nested keys are joined by dots.
    """
    click.echo(_as_json(result) if as_json else "\n".join(_as_lines(result)))


def echo_fetched(report: "Fetched", console: Console, *, as_json: bool) -> None:
    """Notes and warnings of a command that fetches on stderr, the rest in one line, or all as JSON, on stdout."""
    for note in report.notes:
        console.notice(f"jspsr: {note}")
    for warning in report.warnings:
        console.warn(warning)
    if as_json:
        echo_result(asdict(report), as_json=True)
    else:
        click.echo(harmless(report.summary))


def _as_json(result: Mapping[str, Any]) -> str:
    import json

    text = json.dumps(_plain(result), ensure_ascii=False, allow_nan=False)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding, "surrogatepass" if encoding.lower() == "utf-8" else "strict")
    except UnicodeEncodeError:  # a terminal or pipe that knows fewer characters
        return json.dumps(_plain(result), allow_nan=False)
    return _HARMFUL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _as_lines(result: Mapping[str, Any]) -> list[str]:
    rows = list(_flat(_plain(result)))
    width = max((len(key) for key, _ in rows), default=0) + 1
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    lines = [f"{key + ':':<{width}} {_shown(value)}".rstrip() for key, value in rows]
    return [line.encode(encoding, "backslashreplace").decode(encoding) for line in lines]


def _plain(value: Any) -> Any:
    """`value` in the types of JSON: numpy scalars become numbers, paths and anything unknown their text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # numpy scalars and arrays, torch tensors
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)


def _flat(mapping: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{harmless(key)}.")
        else:
            yield f"{prefix}{harmless(key)}", value


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.{_SIGNIFICANT_DIGITS}g}"
    if isinstance(value, list):
        return ", ".join(_shown(item) for item in value)
    return harmless(str(value))

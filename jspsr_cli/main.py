"""The group `jspsr`, and the one place where exceptions become messages and exit codes.

    0 done    1 failed    2 wrong usage or input    130, 141, 143 ended by Ctrl-C, a closed pipe, SIGTERM

The group works alone (`main`) and within rasterio's (`rio jspsr`). It imports a command's module, and with it
the libraries that take seconds, only when the command is called.
"""

import errno
import os
import re
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import IO, Any, NamedTuple, NoReturn

import click

from jspsr_cli import __version__
from jspsr_cli.console import VERBOSITY, Console, harmless
from jspsr_cli.errors import is_out_of_memory
from jspsr_cli.signals import SIGNALS, TERMINATED, Terminated, signals_raise

# Name (with _ for - also of the module in `commands/`, whose command is its attribute `cli`) and help in one line.
COMMANDS = {
    "fetch-copernicus": "Fetch the 30 m DEM of an area, Copernicus GLO-30.",
    "fetch-fabdem": "Fetch the 30 m bare-earth DEM of an area, FABDEM.",
    "fetch-canopy": "Fetch the canopy heights of an area, by Meta and WRI.",
    "enhance": "Make a bare-earth DEM from a global DEM and guides.",
    "preview": "Draw rasters side by side, and how two differ.",
    "prepare": "Make a training set of terrain models, DEMs and guides.",
    "simulate": "Make a training set of scenes that are made up.",
    "train": "Train the network on your own or the paper's data.",
    "evaluate": "Compare elevation models with a finer terrain model.",
    "validate": "Compare weights with the truth of validation areas.",
    "weights": "List, fetch, check and convert trained networks.",
    "export": "Write a trained network as ONNX, for other programs.",
    "doctor": "Look at what this machine has and lacks.",
}

# C++ libraries write whole stack traces into their messages.
_LONGEST_MESSAGE = 2000

# A list says how many threads loops within loops have, of which there are none here.
_THREADS = re.compile(r"\s*([1-9]\d{0,3})\s*(?:,.*)?")

_WHY_OSERROR = {
    errno.ENOSPC: "the disk is full; make room or choose another folder",
    errno.EDQUOT: "the disk quota is used up; make room or choose another folder",
    errno.EACCES: "permission denied; choose another folder or ask for the right to use this one",
    errno.EPERM: "permission denied; choose another folder or ask for the right to use this one",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.ENAMETOOLONG: "the name is longer than the file system allows; choose a shorter one",
    errno.EIO: "the disk or network share failed; try again when it works",
    errno.ESTALE: "the network share was lost; try again when it is back",
}


class Failure(click.ClickException):
    """An error that is ready to be shown: a sentence, an exit code, for bugs perhaps a traceback."""

    def __init__(self, sentence: str, exit_code: int, *, traceback: str = "") -> None:
        super().__init__(harmless(sentence))
        vars(self)["exit_code"] = exit_code  # click declares it for the class
        self.traceback = traceback

    def show(self, file: IO[Any] | None = None) -> None:
        """Write to stderr (or `file`); without a sentence, or where nobody reads, be silent."""
        if self.message:
            with suppress(OSError):
                click.echo(f"{self.traceback}jspsr: {self.message}", file=file, err=file is None)
            _abandon_if_broken(sys.stderr)


class _Verdict(NamedTuple):
    exit_code: int
    sentence: str
    bug: bool = False


def _interrupted(_error: BaseException) -> _Verdict:
    if sys.stderr is not None and sys.stderr.isatty():
        click.echo(err=True)  # ends the line on which the terminal wrote ^C
    return _Verdict(128 + signal.SIGINT, "interrupted")


def _closed_pipe(_error: BaseException) -> _Verdict | None:
    """Be quiet when `| head` has read enough, as other tools are; not when a connection elsewhere is lost."""
    return _Verdict(141, "") if _reader_is_gone(sys.stdout) or _reader_is_gone(sys.stderr) else None


def _system_error(error: OSError) -> _Verdict | None:
    if error.errno not in _WHY_OSERROR:
        return None
    where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
    return _Verdict(1, f"error: {where}{_WHY_OSERROR[error.errno]}.")


def _bug(error: BaseException) -> _Verdict:
    text = ": ".join(part for part in (type(error).__name__, str(error)[:_LONGEST_MESSAGE]) if part)
    return _Verdict(1, f"error: {text} - this is a bug in jspsr, please report it", bug=True)


_NO_MEMORY = _Verdict(1, "error: the memory of this machine does not suffice; try a smaller --batch-size or --window.")
# An exception is looked up by the names of its class and of the classes above; the first verdict counts.
# Names, so that nothing is imported for an error that cannot have happened.
VERDICTS: dict[str, Callable[[Any], _Verdict | None]] = {
    "jspsr_cli.errors.JspsrError": lambda error: _Verdict(error.exit_code, f"error: {error}"),
    "jspsr_models.errors.WeightsError": lambda error: _Verdict(error.exit_code, f"error: {error}"),
    "jspsr_cli.signals.Terminated": lambda _: _Verdict(TERMINATED, "terminated"),
    "builtins.KeyboardInterrupt": _interrupted,
    "click.exceptions.Abort": _interrupted,
    "builtins.BrokenPipeError": _closed_pipe,
    "builtins.OSError": _system_error,
    "rasterio.errors.CRSError": lambda error: _Verdict(
        1, f"error: PROJ cannot work here ({error}); if PROJ_LIB or PROJ_DATA is set, unset it."
    ),
    "builtins.MemoryError": lambda _: _NO_MEMORY,
    "torch.OutOfMemoryError": lambda _: _Verdict(
        1, "error: the memory of the GPU does not suffice; try a smaller --batch-size, or --device cpu."
    ),
    "builtins.RuntimeError": lambda error: _NO_MEMORY if is_out_of_memory(error) else None,
    "builtins.BaseException": _bug,
}


@contextmanager
def reported_errors(ctx: click.Context | None = None) -> Iterator[None]:
    """Let only exceptions leave that click shows and turns into an exit code, whoever runs the command.

    With -vv, which `ctx` knows, an unexpected error carries its traceback.
    """
    try:
        with signals_raise():
            yield
            if sys.stdout is not None:
                sys.stdout.flush()  # here an error still has a handler; at the interpreter's end it has none
    except click.exceptions.Exit:
        raise
    except click.ClickException as error:
        _tidy(error)
        raise
    except BaseException as error:
        if isinstance(error, SystemExit) and not isinstance(error, Terminated):
            raise
        raise _as_failure(error, ctx.meta.get(VERBOSITY, 0) if ctx else 0) from error
    finally:
        _abandon_if_broken(sys.stdout)


def _as_failure(error: BaseException, verbosity: int) -> Failure:
    names = (f"{cls.__module__}.{cls.__qualname__}" for cls in type(error).__mro__)
    verdicts = (VERDICTS[name](error) for name in names if name in VERDICTS)
    verdict = next(verdict for verdict in verdicts if verdict)
    notes = getattr(error, "__notes__", []) if verdict.sentence else []
    verdict = verdict._replace(
        sentence=". ".join([verdict.sentence.rstrip("."), *notes]) if notes else verdict.sentence
    )
    if not verdict.bug:
        return Failure(verdict.sentence, verdict.exit_code)
    if verbosity < 2:
        return Failure(f"{verdict.sentence.rstrip('.')}; run with -vv for the traceback", verdict.exit_code)
    from traceback import format_exception

    lines = "".join(format_exception(error)).splitlines()
    return Failure(verdict.sentence, verdict.exit_code, traceback="".join(f"{harmless(line)}\n" for line in lines))


def _tidy(error: click.ClickException) -> None:
    """Make click's own errors end with 2, and what they quote from the command line harmless."""
    if isinstance(error, Failure):
        return
    vars(error)["exit_code"] = 2
    if type(error).__name__ != "NoArgsIsHelpError":  # that message is the whole help; click < 8.2 lacks the class
        vars(error)["message"] = harmless(error.message)


def _reader_is_gone(stream: IO[Any] | None) -> bool:
    if stream is None:
        return False
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)
        return bool(poll.poll(0))
    except AttributeError:  # no poll on Windows: assume that it was our pipe
        return True
    except (OSError, ValueError):  # not a file, as in tests
        return False


def _abandon_if_broken(stream: IO[Any] | None) -> None:
    """Send what can no longer be written to nowhere, else the interpreter complains about it when it ends."""
    if stream is None:
        return
    try:
        stream.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())


def _heed_threads() -> None:
    """Leave a plain number in OMP_NUM_THREADS or nothing: libraries fail on anything else, or never end."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    if number := _THREADS.fullmatch(given):
        os.environ["OMP_NUM_THREADS"] = number[1]
    elif given:
        del os.environ["OMP_NUM_THREADS"]
        Console().warn(f"OMP_NUM_THREADS is {given!r:.40}, which is no number of threads, and is not heeded")


class LazyGroup(click.Group):
    """A group that knows its commands by name and help, and imports one when it is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, text in COMMANDS.items():
            self.add_command(click.Command(name, short_help=text))

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which a newcomer needs them."""
        del ctx
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Replace what stands for a command by the command itself."""
        name, command, rest = super().resolve_command(ctx, args)
        if name in COMMANDS:
            _heed_threads()
            command = import_module(f"jspsr_cli.commands.{name.replace('-', '_')}").cli
        return name, command, rest

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        """Read the group's own options, `--help` and `--version` among them."""
        with reported_errors():
            return super().make_context(*args, **options)

    def invoke(self, ctx: click.Context) -> None:
        """Run a command; `main` and `rio` both come by here."""
        with reported_errors(ctx):
            super().invoke(ctx)


@click.group("jspsr", cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="jspsr", message="%(prog)s %(version)s")
def cli() -> None:
    """Bare-earth elevation models at 8 m or 3 m from Copernicus GLO-30 or FABDEM, with an orthophoto, a land
    use map or canopy heights as guides.

    Results go to stdout, everything else to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage or input,
    130, 141 or 143 ended by Ctrl-C, a closed pipe or SIGTERM.
    """


def main() -> NoReturn:
    """Run the command line and end the process."""
    code = 0
    try:
        with reported_errors():
            result = cli.main(prog_name="jspsr", standalone_mode=False)
            code = result if isinstance(result, int) else 0
    except click.ClickException as error:
        with suppress(OSError):
            error.show()
        code = error.exit_code
    _abandon_if_broken(sys.stderr)
    for number in SIGNALS:  # all is said and done: a second one must not change the exit code
        with suppress(ValueError):  # not the main thread
            signal.signal(number, signal.SIG_IGN)
    sys.exit(code)

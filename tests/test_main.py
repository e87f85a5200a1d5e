import errno
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

import jspsr_cli
from jspsr_cli import __version__, errors, main, options

HEAVY = ("torch", "numpy", "rasterio", "rich", "shapely", "pyproj", "scipy", "pydantic", "lightning", "yaml")

RunCode = Callable[..., Result]


@pytest.fixture(params=["jspsr", "rio jspsr"])
def run_code(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> RunCode:
    """Run a function as the command `dummy`, of the group alone and of the group within rasterio's."""

    def run(function: Callable[[], object], *args: str) -> Result:
        @click.command()
        @options.verbose
        @options.device
        def dummy(**_values: Any) -> None:
            function()

        module = ModuleType("jspsr_cli.commands.dummy")
        vars(module)["cli"] = dummy
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(main.COMMANDS, "dummy", "Run code.")
        monkeypatch.setitem(main.cli.commands, "dummy", click.Command("dummy"))
        if request.param == "jspsr":
            return CliRunner().invoke(main.cli, ["dummy", *args])
        from rasterio.rio.main import main_group

        return CliRunner().invoke(main_group, ["jspsr", "dummy", *args])

    return run


def raising(error: BaseException) -> Callable[[], object]:
    def function() -> object:
        raise error

    return function


# Help and start


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_imports_nothing_heavy(option: str) -> None:
    code = f"""
import sys
from jspsr_cli.main import main
sys.argv = ["jspsr", {option!r}]
try:
    main()
except SystemExit as stop:
    assert stop.code == 0, stop.code
print(*[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.split() == []
    assert ("enhance" in done.stdout) if option == "--help" else (done.stdout == f"jspsr {__version__}\n")


def test_enhancing_imports_nothing_that_only_others_need() -> None:
    """Each of them is a tenth of a second or more of every run."""
    heavy = ("pyogrio", "pandas", "matplotlib", "lightning", "tensorboard", "pydantic", "httpx")
    code = f"import sys, jspsr_cli.pipeline; print(*[name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_help_answers_in_time() -> None:
    def seconds() -> float:
        """Time of the processor, since the clock on the wall also counts what else a busy machine does."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "jspsr_cli", "--help"], stdout=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    assert min(seconds() for _ in range(4)) < 0.3


def test_all_names_are_there() -> None:
    assert set(jspsr_cli.__all__) == {*jspsr_cli._LAZY, "__version__"}
    assert all(hasattr(jspsr_cli, name) for name in jspsr_cli.__all__)


def test_help_lists_the_commands_in_order() -> None:
    text = CliRunner().invoke(main.cli, ["-h"]).output
    width = max(map(len, main.COMMANDS))
    places = [text.index(f"  {name:<{width}}  {sentence}") for name, sentence in main.COMMANDS.items()]
    assert places == sorted(places)


def test_rio_runs_the_group() -> None:
    rio = Path(sys.executable).with_name("rio")
    done = subprocess.run([rio, "jspsr", "--help"], capture_output=True, text=True, check=True)
    assert "Usage: rio jspsr [OPTIONS] COMMAND" in done.stdout
    assert "could not be loaded" not in done.stdout + done.stderr


def test_unknown_command_is_a_usage_error() -> None:
    result = CliRunner().invoke(main.cli, ["enhnace"])
    assert result.exit_code == 2
    assert "No such command 'enhnace'" in result.stderr
    assert result.stdout == ""


# Exceptions


def test_every_name_in_the_table_is_an_exception() -> None:
    for name in main.VERDICTS:
        module, _, attribute = name.rpartition(".")
        found = getattr(import_module(module), attribute)
        assert issubclass(found, BaseException)
        # else the look-up would miss it
        assert f"{found.__module__}.{found.__qualname__}" == name


class Unheard(Exception):
    pass


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (errors.NoOverlap("no common ground."), 2, "jspsr: error: no common ground.\n"),
        (errors.ReadFailed("cut off."), 1, "jspsr: error: cut off.\n"),
        (errors.NoOverlap("a\nb\x1b[2J\u202e"), 2, "jspsr: error: a\\nb\\x1b[2J\\u202e\n"),
        (KeyboardInterrupt(), 130, "jspsr: interrupted\n"),
        (click.Abort(), 130, "jspsr: interrupted\n"),
        (
            OSError(errno.ENOSPC, "no space", "/out\n"),
            1,
            "jspsr: error: /out\\n: the disk is full; make room",
        ),
        (PermissionError(errno.EACCES, "no", "/out"), 1, "jspsr: error: /out: permission denied; "),
        (OSError(errno.EROFS, "no"), 1, "jspsr: error: the file system is read-only; "),
        (MemoryError(), 1, "jspsr: error: the memory of this machine"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 1, "jspsr: error: the memory of this machine"),
        (RuntimeError("could not create a primitive"), 1, "jspsr: error: the memory of this machine"),
        (RuntimeError("can't start new thread"), 1, "jspsr: error: the memory of this machine"),
        (FileNotFoundError(errno.ENOENT, "no", "/in"), 1, "jspsr: error: FileNotFoundError: "),
        (
            Unheard("oh"),
            1,
            "jspsr: error: Unheard: oh - this is a bug in jspsr, please report it; run with -vv",
        ),
        (
            BrokenPipeError(errno.EPIPE, "lost"),
            1,
            "jspsr: error: BrokenPipeError: [Errno 32] lost - this is a bug",
        ),
        (AssertionError(), 1, "jspsr: error: AssertionError - this is a bug"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_exceptions_become_sentences(run_code: RunCode, error: BaseException, code: int, text: str) -> None:
    result = run_code(raising(error))
    assert result.exit_code == code
    assert result.stderr.startswith(text)
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_errors_of_other_packages_are_known_by_name(run_code: RunCode) -> None:
    from jspsr_models.errors import WeightsError

    out_of_memory = type("OutOfMemoryError", (RuntimeError,), {"__module__": "torch"})("CUDA out of memory")
    assert run_code(raising(out_of_memory)).stderr.startswith("jspsr: error: the memory of the GPU")
    result = run_code(raising(WeightsError("not a network.")))
    assert (result.exit_code, result.stderr) == (2, "jspsr: error: not a network.\n")


@pytest.mark.parametrize(("flags", "shown"), [((), False), (("-v",), False), (("-vv",), True), (("-v", "-v"), True)])
def test_traceback_of_a_bug_only_with_vv(run_code: RunCode, flags: tuple[str, ...], shown: bool) -> None:
    result = run_code(raising(Unheard("oh\x07")), *flags)
    assert result.exit_code == 1
    assert ("Traceback (most recent call last)" in result.stderr) is shown
    assert ("run with -vv" in result.stderr) is not shown
    assert "oh\\x07" in result.stderr
    assert "\x07" not in result.stderr
    assert "Traceback" not in run_code(raising(errors.InputError("no.")), *flags).stderr


def test_vv_counts_wherever_it_stands(run_code: RunCode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jspsr_cli.params.DeviceType.parse", lambda *_: raising(Unheard("oh"))())
    assert "Traceback" in run_code(lambda: None, "--device", "cpu", "-vv").stderr


@pytest.mark.parametrize("error", [click.UsageError("bad\x1b"), click.ClickException("bad\x1b")])
def test_clicks_own_errors_keep_their_form_and_end_with_2(run_code: RunCode, error: Exception) -> None:
    result = run_code(raising(error))
    assert result.exit_code == 2
    assert result.stderr.endswith("Error: bad\\x1b\n")


def test_value_with_escape_code_is_made_harmless(run_code: RunCode) -> None:
    result = run_code(lambda: None, "--device", "\x1b[31m\n")
    assert result.exit_code == 2
    assert "Invalid value for '--device': '\\x1b[31m\\n' is not one of" in result.stderr


def test_deliberate_exit_codes_pass(run_code: RunCode) -> None:
    assert run_code(lambda: None).exit_code == 0
    assert run_code(lambda: sys.exit(7)).exit_code == 7
    assert run_code(lambda: click.get_current_context().exit(5)).exit_code == 5


def test_sigterm_unwinds_and_the_old_handler_returns(run_code: RunCode) -> None:
    closed = []

    def work() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)  # a second one must not end this
            time.sleep(0.01)
            closed.append(True)

    result = run_code(work)
    assert (result.exit_code, result.stderr) == (143, "jspsr: terminated\n")
    assert closed == [True]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL

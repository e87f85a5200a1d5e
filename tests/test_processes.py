"""The command line as the shell sees it: exit codes, signals, closed and full pipes."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

# The environment of a user: a container's PYTHONUNBUFFERED would hide what is left in a buffer at the end.
BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}

# A process that runs the real edge with a command "dummy", which executes its argument.
DUMMY_PROCESS = """
import os, signal, sys, time, types
import click
from jspsr_cli import main, options

@click.command()
@click.argument("code")
@options.verbose
def dummy(code):
    exec(code, globals())

module = types.ModuleType("jspsr_cli.commands.dummy")
module.cli = dummy
sys.modules[module.__name__] = module
main.COMMANDS["dummy"] = "Run code."
main.cli.add_command(click.Command("dummy"))
main.main()
"""


def run_dummy(code: str, *, interpreter: tuple[str, ...] = (), **options: Any) -> "subprocess.CompletedProcess[str]":
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": BUFFERED, **options}
    command = [sys.executable, *interpreter, "-c", DUMMY_PROCESS, "dummy", code]
    return subprocess.run(command, text=True, timeout=60, check=False, **streams)


@pytest.mark.parametrize(
    ("code", "status"),
    [("pass", 0), ("sys.exit(7)", 7), ("click.get_current_context().exit(5)", 5), ("raise BrokenPipeError", 1)],
)
def test_exit_status_of_the_process(code: str, status: int) -> None:
    done = run_dummy(code)
    assert (done.returncode, done.stdout) == (status, "")
    assert ("bug" in done.stderr) is (status == 1)


@pytest.mark.parametrize(
    ("number", "code", "text"), [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")]
)
def test_signals_from_outside(number: int, code: int, text: str) -> None:
    work = "try:\n    print('up', flush=True); time.sleep(30)\nfinally:\n    print('closed')"
    command = [sys.executable, "-c", DUMMY_PROCESS, "dummy", work]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err.strip()) == (code, "closed\n", f"jspsr: {text}")


@pytest.mark.parametrize("interpreter", [(), ("-u",)], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("code", ["print('x')", "print('x' * 100_000)", "click.echo('x')"])
def test_closed_stdout_is_quiet(interpreter: tuple[str, ...], code: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = run_dummy(code, interpreter=interpreter, stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("words", [["--help"], ["dummy", "--help"], ["--version"]])
def test_closed_stdout_is_quiet_for_help(words: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-c", DUMMY_PROCESS, *words]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, env=BUFFERED, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_closed_stderr_keeps_the_exit_code_within_rio() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    rio = "from rasterio.rio.main import main_group; main_group(['jspsr', *sys.argv[1:]])"
    process = DUMMY_PROCESS.replace("main.main()", rio)
    command = [sys.executable, "-c", process, "dummy", "raise MemoryError"]
    assert subprocess.run(command, stderr=writer, env=BUFFERED, check=False).returncode == 1
    os.close(writer)


def test_closed_stderr_keeps_the_exit_code() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    assert run_dummy("raise MemoryError", stderr=writer).returncode == 1
    assert run_dummy("click.get_current_context().fail('no')", stderr=writer).returncode == 2
    os.close(writer)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_stdout_is_a_sentence() -> None:
    with open("/dev/full", "w") as full:
        done = run_dummy("print('x')", stdout=full)
    assert done.returncode == 1
    assert done.stderr == "jspsr: error: the disk is full; make room or choose another folder.\n"


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize(
    ("number", "code", "text"), [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")]
)
def test_signals_in_an_import_wait_for_its_end(tmp_path: Path, number: int, code: int, text: str) -> None:
    """Raised at once it would be taken for a missing module, as here, or printed and lost; then it ends all waiting."""
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text(
        "try:\n    import pack.slow\nexcept BaseException:\n    raise ImportError('broken') from None\n"
    )
    slow = f"import os, time\nos.kill(os.getpid(), {number})\ntime.sleep(0.2)\nprint('whole')\n"
    (tmp_path / "pack" / "slow.py").write_text(slow)
    done = run_dummy("import pack\ntry:\n    time.sleep(90)\nfinally:\n    print('closed')", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (code, "whole\nclosed\n", f"jspsr: {text}\n")


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="looks into /proc")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("library", ["", "libtorch"], ids=["nothing", "torch"])
def test_signals_while_a_command_imports_its_libraries(number: int, code: int, library: str) -> None:
    """Nothing is begun, so the process ends without a word."""
    command = [sys.executable, "-m", "jspsr_cli", "enhance", __file__]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not (heeds_signals(process.pid) and library in maps(process.pid)):
            time.sleep(0.001)
        process.send_signal(number)
        said = process.communicate(timeout=60)
    assert (process.returncode, *said) == (code, "", "")


def heeds_signals(pid: int) -> bool:
    """Whether the process has a handler for SIGTERM."""
    caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
    return caught is not None and bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)


def maps(pid: int) -> str:
    """The libraries that the process has loaded."""
    return Path(f"/proc/{pid}/maps").read_text()


@pytest.mark.parametrize(
    ("given", "heeded"), [("3", "3"), (" 3 ", "3"), ("2,4", "2"), ("abc", None), ("0", None), ("9" * 20, None)]
)
def test_numbers_of_threads_that_are_none(given: str, heeded: str | None) -> None:
    done = run_dummy("print(os.environ.get('OMP_NUM_THREADS'))", env=BUFFERED | {"OMP_NUM_THREADS": given})
    assert (done.returncode, done.stdout) == (0, f"{heeded}\n")
    warning = f"jspsr: warning: OMP_NUM_THREADS is '{given}', which is no number of threads, and is not heeded\n"
    assert done.stderr == ("" if heeded else warning)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_terminated_whatever_a_library_makes_of_it() -> None:
    """GDAL's bindings and clean-up code may turn the exception that arrives within them into one of their own."""
    code = (
        "import os, signal\ntry:\n    os.kill(os.getpid(), signal.SIGTERM)\n"
        "except BaseException:\n    raise RuntimeError('swallowed') from None"
    )
    done = run_dummy(code)
    assert (done.returncode, done.stderr) == (143, "jspsr: terminated\n")

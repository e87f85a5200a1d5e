import json
import logging
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from jspsr_cli.console import Console, echo_result, harmless


def run(code: str, *, stderr: int = subprocess.PIPE, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", f"from jspsr_cli.console import Console, echo_result\n{code}"]
    return subprocess.run(
        command, text=True, timeout=60, check=True, env=os.environ | environment, stdout=subprocess.PIPE, stderr=stderr
    )


def test_verbosity_decides_what_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    def said(console: Console) -> str:
        console.info("detail")
        console.notice("notice")
        console.warn("odd\x1b")
        captured = capsys.readouterr()
        assert captured.out == ""
        return captured.err

    warning = "jspsr: warning: odd\\x1b\n"
    assert said(Console()) == f"notice\n{warning}"
    assert said(Console(verbose=1)) == f"detail\nnotice\n{warning}"
    assert said(Console(quiet=True)) == warning
    assert said(Console(verbose=2, quiet=True)) == warning


def test_what_the_library_logs_is_a_detail(capsys: pytest.CaptureFixture[str]) -> None:
    log = logging.getLogger("jspsr_cli.example")
    for verbose, said in ((0, ""), (1, "grid of 3\n")):
        with Console(verbose=verbose).following("jspsr_cli"):
            log.info("grid of %d", 3)
        log.info("nobody listens")
        assert capsys.readouterr().err == said


def test_progress_is_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Console().progress(10, "work") as advance:
        advance(10)
    with Console().share("work") as report:
        report(1.0)
    assert capsys.readouterr() == ("", "")


def test_share_turns_shares_into_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[float] = []

    @contextmanager
    def progress(_self: Console, total: float, _description: str) -> Iterator[Callable[[float], None]]:
        assert total == 1
        yield steps.append

    monkeypatch.setattr(Console, "progress", progress)
    with Console().share("work") as report:
        for share in (0.25, 0.5, 0.5, 1.0):
            report(share)
    assert steps == [0.25, 0.25, 0.0, 0.5]


def on_terminal(code: str) -> str:
    """What a process shows on a terminal that is its stderr."""
    controller, terminal = pty.openpty()
    done = run(code, stderr=terminal, TERM="xterm", COLUMNS="100")
    os.close(terminal)
    shown = b""
    with open(controller, "rb", buffering=0) as stream:
        try:
            while piece := stream.read(65536):
                shown += piece
        except OSError:  # how Linux says that the other end is closed
            pass
    assert done.stdout == ""
    return shown.decode()


def test_progress_bar_on_a_terminal() -> None:
    work = "c = Console(quiet={})\nwith c.share('grow [b]') as r:\n    r(.5); c.notice('half [b]'); r(1.0)"
    shown = on_terminal(work.format(False))
    assert "grow [b]" in shown
    assert "100%" in shown
    assert re.search(r"(\x1b\[2K|\n)half \[b\]\r\n", shown), shown  # on a line of its own
    assert on_terminal(work.format(True)) == ""


def test_bars_of_several_steps_are_one_display() -> None:
    shown = on_terminal("with Console().shares('fetch', 'grow') as (fetch, grow):\n    fetch(1.0); grow(.25)")
    assert re.search(r"fetch [^\n]*100%[^\n]*\n[^\n]*grow [^\n]* 25%", shown), shown


def test_json_result_is_one_object_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    result = {
        "output": Path("/tmp/été\x9b\udc80.tif"),
        "rmse": float("nan"),
        "shape": (2, np.int64(3)),
        "share": np.float32(0.5),
        "nested": {"inf": -np.inf, "ok": True, 1: None},
    }
    echo_result(result, as_json=True)
    text = capsys.readouterr().out
    assert text.count("\n") == 1
    assert "été" in text
    assert "\x9b" not in text
    assert "\udc80" not in text
    assert list(json.loads(text).items()) == [
        ("output", "/tmp/été\x9b\udc80.tif"),
        ("rmse", None),
        ("shape", [2, 3]),
        ("share", 0.5),
        ("nested", {"inf": None, "ok": True, "1": None}),
    ]


def test_text_result_is_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    echo_result(
        {"output": "a\x1b.tif", "left": 4612345.25, "ok": True, "to": {"n": [1, 2]}, "rmse": np.nan},
        as_json=False,
    )
    assert capsys.readouterr().out.splitlines() == [
        "output: a\\x1b.tif",
        "left:   4612345.25",
        "ok:     yes",
        "to.n:   1, 2",
        "rmse:   none",
    ]


@pytest.mark.parametrize("as_json", [True, False])
def test_result_suits_a_poor_terminal(as_json: bool) -> None:
    done = run(f"echo_result({{'a': '\\xe9\\udc80'}}, as_json={as_json})", PYTHONIOENCODING="ascii")
    assert done.stderr == ""
    assert done.stdout == ('{"a": "\\u00e9\\udc80"}\n' if as_json else "a: \\xe9\\udc80\n")


def test_harmless_keeps_ordinary_text() -> None:
    assert harmless("été 東京 – C:\\dem.tif") == "été 東京 – C:\\dem.tif"
    assert harmless("\r\t\x00\x7f\x85\u2028") == "\\r\\t\\x00\\x7f\\x85\\u2028"

"""Files that are almost right, thousands of them: each is taken, or refused with a sentence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hostile.commands import COMMANDS
from tests.hostile.mutants import SEEDS

ROOT = Path(__file__).parents[2]

#: mutants of a kind in the long run; of the kinds that are fetched a meeting takes ten times as long
MANY = {"zip": 200, "tile": 200, "answer": 300, "redirect": 300}

#: one for each way of reading a file; the others load libraries for seconds
QUICK = ("enhance", "enhance --guide", "enhance --geometry", "prepare --terrain", "weights convert")


def meet(folder: Path, kinds: str, seed: int, last: int, *, seconds: int) -> None:
    """Let a child meet mutants; what it met wrongly, or died of, is told by kind, seed and number."""
    command = [sys.executable, "-m", "tests.hostile.child", str(folder), kinds, str(seed), "0", str(last)]
    paths = os.pathsep.join((str(ROOT), str(ROOT / "models")))
    env = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=seconds, check=False)
    log = folder / "log"
    at = log.read_text() if log.exists() else "before the first"
    assert done.returncode == 0, (
        f"exit code {done.returncode}, last: {at}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    )
    assert "peak" in done.stdout


def test_a_few_mutants(tmp_path: Path) -> None:
    """In one child, whose libraries take seconds to load."""
    meet(tmp_path, ",".join((*SEEDS, *QUICK)), 1, 4, seconds=300)


@pytest.mark.slow
@pytest.mark.parametrize("kind", SEEDS)
def test_many_mutants(tmp_path: Path, kind: str) -> None:
    meet(tmp_path, kind, int(os.environ.get("JSPSR_FUZZ_SEED", "2")), MANY.get(kind, 1500), seconds=1800)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_many_mutants_for_a_command(tmp_path: Path, command: str) -> None:
    meet(tmp_path, command, int(os.environ.get("JSPSR_FUZZ_SEED", "2")), 200, seconds=3600)

"""What the tables of mistakes share: a mistake, what must be said of it, and files that nobody should give."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from click.testing import Result

from tests.scenes import cop30
from tests.test_enhance_command import Scene, invoke

#: Longer than this nobody reads; the folders of a test alone take 150.
LONGEST = 600


class Mistake(NamedTuple):
    """What is asked of a scene, and what the sentence must tell."""

    arguments: Callable[[Scene], list[str]]
    sentence: str


def file(scene: Scene, name: str, content: bytes = b"not what it should be\n" * 20) -> Path:
    """A file of bytes in the scene's folder."""
    path = scene.folder / name
    path.write_bytes(content)
    return path


def far(scene: Scene) -> Path:
    """A DEM of other ground."""
    return cop30(scene.folder / "far.tif", lon=20.0, lat=45.0, size=20)


def check(done: Result, sentence: str) -> None:
    """Exit code 2, nothing on stdout, and one sentence on the last line of stderr."""
    assert (done.exit_code, done.stdout) == (2, ""), done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert re.search(sentence, last), last
    assert "bug" not in last
    assert "Traceback" not in done.stderr
    assert len(last) < LONGEST


def check_mistake(scene: Scene, mistake: Mistake) -> None:
    """Make the mistake: it is told, and nothing is written."""
    arguments = mistake.arguments(scene)
    before = scene.listing()
    check(invoke(arguments), mistake.sentence)
    assert scene.listing() == before

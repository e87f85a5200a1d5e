"""`jspsr prepare` of places that are small, or from which nothing can be learned."""

from pathlib import Path

import pytest

from jspsr_cli.errors import NothingKept
from tests.scenes import Array
from tests.training.prepared import ROWS, SIDE, WEST, Scene, ids, layer
from tests.training.test_prepare import run


def test_the_lattice_moves_to_where_the_most_samples_fit(scene: Scene, tmp_path: Path) -> None:
    """Of five samples side by side three eighths of the first and five of the last are gone: four fit, not three."""
    scene.write("dtm", scene.terrain()[:, 48:-80], 2, west=WEST + 96)
    out = tmp_path / "set"
    report = scene.run(out, valid_share=0)
    assert report.kept == 4 * ROWS
    again = scene.run(out, valid_share=0)
    assert (again.kept, again.made) == (report.kept, 0)


def small(scene: Scene) -> Array:
    """Terrain of 28 x 40 pixels of the set, in which no sample of 32 has room."""
    ground = scene.terrain()[: 28 * 4, : 40 * 4]
    scene.write("dtm", ground, 2)
    return ground


def test_nothing_kept_is_a_failure_that_says_what_helps(scene: Scene, tmp_path: Path) -> None:
    small(scene)
    out = tmp_path / "set"
    with pytest.raises(
        NothingKept, match=r"\(2 at the edge\): the best has data in 87.5%, so give --voids 0.13, or a sm"
    ):
        scene.run(out)
    assert not (out / "config.yaml").exists()
    assert "RGEALTI has no data in 12.5%" in (out / "left_out.csv").read_text()
    # The advice can be taken as it is.
    assert scene.run(out, voids=0.13).kept == 1
    assert scene.run(out, voids=0.13).made == 0


def test_a_smaller_size_may_follow_on_nothing(scene: Scene, tmp_path: Path) -> None:
    small(scene)
    out = tmp_path / "set"
    with pytest.raises(NothingKept):
        scene.run(out)
    stray = layer(out, "e1n1", "RGEALTI")  # of a sample that was being written when the run was killed
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"")
    report = scene.run(out, size=16, valid_share=0)
    assert report.kept == 2
    assert len(ids(out, "Here")) == 2


def test_the_command_fails_where_nothing_is_kept(scene: Scene, tmp_path: Path) -> None:
    small(scene)
    files = [f"--{role}={scene.files[role][0]}" for role in ("terrain", "dem", "canopy")]
    result = run("prepare", *files, "-o", tmp_path / "set", "--size", SIDE, code=1)
    assert result.stdout == ""
    assert result.stderr.count("No sample of dtm was kept") == 1

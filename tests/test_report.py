"""The page of `jspsr evaluate --report`: its figures, what it needs, what it says, and where it is written."""

import base64
import errno
import io
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.image import imread
from rasterio.crs import CRS

from jspsr_cli import Evaluation, extras
from jspsr_cli.assess import charts, evaluation, report
from jspsr_cli.assess.bootstrap import SUFFICIENT_BLOCKS
from jspsr_cli.assess.charts import Chart
from jspsr_cli.assess.evaluated import Assessed, Difference, Figures, Offset, SampleFigures
from jspsr_cli.assess.maps import MOST, Views, pictures_of, read_views
from jspsr_cli.assess.metrics import Metrics
from jspsr_cli.assess.profile import LONGEST, choose_line
from jspsr_cli.assess.rasters import open_rasters
from jspsr_cli.assess.verdict import verdicts
from jspsr_cli.errors import EmptyRaster, ReadFailed
from jspsr_cli.pictures.relief import light
from jspsr_cli.raster.grid import Grid
from jspsr_cli.raster.reader import RasterReader
from tests.mistakes import check
from tests.scenes import Array
from tests.test_evaluate import Scene, ground, invoke, raster

HOSTILE = "<img src=x onerror=alert(1)>&$x_1$ 'é\".tif"

VOID = {"hr", "br", "img", "meta", "link", "path", "use"}


@dataclass
class Page(HTMLParser):
    """A page as it is parsed: tags with their attributes, texts, and tables as rows of cells."""

    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._cell = self._style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        self._cell = tag in ("td", "th") or (self._cell and tag not in ("tr", "p"))
        if tag in ("small", "br") and self._cell:
            self.rows[-1][-1] += " "

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._cell = False

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self._cell:
            self.rows[-1][-1] += data.replace("−", "-").replace("\u202f", " ")

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def parsed(text: str) -> Page:
    page = Page()
    page.feed(text)
    return page


@pytest.fixture(autouse=True, scope="module")
def _no_offsets() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "offset_of", lambda *_: None)
        yield


@dataclass(frozen=True)
class Reported:
    found: Evaluation
    text: str

    @property
    def page(self) -> Page:
        return parsed(self.text)


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    """A page with everything that one can have."""
    scene, out = Scene(tmp_path_factory.mktemp("scene")), tmp_path_factory.mktemp("out")
    raster(scene.folder / HOSTILE, ground() + 1)
    raster(scene.folder / "dem.tif", scene.heights["dem.tif"])
    baselines = [scene["cop.tif"], scene[HOSTILE]]
    found = scene.evaluate(baselines=baselines, canopy=[scene["canopy.tif"]], block=150, report=out / "out.html")
    return Reported(found, (out / "out.html").read_text("utf-8"))


@pytest.fixture
def _no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that do not look at them: they take seconds."""
    for name in ("error_chart", "ground_chart", "profile_chart"):
        monkeypatch.setattr(report, name, lambda *_, **__: Chart(Markup(), Markup()))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


# The page


def test_its_figures_are_those_of_the_evaluation(reported: Reported) -> None:
    rows, found = reported.page.rows, reported.found
    for line in found.overall:
        (row,) = [row for row in rows if row[0] == line.source and len(row) == 9 and "-" not in row[1]][:1]
        low, high = line.intervals["rmse"]
        assert row[1].split() == [f"{value:.3f}" for value in (line.figures.rmse, low, high)]
        assert row[5].split()[0] == f"{line.figures.nmad:.3f}"
        assert [f"{value:.3f}" for value in line.figures.percentiles.values()] in [row[1:] for row in rows]
    for difference in found.differences:
        (row,) = [
            row for row in rows if row[0].split(" minus", 1)[-1].strip() == difference.baseline and "minus" in row[0]
        ]
        assert row[1].split()[0] == f"{difference.figures['rmse']:+.3f}"
    for line in found.grounds:
        kind = next(i for i, row in enumerate(rows) if row[0].startswith(f"{line.ground} "))
        row = rows[kind + 1 + found.sources.index(line.source)]
        figures = line.figures
        expected = (figures.rmse, figures.mae, figures.mean, figures.median, figures.nmad, figures.le90, figures.le95)
        assert [row[0], row[1], *row[3:]] == [line.source, *(f"{value:.3f}" for value in expected)]


def test_it_needs_nothing_else_and_runs_nothing(reported: Reported) -> None:
    page = reported.page
    assert not {"script", "link", "iframe", "object", "foreignobject"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "xlink:href"):
            assert attributes.get(name, "#").startswith(("#", "data:image/png;base64,"))
    css = re.sub(r"url\(#[\w-]+\)", "", reported.text)
    assert not re.search(r"url\(|@import", css)
    assert any("default-src 'none'" in meta.get("content", "") for meta in page.all("meta"))
    assert len(reported.text) < 3e6


def test_names_of_files_are_text(reported: Reported) -> None:
    assert HOSTILE in reported.found.sources
    assert HOSTILE in reported.page.texts
    assert {"x"}.isdisjoint(image.get("src", "") for image in reported.page.all("img"))


def test_it_can_be_read_without_seeing_it(reported: Reported) -> None:
    page = reported.page
    assert [image for image in page.all("img") if not image.get("alt")] == []
    assert all(svg.get("aria-label") or "aria-hidden" in svg for svg in page.all("svg"))
    assert all("scope" in cell for cell in page.all("th"))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids)) > 0
    referred = set(re.findall(r'(?:url\(#|href="#)([\w-]+)', reported.text))
    assert referred <= set(ids)


def test_light_dark_and_paper_have_all_colours(reported: Reported) -> None:
    style = reported.text.split("<style>")[1].split("</style>")[0]
    light, dark = (set(re.findall(r"(--[\w-]+):", style.split(start, 1)[1].split("}", 1)[0]))
                   for start in (":root {", "(prefers-color-scheme: dark) {"))  # fmt: skip
    assert light == dark
    used = set(re.findall(r"var\((--[\w-]+)", reported.text))
    assert used <= light | {"--across", "--down", "--beside", "--least"}
    assert "@media print" in style
    plots = "".join(re.findall(r"<svg class.*?</svg>", reported.text, re.DOTALL))
    assert plots.count("--source-2") > 10
    assert not re.search(r"#[0-9a-fA-F]{6}\b|rgb\(", plots)


def draw_line(figure: Figure, _across: int) -> None:
    figure.subplots().plot([1, 2])


@pytest.mark.usefixtures("_no_plots")
def test_the_same_evaluation_gives_the_same_bytes(scene: Scene) -> None:
    one, other = (scene.folder / name for name in ("one.html", "other.html"))
    for path in (one, other):
        scene.evaluate(report=path)
    assert one.read_bytes() == other.read_bytes()
    plot, again = (charts._svg("plot", draw_line, 1, alt="", size=(99, 99)) for _ in range(2))
    assert plot == again


@pytest.mark.usefixtures("_no_plots")
def test_it_says_how_heights_were_made_and_what_to_keep_in_mind(scene: Scene) -> None:
    tags = {"JSPSR_NOTICE": "the weights were trained on simulated scenes", "JSPSR_WEIGHTS_SHA256": "abc123",
            "JSPSR_OPTIONS": '{"resolution": 8.0}', "JSPSR_LICENCE": "CC BY 4.0", "OTHER": "unsaid"}  # fmt: skip
    with rasterio.open(scene["dem.tif"], "r+") as dataset:
        dataset.update_tags(**tags)
    scene.evaluate(report=scene["out.html"])
    texts = parsed(Path(scene["out.html"]).read_text("utf-8")).texts
    assert {"dem.tif: the weights were trained on simulated scenes", "abc123", "resolution 8.0", "CC BY 4.0"} < {*texts}
    assert "dtm.tif does not say what its heights are counted from: make sure that all have one datum" in texts
    assert any(text.startswith("cop.tif has no data on 1% of the reference") for text in texts)
    assert "unsaid" not in texts


# Sentences

FLAT = Figures(rmse=0, mae=0, mean=0, median=0, nmad=0, le90=0, le95=0, slope_rmse=None, percentiles={})


def line(
    source: str, rmse: float, ends: tuple[float, float] | None, ground: str = "overall", share: float = 0.25
) -> Assessed:
    partition = "canopy" if ground.endswith(" m") else ground
    intervals = {"rmse": ends} if ends else {}
    return Assessed(partition, ground, source, 10, share, replace(FLAT, rmse=rmse, mean=-rmse), intervals)


def apart(ground: str, rmse: float, ends: tuple[float, float] | None, blocks: int = SUFFICIENT_BLOCKS) -> Difference:
    partition = "canopy" if ground.endswith(" m") else ground
    return Difference(partition, ground, "b.tif", blocks, {"rmse": rmse}, {"rmse": ends} if ends else {})


def judged(
    found: Evaluation,
    ends: tuple[float, float] | None,
    *rmses: float,
    grounds: Any = (),
    differences: Any = (),
    blocks: int = SUFFICIENT_BLOCKS,
) -> list[str]:
    names = ("a.tif", "b.tif")[: len(rmses)]
    overall = tuple(line(name, rmse, (rmse, rmse)) for name, rmse in zip(names, rmses, strict=True))
    whole = apart("overall", rmses[0] - rmses[-1], ends, blocks)
    made = replace(found, prediction="a.tif", sources=names, overall=overall, grounds=tuple(grounds), blocks=blocks,
                   differences=(whole,) if len(names) > 1 else (), ground_differences=tuple(differences))  # fmt: skip
    (verdict,) = verdicts(made)
    text = f"{verdict.kind}: {verdict.sentence} {verdict.where}".strip()
    return text.replace("\u202f", " ").replace("−", "-").split(": ", 1)


def test_the_verdict_is_as_sure_as_the_interval(reported: Reported) -> None:
    found = replace(reported.found, block=300.0)
    assert judged(found, (-1.2, -0.8), 1.0, 2.0) == [
        "better", "a.tif is better than b.tif: its RMSE is 1.00 m against 2.00 m, 50 % less (95 % interval of the "
        "difference -1.20 to -0.80 m).",
    ]  # fmt: skip
    assert judged(found, (0.8, 1.2), 2.0, 1.0)[0] == "worse"
    assert "100 % more" in judged(found, (0.8, 1.2), 2.0, 1.0)[1]
    kind, sentence = judged(found, (-0.3, 0.05), 1.0, 1.1)
    assert kind == "open"
    assert "cannot be told" in sentence
    assert "-0.30 to +0.050 m" in sentence
    kind, sentence = judged(found, None, 1.0, 1.1, blocks=4)
    assert kind == "open"
    assert "is smaller, 1.00 m against 1.10 m, but 4 blocks of 300 m do not suffice" in sentence
    assert judged(found, None, 1.5)[1] == (
        "a.tif has an RMSE of 1.50 m (95 % interval 1.50 to 1.50 m) and lies 1.50 m below the reference on average."
    )


@pytest.mark.parametrize(
    ("blocks", "far", "sure"),
    [(SUFFICIENT_BLOCKS, 0.9, True), (SUFFICIENT_BLOCKS - 1, 0.9, False), (SUFFICIENT_BLOCKS - 1, 0.4, True)],
)
def test_of_few_blocks_a_verdict_needs_a_difference_far_from_zero(
    reported: Reported, blocks: int, far: float, sure: bool
) -> None:
    """The ends of the interval lie `far` on either side of a difference of 1 m."""
    better = judged(reported.found, (-1.0 - far, -1.0 + far), 1.0, 2.0, blocks=blocks)
    worse = judged(reported.found, (1.0 - far, 1.0 + far), 2.0, 1.0, blocks=blocks)
    assert (better[0], worse[0]) == (("better", "worse") if sure else ("open", "open"))
    if not sure:
        assert re.search(
            r"is smaller, .* \(95 % interval of the difference -1.90 to -0.100 m\), but 29 blocks", better[1]
        )
    there = apart("2 to 5 m", 1.0, (1.0 - far, 1.0 + far), blocks)
    sentence = judged(reported.found, None, 1.0, 2.0, grounds=on("2 to 5 m", 3.0, 2.0), differences=[there])[1]
    assert ("It is worse" in sentence, "It may be worse" in sentence) == (sure, not sure)


def on(ground: str, own: float, other: float, share: float = 0.25) -> list[Assessed]:
    """Both on a kind of ground, with intervals that overlap: what matters is that of their difference."""
    return [line(name, rmse, (0.0, 9.0), ground, share) for name, rmse in (("a.tif", own), ("b.tif", other))]


def test_grounds_where_it_is_worse_are_named(reported: Reported) -> None:
    grounds = [
        *on("0 to 2 m", 1.0, 2.0), *on("2 to 5 m", 3.0, 2.0), *on("5 to 10 m", 2.1, 2.0),
        *on("10 to 20 m", 2.004, 2.0), *on("20 m and more", 9.0, 8.0, share=0.001),
    ]  # fmt: skip
    differences = [
        apart("0 to 2 m", -1.0, (-1.2, -0.8)), apart("2 to 5 m", 1.0, (0.8, 1.2)), apart("5 to 10 m", 0.1, (-0.1, 0.2)),
        apart("10 to 20 m", 0.004, (-0.1, 0.2)), apart("20 m and more", 1.0, None, 3),
    ]  # fmt: skip
    sentence = judged(reported.found, (-1.2, -0.8), 1.0, 2.0, grounds=grounds, differences=differences)[1]
    assert "It is worse where the canopy height is 2 to 5 m (25.0 % of the pixels, 3.00 m against 2.00 m)." in sentence
    assert re.search("may be worse.* where the canopy height is 5 to 10 m [^,]*, 2.10 m against 2.00 m", sentence)
    assert not re.search("0 to 2 m|10 to 20 m|20 m and more", sentence)


@pytest.mark.parametrize(("own", "said"), [(1.0, True), (2.0, True), (2.004, False)])
def test_no_larger_is_said_where_it_holds_everywhere(reported: Reported, own: float, said: bool) -> None:
    more: dict[str, Any] = {
        "grounds": on("0 to 2 m", own, 2.0),
        "differences": [apart("0 to 2 m", own - 2.0, (-0.1, 0.2))],
    }
    sentence = judged(reported.found, (-1.2, -0.8), 1.0, 2.0, **more)[1]
    assert ("no larger on any kind" in sentence) == said
    assert "worse" not in sentence


def test_it_is_worst_on_ground_that_is_more_than_a_few_pixels(reported: Reported) -> None:
    rows = [("0 to 2 m", 1.0, (0.9, 1.1), 0.5), ("2 to 5 m", 3.0, None, 0.02), ("20 m and more", 50.0, None, 1e-4)]
    grounds = [line("a.tif", rmse, ends, ground, share) for ground, rmse, ends, share in rows]
    assert "worst where the canopy height is 2 to 5 m: 3.00 m" in judged(reported.found, None, 1.0, grounds=grounds)[1]
    assert "worst" not in judged(reported.found, None, 1.0, grounds=grounds[2:])[1]


def test_where_datums_differ_nothing_is_sure(reported: Reported) -> None:
    datums = {"reference": "EGM2008 height (EPSG:3855)", "a.tif": "EGM96 height (EPSG:5773)", "b.tif": "not stated"}
    found = replace(reported.found, datums=datums)
    kind, sentence = judged(found, (-1.2, -0.8), 1.0, 2.0, grounds=on("0 to 2 m", 1.0, 2.0))
    assert (kind, "a.tif is better than b.tif cannot be told" in sentence) == ("open", True)
    assert "Heights of a.tif and of the reference are counted from different vertical datums" in sentence
    assert not re.search("less|on any kind", sentence)
    assert "different vertical datums" in judged(found, None, 1.0)[1]
    for other in ({"coregistered": True}, {"datums": datums | {"a.tif": "not stated"}},
                  {"datums": datums | {"a.tif": datums["reference"]}}):  # fmt: skip
        assert judged(replace(found, **other), (-1.2, -0.8), 1.0, 2.0)[0] == "better"


# Pictures and the line


def grid(width: int, height: int, side: float = 2.0) -> Grid:
    return Grid(CRS.from_epsg(32632), Affine(side, 0, 5e5, 0, -side, 5e6), width, height)


def shown(address: str) -> Array:
    """Red, green, blue and opacity of a picture in a page."""
    return imread(io.BytesIO(base64.b64decode(address.removeprefix("data:image/png;base64,"))))


def test_errors_have_one_scale_and_voids_none() -> None:
    flat = np.zeros((4, 5), dtype=np.float32)
    high, low = flat + 2, flat - 1
    high[1, 1] = np.nan
    maps = pictures_of(Views(grid(5, 4), flat, {"high.tif": high, "low.tif": low}), reference="dtm.tif")
    above, below = (shown(picture.address) for picture in maps.errors)
    assert maps.end == 2
    assert above[0, 0, 0] < 0.5  # dark red: the end of the scale
    assert above[0, 0, 0] > above[0, 0, 2]
    assert 0.5 < below[0, 0, 2] < 1  # a light blue: half of it
    assert below[0, 0, 2] > below[0, 0, 0]
    assert (above[1, 1, 3], below[1, 1, 3], above[0, 0, 3]) == (0, 0, 1)
    assert [picture.name for picture in maps.hillshades] == ["dtm.tif", "high.tif", "low.tif"]
    assert maps.bar == 2  # of 10 m
    assert pictures_of(Views(grid(1, 1), flat[:1, :1], {"a": high[:1, :1]}), reference="b").width == 1


def test_what_has_no_slope_is_lit_as_level_ground() -> None:
    column = np.zeros((3, 1), dtype=np.float32)
    column[1] = np.nan
    lit = light(column, 2.0)
    assert lit[[0, 2], 0] == pytest.approx(light(np.zeros((3, 3)), 2.0)[0, 0])
    assert np.isnan(lit[1, 0])
    assert lit.dtype == np.float32


def test_what_was_taken_out_is_taken_out_of_the_pictures(tmp_path: Path) -> None:
    raster(tmp_path / "dem.tif", ground(east=16.0) + 4)
    raster(tmp_path / "dtm.tif", ground())
    rasters = open_rasters([str(tmp_path / "dem.tif")], reference=[str(tmp_path / "dtm.tif")], baselines=[],
                           classes=[], canopy=[])  # fmt: skip
    lattice = Grid(rasters.reference[0].crs, rasters.reference[0].transform, 130, 150)
    with RasterReader() as reader:
        views = read_views(rasters, lattice, offsets={"dem.tif": Offset(16, 0, 4, 0)}, reader=reader)
        as_they_are = read_views(rasters, lattice, offsets={}, reader=reader)
    assert np.nanmax(np.abs(views.errors["dem.tif"])) < 0.01
    assert np.nanmax(np.abs(as_they_are.errors["dem.tif"])) > 4


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize(("size", "step"), [(300, 1), (3000, 10)])
def test_the_line_lies_where_they_differ_most(down: bool, size: int, step: int) -> None:
    """A ridge on a wide or tall raster, seen whole or on every tenth pixel."""
    apart = np.full((size // step // 3, size // step), 0.1)
    apart[17, -40:] = 5
    apart[0, 0] = np.nan
    whole, view = grid(size, size // 3), grid(size // step, size // step // 3, 2.0 * step)
    if down:
        apart, whole, view = apart.T, grid(size // 3, size), grid(size // step // 3, size // step, 2.0 * step)
    found = choose_line(apart, view, whole)
    across, first = (found.col, found.row) if down else (found.row, found.col)
    assert found.down == down
    assert 17 * step <= across < 18 * step
    assert (found.length, first) == (min(size, LONGEST), size - min(size, LONGEST))


def test_a_large_raster_is_shown_on_few_pixels(tmp_path: Path) -> None:
    raster(tmp_path / "dtm.tif", np.tile(ground(), (1, 9)), side=1.0)
    rasters = open_rasters([str(tmp_path / "dtm.tif")], reference=[str(tmp_path / "dtm.tif")], baselines=[],
                           classes=[], canopy=[])  # fmt: skip
    file = rasters.reference[0]
    with RasterReader() as reader:
        views = read_views(rasters, Grid(file.crs, file.transform, file.width, file.height), offsets={}, reader=reader)
    assert (views.grid.width, max(views.reference.shape)) == (MOST, MOST)


# Where it is written


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("report.pdf", "ends with .html"),
        ("nowhere/report.html", "does not exist"),
        ("folder.html", "is a directory"),
        ("notes.html", "exists and is no report of jspsr"),
        ("dtm.html", "dtm.html exists and is no report"),
    ],
)
def test_a_place_that_cannot_be_is_told_before_any_work(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, name: str, sentence: str
) -> None:
    monkeypatch.setattr(evaluation, "open_rasters", lambda *_, **__: pytest.fail("work was begun"))
    (scene.folder / "folder.html").mkdir()
    (scene.folder / "notes.html").write_text("mine")
    (scene.folder / "dtm.tif").rename(scene.folder / "dtm.html")
    check(invoke(scene["dem.tif"], "--reference", scene["dtm.html"], "--report", scene[name]), sentence)
    assert (scene.folder / "notes.html").read_text() == "mine"


def test_without_the_extra_nothing_is_begun(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "jinja2" else name)
    arguments = [scene["dem.tif"], "--reference", scene["dtm.tif"], "--report", scene["out.html"]]
    check(invoke(*arguments), r"jinja2 is not installed.*pip install 'jspsr\[report\]'")


def test_an_earlier_report_is_replaced_and_stays_where_the_evaluation_fails(
    scene: Scene, reported: Reported, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = scene.folder / "out.html"
    out.write_text(reported.text, "utf-8")
    before = sorted(scene.folder.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(report, "page_of", lambda *_: pytest.fail("nothing was found"))
        raster(scene.folder / "void.tif", np.full((150, 130), -9999))
        with pytest.raises(EmptyRaster):
            scene.evaluate(baselines=[scene["void.tif"]], report=out)
    (scene.folder / "void.tif").unlink()
    assert out.read_text("utf-8") == reported.text
    monkeypatch.setattr(report, "page_of", lambda found, _material: f"page of {found.prediction}")
    done = invoke(scene["dem.tif"], "--reference", scene["dtm.tif"], "--report", out)
    assert done.exit_code == 0, done.output
    assert f"report: {out}" in done.stderr
    assert out.read_text("utf-8") == "page of dem.tif"
    assert sorted(scene.folder.iterdir()) == before


def full(*_: object) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def broken(*_: object) -> Any:
    raise ReadFailed("dtm.tif broke off.")


def amiss(*_: object) -> Any:
    raise RuntimeError("no font")


@pytest.mark.parametrize(
    ("where", "failing", "cause"),
    [
        ("appearing", full, "out.html cannot be written: No space left on device"),
        ("page_of", broken, "dtm.tif broke off"),
        ("page_of", amiss, "RuntimeError: no font"),
    ],
)
def test_an_evaluation_outlives_its_page(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, where: str, failing: Any, cause: str
) -> None:
    monkeypatch.setattr(report, "page_of", lambda *_: "page")
    monkeypatch.setattr(report, where, failing)
    arguments = [scene["dem.tif"], "--reference", scene["dtm.tif"], "--report", scene["out.html"]]
    done = invoke(*arguments, "--json")
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert found["report"] is None
    assert re.search(f"^there is no report: .*{cause}$", found["warnings"][-1])
    assert f"{cause}\n" in done.stderr
    assert not re.search("^report:|Traceback", done.stderr, re.MULTILINE)
    table = invoke(*arguments)
    assert (table.exit_code, "slope of the reference" in table.stdout) == (1, True)
    assert not Path(scene["out.html"]).exists()


def test_offsets_samples_and_classes_are_on_the_page(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page that has every section; the numbers are made up."""
    monkeypatch.setitem(extras.EXTRAS, "evaluate", ())
    monkeypatch.setattr(evaluation, "offset_of", lambda *_: Offset(3.25, -1.5, 0.75, 0.125))
    metrics = Metrics(rmse=1.5, median=0.25, nmad=1.25, le95=2.75, psnr=40.5)
    samples = tuple(SampleFigures(name, 7, metrics, 0.98765) for name in ("dem.tif", "cop.tif"))
    monkeypatch.setattr(evaluation, "sample_figures", lambda *_: samples)
    empty = Chart(Markup(), Markup())
    monkeypatch.setattr(report, "error_chart", lambda *_: empty)
    monkeypatch.setattr(report, "profile_chart", lambda *_: empty)
    told: list[str] = []
    found = scene.evaluate(classes=[scene["classes.tif"]], per_sample=True, coregister=True, report=scene["out.html"],
                           on_warning=told.append)  # fmt: skip
    assert found.report == scene["out.html"]
    page = parsed(Path(scene["out.html"]).read_text("utf-8"))
    assert ["source", "east", "north", "1 sigma", "up"] in page.rows
    assert ["dem.tif", "3.25", "-1.50", "0.12", "0.75"] in page.rows
    assert ["cop.tif", "1.500", "0.250", "1.250", "2.750", "40.50", "0.98765"] in page.rows
    text = " ".join(page.texts)
    assert "Errors by land use" in text
    assert "taken out before the comparison; 1 sigma is the standard error of the horizontal part" in text
    assert "Mean of 7 samples of 128 pixels" in text
    assert "jspsr evaluate --block 300 --per-sample --coregister" in text
    assert "the vertical one too, was taken out" in told[0]
    box = text[text.index("To be kept in mind") : text.index("Figures")]
    assert told[0] in box

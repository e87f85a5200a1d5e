"""The page of `jspsr evaluate --report`: its figures, what it needs, what it says, and where it is written."""

import base64
import io
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
from jspsr_cli.assess.charts import Chart
from jspsr_cli.assess.evaluated import Assessed, Difference, Figures, Offset
from jspsr_cli.assess.maps import MOST, Views, pictures_of, read_views
from jspsr_cli.assess.profile import LONGEST, choose_line
from jspsr_cli.assess.rasters import open_rasters
from jspsr_cli.assess.verdict import verdicts
from jspsr_cli.errors import EmptyRaster
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


def line(source: str, rmse: float, ends: tuple[float, float] | None, ground: str = "overall") -> Assessed:
    partition = "canopy" if ground.endswith(" m") else ground
    intervals = {"rmse": ends} if ends else {}
    return Assessed(partition, ground, source, 10, 0.25, replace(FLAT, rmse=rmse, mean=-rmse), intervals)


def judged(found: Evaluation, ends: tuple[float, float] | None, *rmses: float, grounds: Any = ()) -> list[str]:
    names = ("a.tif", "b.tif")[: len(rmses)]
    overall = tuple(line(name, rmse, (rmse, rmse)) for name, rmse in zip(names, rmses, strict=True))
    apart = Difference("b.tif", {"rmse": rmses[0] - rmses[-1]}, {"rmse": ends} if ends else {})
    made = replace(found, prediction="a.tif", sources=names, overall=overall, grounds=tuple(grounds), blocks=4,
                   differences=(apart,) if len(names) > 1 else ())  # fmt: skip
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
    kind, sentence = judged(found, None, 1.0, 1.1)
    assert kind == "open"
    assert "4 blocks of 300 m do not suffice" in sentence
    assert judged(found, None, 1.5)[1] == (
        "a.tif has an RMSE of 1.50 m (95 % interval 1.50 to 1.50 m) and lies 1.50 m below the reference on average."
    )


def test_grounds_where_it_is_worse_are_named(reported: Reported) -> None:
    grounds = [
        line("a.tif", 1.0, (0.9, 1.1), "0 to 2 m"), line("b.tif", 2.0, (1.9, 2.1), "0 to 2 m"),
        line("a.tif", 3.0, (2.9, 3.1), "2 to 5 m"), line("b.tif", 2.0, (1.9, 2.1), "2 to 5 m"),
        line("a.tif", 2.1, (1.5, 2.6), "5 to 10 m"), line("b.tif", 2.0, (1.9, 2.1), "5 to 10 m"),
    ]  # fmt: skip
    sentence = judged(reported.found, (-1.2, -0.8), 1.0, 2.0, grounds=grounds)[1]
    assert "It is worse where the canopy height is 2 to 5 m (25.0 % of the pixels, 3.00 m against 2.00 m)." in sentence
    assert re.search("may be worse.* where the canopy height is 5 to 10 m", sentence)
    assert "0 to 2 m" not in sentence
    assert "smaller on every kind" in judged(reported.found, (-1.2, -0.8), 1.0, 2.0, grounds=grounds[:2])[1]
    assert (
        "worst where the canopy height is 2 to 5 m: 3.00 m"
        in judged(reported.found, None, 1.0, grounds=grounds[::2])[1]
    )


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

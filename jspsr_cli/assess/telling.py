"""An evaluation as text of at most 80 columns."""

from collections.abc import Iterator, Sequence

from jspsr_cli.assess.evaluated import Assessed, Difference, Evaluation, Figures
from jspsr_cli.assess.ground import PARTITIONS
from jspsr_cli.assess.verdict import blocks

# Width of the first column; longer names are cut in the middle, where files of one place differ least.
NAME = 22

FIGURES = ("rmse", "mae", "mean", "median", "nmad", "le90", "le95")


def for_people(found: Evaluation) -> list[str]:
    """The tables, without warnings and notes."""
    side, pixels = found.resolution, found.pixels
    area = pixels * side**2 / 1e6
    text = [f"{pixels:,} pixels of {side:.3g} m of {found.reference}, {area:.3g} km2; errors in m", ""]
    text += [_head("", FIGURES, last="SLOPE")]
    for line in found.overall:
        text += [_row(line.source, line.figures), *_ends(line.intervals)]
    text += _differences(found.differences)
    text += ["", *_percentiles(found.overall), *_offsets(found), *_samples(found)]
    for partition in PARTITIONS.values():
        lines = [line for line in found.grounds if line.partition == partition.name]
        text += ["", *_grounds(partition.title, lines)] if lines else []
    few = f"{blocks(found)} {'is' if found.blocks == 1 else 'are'} too few for intervals, see --block"
    ends = f"2.5 % to 97.5 % by draws of {blocks(found)}" if found.overall[0].intervals else few
    return [*text, "", f"{ends}; SLOPE: RMSE in degrees"]


def _name(name: str) -> str:
    half = (NAME - 3) // 2
    short = name if len(name) < NAME else f"{name[:half]}..{name[-half:]}"
    return f"{short:{NAME}}"


def _head(title: str, columns: Sequence[str], *, last: str) -> str:
    return f"{title:{NAME}}" + "".join(f"{name.upper():>7}" for name in (*columns, last))


def _cells(values: Sequence[float | None]) -> str:
    return "".join(f"{'-':>7}" if value is None else _cell(value, 7) for value in values)


def _cell(value: float, width: int, digits: int = 3) -> str:
    """As many of the `digits` after the point as leave a space before it, with a minus too: from 10 m on fewer."""
    most = next((few for few in range(digits, 0, -1) if len(f"{-abs(value):.{few}f}") < width), 0)
    return f"{value:{width}.{most}f}"


def _row(name: str, figures: Figures) -> str:
    return _name(name) + _cells([*(getattr(figures, key) for key in FIGURES), figures.slope_rmse])


def _ends(intervals: dict[str, tuple[float, float]]) -> Iterator[str]:
    for title, end in (("  2.5 %", 0), ("  97.5 %", 1)):
        if intervals:
            yield f"{title:{NAME}}" + _cells([intervals[key][end] for key in FIGURES])


def _differences(differences: Sequence[Difference]) -> Iterator[str]:
    if differences:
        yield ""
        yield "the prediction minus a baseline: below 0 is better, but for MEAN and MEDIAN"
    for difference in differences:
        values = [difference.figures.get(key) for key in (*FIGURES, "slope_rmse")]
        yield _name(f"- {difference.baseline}") + _cells(values)
        yield from _ends(difference.intervals)


def _percentiles(overall: Sequence[Assessed]) -> Iterator[str]:
    names = list(overall[0].figures.percentiles)
    yield f"{'percentiles of errors':{NAME}}" + "".join(f"{name[1:] + ' %':>8}" for name in names)
    for line in overall:
        yield _name(line.source) + "".join(_cell(line.figures.percentiles[name], 8) for name in names)


def _offsets(found: Evaluation) -> Iterator[str]:
    if found.offsets:
        yield ""
        yield "lies off the reference by" + ", which was taken out" * found.coregistered
        yield f"{'':{NAME}}{'EAST':>8}{'NORTH':>8}{'1 SIGMA':>9}{'UP':>8}"
    for name, offset in found.offsets.items():
        east, north, up = (_cell(value, 8, digits=2) for value in (offset.east, offset.north, offset.up))
        yield f"{_name(name)}{east}{north}{_cell(offset.uncertain, 9, digits=2)}{up}"
    if found.offsets:
        yield "1 SIGMA: standard error of EAST and NORTH together, from quarters of the ground"


def _samples(found: Evaluation) -> Iterator[str]:
    if found.samples:
        yield ""
        yield f"{f'mean of {found.samples[0].samples} samples':{NAME}}   RMSE MEDIAN   NMAD   LE95   PSNR     SSIM"
    for line in found.samples:
        m = line.metrics
        yield _name(line.source) + _cells([m.rmse, m.median, m.nmad, m.le95, m.psnr]) + f"{line.ssim:9.5f}"


def _grounds(title: str, lines: Sequence[Assessed]) -> Iterator[str]:
    yield _head(title, ("rmse", "2.5 %", "97.5 %", "mae", "mean", "median", "nmad"), last="le95")
    for ground in dict.fromkeys(line.ground for line in lines):
        here = [line for line in lines if line.ground == ground]
        yield f"{ground}, {here[0].share:.1%}"
        for line in here:
            f, ends = line.figures, line.intervals.get("rmse", (None, None))
            yield _name(f"  {line.source}") + _cells([f.rmse, *ends, f.mae, f.mean, f.median, f.nmad, f.le95])

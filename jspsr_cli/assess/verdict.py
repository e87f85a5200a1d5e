"""What an evaluation says in sentences: better or not, by how much, how sure, and where not."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from jspsr_cli.assess.bootstrap import SUFFICIENT_BLOCKS, TIMES_AS_WIDE
from jspsr_cli.assess.evaluated import Assessed, Difference, Evaluation
from jspsr_cli.assess.ground import PARTITIONS
from jspsr_cli.assess.rasters import NOT_STATED
from jspsr_cli.pictures.layout import MINUS

# Kinds of ground that a sentence lists; the tables have all of them.
LISTED = 4

# Share of the pixels that a kind of ground holds at the least, where no interval tells how sure its figures are.
LEAST_SHARE = 0.01

# Metres below which two decimals say too little.
SMALL = 0.1

NARROW_SPACE = "\N{NARROW NO-BREAK SPACE}"

INTERVAL = f"95{NARROW_SPACE}% interval"


@dataclass(frozen=True)
class Verdict:
    """What is said of the prediction against a baseline, and where it is worse; where it is worst without one."""

    kind: Literal["better", "worse", "open", "alone"]
    sentence: str
    where: str


def verdicts(found: Evaluation) -> tuple[Verdict, ...]:
    """One for each baseline, or one that stands alone."""
    if not found.differences:
        return (_alone(found),)
    return tuple(_against(found, difference) for difference in found.differences)


def metres(value: float, *, signed: bool = False) -> str:
    """A length without its unit: `2.93`, `0.004`, `-0.32` with a true minus."""
    text = f"{value:{'+' if signed else ''}z.{2 if abs(value) >= SMALL else 3}f}"
    return text.replace("-", MINUS)


def interval(ends: tuple[float, float], *, signed: bool = False) -> str:
    """From the lower to the upper end."""
    return " to ".join(metres(end, signed=signed) for end in ends)


def share(value: float, digits: int = 1) -> str:
    """`51.2 %`."""
    return f"{100 * value:.{digits}f}{NARROW_SPACE}%"


def ground_of(line: Assessed) -> str:
    """`where the canopy height is 2 to 5 m`."""
    return f"where the {PARTITIONS[line.partition].title} is {line.ground}"


def _alone(found: Evaluation) -> Verdict:
    line = found.overall[0]
    ends = f" ({INTERVAL} {interval(line.intervals['rmse'])} m)" if line.intervals else ""
    sentence = (
        f"{found.prediction} has an RMSE of {metres(line.figures.rmse)} m{ends} and lies "
        f"{metres(abs(line.figures.mean))} m {'above' if line.figures.mean > 0 else 'below'} the reference on average."
    )
    return Verdict("alone", sentence, _datums(found, found.prediction) or _worst(found))


def _against(found: Evaluation, difference: Difference) -> Verdict:
    name, other = found.prediction, difference.baseline
    own, theirs = (_rmse(found, source) for source in (name, other))
    apart, ends = difference.figures["rmse"], difference.intervals.get("rmse")
    figures = f"{metres(own)} m against {metres(theirs)} m"
    untold = f"Whether {name} is better than {other} cannot be told: its RMSE is"
    if datums := _datums(found, name, other):
        return Verdict("open", f"{untold} {figures}.", datums)
    where = _where(found, other)
    if ends and ends[0] <= 0 <= ends[1]:
        may_be = f"and the difference may be {interval(ends, signed=True)} m ({INTERVAL})"
        return Verdict("open", f"{untold} {figures}, {may_be}.", where)
    of_difference = f"({INTERVAL} of the difference {interval(ends, signed=True)} m)" if ends else ""
    if not _sure(difference):
        size = f"{'smaller' if apart < 0 else 'larger'}, {figures} {of_difference}".rstrip()
        return Verdict("open", f"{untold} {size}, but {blocks(found)} do not suffice to be sure of that.", where)
    kind: Literal["better", "worse"] = "better" if apart < 0 else "worse"
    by = f", {share(abs(apart) / theirs, 0)} {'less' if apart < 0 else 'more'}" if theirs > 0 else ""
    sentence = f"{name} is {kind} than {other}: its RMSE is {figures}{by} "
    return Verdict(kind, f"{sentence}{of_difference}.", where)


def _sure(difference: Difference) -> bool:
    """Whether the sign of a difference in RMSE is no chance: 0 lies beyond its interval, of few blocks far beyond."""
    if "rmse" not in difference.intervals:
        return False
    apart = difference.figures["rmse"]
    wide = 1 if difference.blocks >= SUFFICIENT_BLOCKS else TIMES_AS_WIDE
    low, high = (apart + wide * (end - apart) for end in difference.intervals["rmse"])
    return low > 0 or high < 0


def blocks(found: Evaluation) -> str:
    """`16 blocks of 300 m`."""
    return f"{found.blocks} block{'s' * (found.blocks != 1)} of {found.block:.0f} m"


def _rmse(found: Evaluation, source: str) -> float:
    return next(line.figures.rmse for line in found.overall if line.source == source)


def _datums(found: Evaluation, *sources: str) -> str:
    """What is to be said where the distance of vertical datums is in the figures of `sources`; else nothing."""
    right = found.datums.get("reference", NOT_STATED)
    other = [name for name in sources if found.datums.get(name, NOT_STATED) not in (right, NOT_STATED)]
    if right == NOT_STATED or found.coregistered or not other:
        return ""
    return (
        f"Heights of {' and '.join(other)} and of the reference are counted from different vertical datums: how far "
        "these are apart is in all figures."
    )


@dataclass(frozen=True)
class _Larger:
    """A kind of ground where the RMSE of the prediction is larger than that of a baseline, and whether that is sure."""

    own: Assessed
    other: Assessed
    sure: bool

    @property
    def worth_saying(self) -> bool:
        """Whether figures as they are listed tell the two apart, on ground that is more than a few pixels."""
        apart = metres(self.own.figures.rmse) != metres(self.other.figures.rmse)
        return self.sure or (apart and self.own.share >= LEAST_SHARE)


def _larger(found: Evaluation, baseline: str) -> Iterator[_Larger]:
    lines = {(line.partition, line.ground, line.source): line for line in found.grounds}
    for one in found.ground_differences:
        if one.baseline == baseline and one.figures["rmse"] > 0:
            own, other = (lines[one.partition, one.ground, source] for source in (found.prediction, baseline))
            yield _Larger(own, other, sure=_sure(one))


def _where(found: Evaluation, baseline: str) -> str:
    larger = list(_larger(found, baseline))
    if not larger:
        return "Its RMSE is no larger on any kind of ground that was told apart." if found.grounds else ""
    sure = [one for one in larger if one.sure]
    perhaps = [one for one in larger if one.worth_saying and not one.sure]
    parts = [f"It is worse {_listed(sure)}."] if sure else []
    if perhaps:
        parts.append(f"It may be worse, for all that the intervals tell, {_listed(perhaps)}.")
    return " ".join(parts)


def _listed(worse: list[_Larger]) -> str:
    """Those that hold the most pixels first."""
    by_share = sorted(worse, key=lambda one: -one.own.share)
    items = [
        f"{ground_of(one.own)} ({share(one.own.share)} of the pixels, {metres(one.own.figures.rmse)} m against "
        f"{metres(one.other.figures.rmse)} m)"
        for one in by_share[:LISTED]
    ]
    more = len(worse) - LISTED
    return ", ".join(items) + (f" and {more} more, see below" if more > 0 else "")


def _worst(found: Evaluation) -> str:
    large = [line for line in found.grounds if line.intervals or line.share >= LEAST_SHARE]
    if not large:
        return ""
    line = max(large, key=lambda one: one.figures.rmse)
    return f"It is worst {ground_of(line)}: {metres(line.figures.rmse)} m on {share(line.share)} of the pixels."

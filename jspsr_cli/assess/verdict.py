"""What an evaluation says in sentences: better or not, by how much, how sure, and where not."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from jspsr_cli.assess.evaluated import Assessed, Difference, Evaluation
from jspsr_cli.assess.ground import PARTITIONS

# Kinds of ground that a sentence lists; the tables have all of them.
LISTED = 4

# Metres below which two decimals say too little.
SMALL = 0.1

MINUS, NARROW_SPACE = "\N{MINUS SIGN}", "\N{NARROW NO-BREAK SPACE}"

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
    return Verdict("alone", sentence, _worst(found))


def _against(found: Evaluation, difference: Difference) -> Verdict:
    name, other = found.prediction, difference.baseline
    own, theirs = (_rmse(found, source) for source in (name, other))
    apart, ends = difference.figures["rmse"], difference.intervals.get("rmse")
    figures = f"{metres(own)} m against {metres(theirs)} m"
    where = _where(found, other)
    if ends is None:
        size = "smaller" if apart < 0 else "larger"
        sentence = f"Whether {name} is better than {other} cannot be told: its RMSE is {size}, {figures}, "
        return Verdict("open", f"{sentence}but {blocks(found)} do not suffice to say how sure that is.", where)
    if ends[0] <= 0 <= ends[1]:
        sentence = f"Whether {name} is better than {other} cannot be told: its RMSE is {figures}, and the difference "
        return Verdict("open", f"{sentence}may be {interval(ends, signed=True)} m ({INTERVAL}).", where)
    kind: Literal["better", "worse"] = "better" if apart < 0 else "worse"
    by = f", {share(abs(apart) / theirs, 0)} {'less' if apart < 0 else 'more'}" if theirs > 0 else ""
    sentence = f"{name} is {kind} than {other}: its RMSE is {figures}{by} "
    return Verdict(kind, f"{sentence}({INTERVAL} of the difference {interval(ends, signed=True)} m).", where)


def blocks(found: Evaluation) -> str:
    """`16 blocks of 300 m`."""
    return f"{found.blocks} block{'s' * (found.blocks != 1)} of {found.block:.0f} m"


def _rmse(found: Evaluation, source: str) -> float:
    return next(line.figures.rmse for line in found.overall if line.source == source)


def pairs(found: Evaluation, baseline: str) -> Iterator[tuple[Assessed, Assessed]]:
    """The prediction and a baseline on each kind of ground."""
    lines = {(line.partition, line.ground, line.source): line for line in found.grounds}
    for (partition, ground, source), line in lines.items():
        if source == found.prediction:
            yield line, lines[partition, ground, baseline]


def _where(found: Evaluation, baseline: str) -> str:
    worse = [(own, other) for own, other in pairs(found, baseline) if own.figures.rmse > other.figures.rmse]
    if not worse:
        return "Its RMSE is smaller on every kind of ground that was told apart." if found.grounds else ""
    sure = [pair for pair in worse if _apart(*pair)]
    perhaps = [pair for pair in worse if pair not in sure]
    parts = [f"It is worse {_listed(sure)}."] if sure else []
    if perhaps:
        parts.append(f"It may be worse, for all that the intervals tell, {_listed(perhaps)}.")
    return " ".join(parts)


def _apart(own: Assessed, other: Assessed) -> bool:
    """Whether the intervals of the two do not touch: cautious, as both are of the same blocks."""
    if not (own.intervals and other.intervals):
        return False
    return own.intervals["rmse"][0] > other.intervals["rmse"][1]


def _listed(worse: list[tuple[Assessed, Assessed]]) -> str:
    """Those that hold the most pixels first."""
    by_share = sorted(worse, key=lambda pair: -pair[0].share)
    items = [
        f"{ground_of(own)} ({share(own.share)} of the pixels, {metres(own.figures.rmse)} m against "
        f"{metres(other.figures.rmse)} m)"
        for own, other in by_share[:LISTED]
    ]
    more = len(worse) - LISTED
    return ", ".join(items) + (f" and {more} more, see below" if more > 0 else "")


def _worst(found: Evaluation) -> str:
    if not found.grounds:
        return ""
    line = max(found.grounds, key=lambda one: one.figures.rmse)
    return f"It is worst {ground_of(line)}: {metres(line.figures.rmse)} m on {share(line.share)} of the pixels."

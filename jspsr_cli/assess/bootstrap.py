"""Intervals of figures whose errors are not independent: whole blocks of ground are drawn, not pixels.

Source: Lahiri, Resampling Methods for Dependent Data, Springer 2003, chapter 12 (block bootstrap of spatial data).
"""

from collections.abc import Mapping

import numpy as np

from jspsr_cli.assess.bins import Counts, coarse_measures
from jspsr_cli.assess.evaluated import Figures, Intervals
from jspsr_cli.assess.tally import Tally
from jspsr_cli.types import BoolArray, FloatArray

# Enough for the 2.5th and 97.5th percentile: each has twelve draws beyond it.
DRAWS = 500

# Per cent between which 95 % of the draws lie.
PERCENTILES = (2.5, 97.5)

# The same command twice gives the same intervals.
SEED = 20_251_107

# With fewer, draws are too much alike for their spread to say anything.
FEWEST_BLOCKS = 10


def draw_blocks(used: BoolArray) -> FloatArray:
    """How often each block is drawn: (draws, blocks); `used` is True for the blocks that hold pixels."""
    times = np.zeros((DRAWS, len(used)))
    count = int(used.sum())
    times[:, used] = np.random.default_rng(SEED).multinomial(count, np.full(count, 1 / count), DRAWS)
    return times


def drawn_figures(tally: Tally, number: int, times: FloatArray) -> dict[str, FloatArray]:
    """Each figure of a class in each draw; empty where too few blocks hold the class.

    Median, NMAD, LE90 and LE95 where the tally has the distribution of blocks.
    """
    if np.count_nonzero(tally.pixels[number]) < FEWEST_BLOCKS:
        return {}
    pixels = times @ tally.pixels[number]
    pixels[pixels == 0] = np.nan  # a draw of blocks that do not hold the class
    mean, absolute, squares = (times @ sums[number] / pixels for sums in tally.sums)
    drawn = {"rmse": np.sqrt(squares), "mae": absolute, "mean": mean}
    if tally.coarse is not None:
        used = times.any(axis=0)
        distributions = times[:, used].astype(np.float32) @ tally.coarse[used].astype(np.float32)
        drawn |= _measures(distributions, tally.coarse.sum(axis=0), tally.figures(number))
    return drawn


def _measures(distributions: FloatArray, whole: Counts, exact: Figures) -> dict[str, FloatArray]:
    """Median and measures of spread of each of `distributions` (draws, coarse bins).

    Coarse bins put those of all errors a little off what they are, `exact`; so they do in the draws.
    """
    measures, off = [coarse_measures(counts) for counts in distributions], coarse_measures(whole)
    found = {}
    for name, value in off.items():
        draws = np.array([measure[name] for measure in measures]) - value + getattr(exact, name)
        found[name] = draws if name == "median" else np.maximum(draws, 0)
    return found


def intervals_of(drawn: Mapping[str, FloatArray]) -> Intervals:
    """The interval of each figure."""
    ends = {name: np.nanpercentile(values, PERCENTILES) for name, values in drawn.items()}
    return {name: (float(low), float(high)) for name, (low, high) in ends.items()}

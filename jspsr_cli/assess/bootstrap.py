"""Intervals of figures whose errors are not independent: whole blocks of ground are drawn, not pixels.

Percentiles of the draws are too narrow where blocks are few: for a mean of n they are those of the normal distribution
and of a variance that is divided by n, so they are widened by Student's t and by the root of n / (n - 1).

Sources: Lahiri, Resampling Methods for Dependent Data, Springer 2003, chapter 12 (block bootstrap of spatial data);
Hesterberg, What Teachers Should Know About the Bootstrap, The American Statistician 2015, 69(4), 371-386 (few blocks).
"""

import math
from collections.abc import Mapping

import numpy as np
from scipy.special import ndtri, stdtrit

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

# With fewer, an interval decides which of two is better only where one so many times as wide does. Of two whose true
# RMSE is the same, one is taken for better in 5 to 9 % of trials; where the errors of one lie in few blocks, in 11 to
# 19 % with 10 blocks and in 11 to 15 % with 30; by twice the interval, in no more than 5 % (mean squares of blocks were
# lognormal; tests/test_evaluate_figures.py has some of these trials).
SUFFICIENT_BLOCKS, TIMES_AS_WIDE = 30, 2

# Figures that can be below 0; so can all differences.
SIGNED = ("mean", "median")


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


def intervals_of(
    drawn: Mapping[str, FloatArray], exact: Mapping[str, float], *, blocks: int, differences: bool = False
) -> Intervals:
    """The interval of each figure that was `drawn` from so many `blocks`, widened around what it is, `exact`."""
    found = {}
    for name, values in drawn.items():
        ends = exact[name] + widening(blocks) * (np.nanpercentile(values, PERCENTILES) - exact[name])
        low, high = (float(end) if differences or name in SIGNED else max(0.0, float(end)) for end in ends)
        found[name] = (low, high)
    return found


def widening(blocks: int) -> float:
    """By what intervals from draws of so many blocks are too narrow: 1.22 for 10, 1.06 for 30."""
    upper = PERCENTILES[1] / 100
    return float(stdtrit(blocks - 1, upper) / ndtri(upper)) * math.sqrt(blocks / (blocks - 1))

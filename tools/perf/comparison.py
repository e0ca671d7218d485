"""Statistics of two samples: one-sided Mann-Whitney tests, Hodges-Lehmann shift and its confidence interval.

A sample is a list of values, one per process; the process is the unit, because repetitions inside one are correlated.
Everything is done on logarithms, so that a shift is a ratio: +0.05 is 5 % slower.
"""

import dataclasses
import math

import numpy as np
from scipy import stats

CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Shifts are relative: 0.05 is 5 % slower than base."""

    num_base: int
    num_cand: int
    base_median: float
    cand_median: float
    shift: float
    shift_low: float
    shift_high: float
    p_slower: float
    p_faster: float


def compare(base, cand):
    """Compares two samples of at least two positive values each."""
    log_base, log_cand = np.log(base), np.log(cand)
    differences = np.sort(np.subtract.outer(log_cand, log_base).ravel())
    low, high = _interval(log_base, log_cand, differences)
    return Comparison(
        num_base=len(base),
        num_cand=len(cand),
        base_median=float(np.median(base)),
        cand_median=float(np.median(cand)),
        shift=math.expm1(float(np.median(differences))),
        shift_low=math.expm1(low),
        shift_high=math.expm1(high),
        p_slower=_p_value(log_cand, log_base, "greater"),
        p_faster=_p_value(log_cand, log_base, "less"),
    )


def holm(p_values):
    """Holm's step-down adjustment: each p-value as it stands beside the others, in the order given."""
    order = np.argsort(p_values)
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def _p_value(a, b, alternative):
    return float(stats.mannwhitneyu(a, b, alternative=alternative).pvalue)


def _interval(log_base, log_cand, differences):
    """The shifts that a two-sided Mann-Whitney test does not reject: the ends are pairwise differences.

    The p-value as a function of the shift is a step function that changes at the differences only, rising to the
    median and falling after it, so that each end is found by bisection over the midpoints between them.
    """
    if differences[0] == differences[-1]:
        return float(differences[0]), float(differences[0])
    middles = (differences[1:] + differences[:-1]) / 2

    def is_kept(index):
        return _p_value(log_cand - middles[index], log_base, "two-sided") >= 1 - CONFIDENCE

    center = len(middles) // 2
    if not is_kept(center):
        # So many ties that the test rejects even the estimate: no interval narrower than the data.
        return float(differences[0]), float(differences[-1])
    first = _bisect(-1, center, is_kept)
    last = _bisect(len(middles), center, is_kept)
    return float(differences[first]), float(differences[last + 1])


def _bisect(outside, inside, is_kept):
    """The index nearest to `outside` that is kept, where `inside` is."""
    while abs(inside - outside) > 1:
        middle = (inside + outside) // 2
        if is_kept(middle):
            inside = middle
        else:
            outside = middle
    return inside

"""The two numbers that stand for all repetitions of one process."""

import math
import statistics

TAIL_QUANTILE = 0.9


def faster_half_mean(values):
    """The typical time: the mean of the faster half (of an odd number, with the middle one).

    Interruptions only ever add time, and up to half of the repetitions may meet them.  The minimum alone would be as
    deaf to them, but it varies more between processes: it depends on one repetition, and the fastest is often one that
    a brief change of the core's clock favoured.
    """
    kept = sorted(values)[:(len(values) + 1) // 2]
    return statistics.fmean(kept)


def tail(values):
    """The tail time: the 90th percentile by nearest rank, of fewer than ten values the largest.

    It sees what the faster half drops: a slowdown of more than a tenth of the repetitions.  It varies more between
    processes than the typical time, so that its smallest shift that matters is larger (judge.Rules).
    """
    return sorted(values)[math.ceil(TAIL_QUANTILE * len(values)) - 1]

"""Dates a change in a series of measurements: binary segmentation by the Mann-Whitney test.

A change point says where a series most likely moved, for a person who reads the trend.  It is no gate: the best of
many splits is chosen and tested on the same values, so that its p-value is too small.
"""

import numpy as np
from scipy import stats

MIN_SEGMENT = 5
ALPHA = 0.001
MIN_EFFECT = 0.02


def find(values):
    """The indices at which a new level begins, in order."""
    return sorted(_find(np.log(np.asarray(values, dtype=float)), 0))


def _find(values, offset):
    if len(values) < 2 * MIN_SEGMENT:
        return []
    candidates = range(MIN_SEGMENT, len(values) - MIN_SEGMENT + 1)
    split = min(candidates, key=lambda index: _cost(values[:index]) + _cost(values[index:]))
    left, right = values[:split], values[split:]
    moved = abs(np.median(right) - np.median(left)) > np.log1p(MIN_EFFECT)
    if not moved or stats.mannwhitneyu(left, right).pvalue >= ALPHA:
        return []
    return _find(left, offset) + [offset + split] + _find(right, offset + split)


def _cost(segment):
    return float(np.abs(segment - np.median(segment)).sum())

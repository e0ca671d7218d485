"""One number for all repetitions of one process."""

import statistics


def faster_half_mean(values):
    """The mean of the faster half (of an odd number, with the middle one).

    Interruptions only ever add time, and up to half of the repetitions may meet them.  The minimum alone would be as
    deaf to them, but it varies more between processes: it hangs on one repetition, and the fastest is often one that
    a brief change of the core's clock favoured.
    """
    kept = sorted(values)[:(len(values) + 1) // 2]
    return statistics.fmean(kept)

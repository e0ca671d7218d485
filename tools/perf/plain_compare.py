"""What simpler gates would have said about the recorded trials of identical sides.

Both stand for habits: all processes of A, then all of B, by the Mann-Whitney test at .05 on CPU times (as Google
Benchmark's compare.py tests), or by a median 5 % higher.  Neighbouring trials of one run give the two sides.
"""

import statistics

from scipy import stats


def alarm_lines(trials):
    """One line on the pairs of neighbouring A/A trials of one run, or none where there are no such pairs."""
    pairs = [
        (first, second) for first, second in zip(trials, trials[1:])
        if first["pct"] == second["pct"] == 0 and _run_of(first) == _run_of(second)
    ]
    if not pairs:
        return []
    u_test = gate = 0
    for first, second in pairs:
        a, b = _times(first, "base"), _times(second, "cand")
        u_test += stats.mannwhitneyu(a, b).pvalue < 0.05
        gate += statistics.median(b) > 1.05 * statistics.median(a)
    return [
        f"on the same data, all of A and then all of B ({len(pairs)} comparisons of identical binaries): different by "
        f"Mann-Whitney at .05 in {u_test / len(pairs):.0%}; over a plain gate of 5 % in {gate / len(pairs):.0%}"
    ]


def _run_of(trial):
    return trial["condition"], trial["time"]


def _times(trial, side):
    return [sample[0] for sample in trial["samples"]["screen"][side]]

"""Whether the processes of a record support its value, their median.

The variation of the calibration kernel says nothing about that.  A benchmark can run in one of two ways from process to
process (by where its memory lies, say), and passes of several ranks, timed by the clock on the wall, become longer when
other processes take their CPUs, while the CPU time of the calibration kernel stays as it is.
"""

import dataclasses
import statistics

from scipy import stats

from tools.perf import machine, result_file

CONFIDENCE = 0.95
# A regression of 27 % that is none, or one that hides, is worse than no record.
MAX_HALF_WIDTH = 0.05
# Of CPUs that a benchmark needs for itself, so many may be taken by other processes.
MAX_MISSING_CPUS = 0.1


@dataclasses.dataclass(frozen=True)
class Support:
    """The 95 % interval of the median, relative to it, and what is wrong with the value; empty: nothing."""

    median_low: float
    median_high: float
    other_cpus: float
    problem: str

    def as_json(self):
        return dataclasses.asdict(self)


def of(values, other_cpus, num_busy_cpus):
    """The Support of the median of `values`, one a process; while each ran, other processes kept `other_cpus` busy.

    num_busy_cpus: CPUs that the benchmark must have for itself, 0 where its time is CPU time."""
    median = statistics.median(values)
    low, high = (end / median - 1 for end in median_interval(values))
    others = statistics.median(other_cpus)
    missing = num_busy_cpus + others - len(machine.allowed_cpus())
    problem = ""
    if (high - low) / 2 > MAX_HALF_WIDTH:
        problem = (f"its {len(values)} processes disagree: the 95 % interval of their median is {low:+.1%} .. "
                   f"{high:+.1%}, and half of it may be at most {MAX_HALF_WIDTH:.0%}")
    elif num_busy_cpus and missing > MAX_MISSING_CPUS:
        problem = (f"it is timed by the clock on {num_busy_cpus} CPUs, of which other processes took {missing:.1f}; at "
                   f"most {MAX_MISSING_CPUS} are allowed")
    return Support(low, high, others, problem)


def median_interval(values):
    """The order statistics around the median that hold it with 95 % confidence; of fewer than six values all."""
    lowest = max(1, int(stats.binom.ppf((1 - CONFIDENCE) / 2, len(values), 0.5)))
    ordered = sorted(values)
    return ordered[lowest - 1], ordered[len(values) - lowest]


def num_busy_cpus(context, is_manual):
    """How many CPUs a benchmark must have for itself."""
    if not is_manual or context.get("device", "cpu") != "cpu":
        return 0
    num_threads = result_file.largest_number(context, "num_threads")
    wanted = int(result_file.largest_number(context, "world_size") * num_threads)
    return min(wanted, len(machine.allowed_cpus()))

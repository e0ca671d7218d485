"""What is kept of every process: the value that is compared, and what it was computed from."""

import dataclasses

from tools.perf import judge, result_file


@dataclasses.dataclass(frozen=True)
class Sample:
    """One benchmark in one process.

    value and tail_value are what is compared: time_ns and tail_ns, each divided by calibration_ns where the calibration
    kernel ran, as they are elsewhere (on a GPU).  seconds is when the process ended, since the start of the
    measurement.
    """

    value: float
    tail_value: float
    time_ns: float
    tail_ns: float
    calibration_ns: float
    seconds: float
    sm_clock_mhz: float = 0.0

    def of(self, quantity):
        return self.tail_value if quantity == judge.TAIL else self.value

    def as_json(self):
        return dataclasses.asdict(self)


def make_sample(measurement, context, seconds):
    """Returns (Sample, "") or (None, why there is none)."""
    if measurement.error:
        return None, measurement.error
    calibration_ns = measurement.calibration_ns
    if not measurement.is_manual and not calibration_ns > 0:
        return None, "its rows have no calibration_cpu_ns"
    unit_ns = calibration_ns or 1.0
    clock = result_file.context_number(context, "sm_clock_mhz") or 0.0
    return Sample(
        measurement.time_ns / unit_ns, measurement.tail_ns / unit_ns, measurement.time_ns, measurement.tail_ns,
        calibration_ns, seconds, clock), ""

"""What is kept of every process: the value that is compared, and what it was computed from."""

import dataclasses

from tools.perf import result_file


@dataclasses.dataclass(frozen=True)
class Sample:
    """One benchmark in one process.

    value is what is compared: time_ns / calibration_ns where the calibration kernel ran, time_ns alone elsewhere (on a
    GPU).  seconds is when the process ended, since the start of the measurement.
    """

    value: float
    time_ns: float
    calibration_ns: float
    seconds: float
    sm_clock_mhz: float = 0.0

    def as_json(self):
        return dataclasses.asdict(self)


def make_sample(measurement, context, seconds):
    """Returns (Sample, "") or (None, why there is none)."""
    if measurement.error:
        return None, measurement.error
    calibration_ns = measurement.calibration_ns
    if not measurement.is_manual and not calibration_ns > 0:
        return None, "its rows have no calibration_cpu_ns"
    value = measurement.time_ns / (calibration_ns or 1.0)
    clock = result_file.context_number(context, "sm_clock_mhz") or 0.0
    return Sample(value, measurement.time_ns, calibration_ns, seconds, clock), ""

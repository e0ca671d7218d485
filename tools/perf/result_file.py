"""Reads the JSON that a benchmark writes with --json_out: Google Benchmark's own form, with our context keys."""

import dataclasses
import json
import math
import re

from tools.perf.errors import InputError
from tools.perf.repetitions import faster_half_mean, tail

_UNIT_NS = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}

# What Google Benchmark writes beside the counters, which it flattens into the same object.
_FIXED_FIELDS = {
    "name", "family_index", "per_family_instance_index", "run_name", "run_type", "repetitions", "repetition_index",
    "threads", "iterations", "real_time", "cpu_time", "time_unit", "label", "error_occurred", "error_message",
    "aggregate_name", "aggregate_unit", "big_o", "rms", "calibration_cpu_ns",
}


class UnreadableResult(InputError):
    """A result file that is not whole, or has no samples."""


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One benchmark in one process.

    time_ns and tail_ns are the typical and the tail time of its repetitions (repetitions.py): CPU time, or the manual
    time (maximum over ranks) where `is_manual`.  calibration_ns is the typical time of the calibration kernel between
    the repetitions, 0 where it did not run.  `error` says why there is no usable time, and is empty when there is one.
    """

    time_ns: float
    tail_ns: float
    calibration_ns: float
    num_repetitions: int
    is_manual: bool
    counters: dict
    error: str


@dataclasses.dataclass(frozen=True)
class Result:
    context: dict
    measurements: dict  # by benchmark name


def parse_result(text, source):
    """Returns the Result in `text`; raises UnreadableResult naming `source`."""
    try:
        # Google Benchmark writes a negative NaN as -NaN, which no JSON reader takes.
        document = json.loads(re.sub(r'(":\s*)-NaN', r"\1NaN", text))
    except (ValueError, RecursionError) as error:
        raise UnreadableResult(f"{source}: not whole JSON ({error})") from error
    if not isinstance(document, dict) or not isinstance(document.get("context"), dict):
        raise UnreadableResult(f"{source}: has no context: not the result of a benchmark")
    rows = document.get("benchmarks")
    if not isinstance(rows, list) or not all(map(_is_row, rows)):
        raise UnreadableResult(f"{source}: has no list of benchmarks")
    by_name = {}
    for row in rows:
        if row.get("run_type", "iteration") == "iteration":
            by_name.setdefault(row["name"], []).append(row)
    if not by_name:
        raise UnreadableResult(f"{source}: has no samples")
    for name, repetitions in by_name.items():
        _check_repetitions(name, repetitions, source)
    context = document["context"]
    _refuse_shared_gpu(context, by_name, source)
    return Result(context, {name: _measurement(name, rows, context) for name, rows in by_name.items()})


def _refuse_shared_gpu(context, names, source):
    """Ranks that share a GPU wait for each other's time slices: their times say nothing."""
    if "share_gpu" in context or any("/share_gpu:" in name for name in names):
        raise UnreadableResult(f"{source}: ranks share a GPU: not a measurement")


def context_number(context, key):
    """The number under `key`, which Google Benchmark writes as text, or None."""
    try:
        return float(context[key])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def largest_number(context, key, default=1):
    """The largest number under `key`, where benchmarks of one program that differ in it are joined by commas."""
    numbers = [context_number({key: word}, key) for word in str(context.get(key, default)).split(",")]
    return max((number for number in numbers if number is not None), default=default)


def uses_manual_time(name, context):
    """CPU time of one thread says nothing about a GPU or about several ranks."""
    return "/manual_time" in name or context.get("device", "cpu") != "cpu" or is_multi_rank(context)


def is_multi_rank(context):
    return largest_number(context, "world_size") > 1


def _check_repetitions(name, rows, source):
    """Rows of one name are repetitions of one benchmark only where the file numbers them as such."""
    if len(rows) == 1:
        return
    numbers = [row.get("repetition_index") for row in rows]
    families = {repr((row.get("family_index"), row.get("per_family_instance_index"))) for row in rows}
    if len(families) > 1 or numbers != list(range(len(rows))):
        raise UnreadableResult(
            f"{source}: {len(rows)} rows have the name '{name}' and are not the repetitions 0 to {len(rows) - 1} of "
            "one benchmark (by repetition_index and family_index); give each benchmark a name of its own")


def _measurement(name, rows, context):
    is_manual = uses_manual_time(name, context)
    times, error = [], ""
    for row in rows:
        time_ns, row_error = _time_ns(row, "real_time" if is_manual else "cpu_time")
        times.append(time_ns)
        error = error or row_error
    counters = {key: value for key, value in rows[-1].items() if key not in _FIXED_FIELDS}
    return Measurement(
        time_ns=math.nan if error else faster_half_mean(times),
        tail_ns=math.nan if error else tail(times),
        calibration_ns=0.0 if error else _calibration_ns(rows),
        num_repetitions=len(rows),
        is_manual=is_manual,
        counters=counters,
        error=error,
    )


def _calibration_ns(rows):
    times = [row.get("calibration_cpu_ns") for row in rows]
    return faster_half_mean(times) if all(_is_number(time) and _is_plausible(time) for time in times) else 0.0


def _time_ns(row, field):
    """The time of one repetition, and what is wrong with it, if anything."""
    if row.get("error_occurred"):
        return math.nan, f"the benchmark reports: {row.get('error_message', 'an error without a message')}"
    for key, value in row.items():
        if isinstance(value, float) and not math.isfinite(value):
            return math.nan, f"{key} is {value}"
    unit = _UNIT_NS.get(str(row.get("time_unit", "ns")))
    time = row.get(field)
    if unit is None or not _is_number(time):
        return math.nan, f"{field} is {time!r} {row.get('time_unit')!r}"[:100] + ": not a time"
    if time <= 0:
        return math.nan, f"{field} is {time}"[:100] + ": nothing was timed"
    if not _is_plausible(time):
        return math.nan, f"{field} is {time}"[:100] + ": not a time"
    return time * unit, ""


def _is_row(row):
    return isinstance(row, dict) and isinstance(row.get("name"), str)


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_plausible(time):
    """Far from where products and quotients of times would be zero or infinite."""
    return 1e-9 < time < 1e18

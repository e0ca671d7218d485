"""Reading of result files, whole and broken."""

import json
import math
import unittest

from tools.perf import fakes
from tools.perf.result_file import UnreadableResult, parse_result


def _parse(rows, **context):
    return parse_result(json.dumps({"context": {**fakes.CONTEXT, **context}, "benchmarks": rows}), "file")


class ResultFileTest(unittest.TestCase):
    def test_faster_half_over_repetitions(self):
        rows = fakes.repetitions([9.0, 3.0, 2.0, 50.0])
        rows.append({**fakes.row("BM_layer_mean", time_ns=1.0), "run_type": "aggregate"})
        measurement, = _parse(rows).measurements.values()
        self.assertEqual((measurement.time_ns, measurement.num_repetitions), (2.5, 4))
        self.assertFalse(measurement.is_manual)

    def test_calibration_is_of_the_same_half(self):
        rows = fakes.repetitions([1e6] * 3)
        for row, time in zip(rows, (5.0, 7.0, 6.0)):
            row["calibration_cpu_ns"] = time
        self.assertEqual(_parse(rows).measurements["BM_layer"].calibration_ns, 5.5)
        for unusable in (None, "7", True, 0, -1.0, 1e-320, 10**400):
            rows[1]["calibration_cpu_ns"] = unusable
            self.assertEqual(_parse(rows).measurements["BM_layer"].calibration_ns, 0, unusable)
        del rows[1]["calibration_cpu_ns"]
        self.assertEqual(_parse(rows).measurements["BM_layer"].calibration_ns, 0)

    def test_tail_is_the_90th_percentile_by_nearest_rank(self):
        for times, expected in (([5.0], 5.0), ([1.0, 2.0], 2.0), (range(1, 10), 9.0), (range(1, 11), 9.0),
                                (range(1, 41), 36.0)):
            measurement = _parse(fakes.repetitions(list(times))).measurements["BM_layer"]
            self.assertEqual(measurement.tail_ns, expected)

    def test_rows_of_one_name_must_be_numbered_as_repetitions(self):
        twice = fakes.repetitions([1.0, 2.0]) + fakes.repetitions([3.0, 4.0])
        unnumbered = [{key: value for key, value in row.items() if key != "repetition_index"}
                      for row in fakes.repetitions([1.0, 2.0])]
        two_families = fakes.repetitions([1.0, 2.0])
        two_families[1]["family_index"] = 1
        odd = fakes.repetitions([1.0, 2.0])
        odd[1]["repetition_index"], odd[1]["family_index"] = [], {}
        for rows in ([fakes.row(), fakes.row()], twice, unnumbered, two_families, odd, twice[1:3]):
            with self.assertRaisesRegex(UnreadableResult, "file: . rows have the name 'BM_layer'"):
                _parse(rows)
        self.assertEqual(_parse(unnumbered[:1]).measurements["BM_layer"].num_repetitions, 1)

    def test_several_ranks_in_one_of_several_jobs(self):
        row = fakes.row(time_ns=1.0, real_time=7.0)
        self.assertEqual(_parse([row], world_size="1,2").measurements["BM_layer"].time_ns, 7.0)

    def test_units(self):
        for unit, size in (("ns", 1), ("us", 1e3), ("ms", 1e6), ("s", 1e9)):
            measurement = _parse([fakes.row(time_ns=2.0, time_unit=unit)]).measurements["BM_layer"]
            self.assertEqual(measurement.time_ns, 2 * size)

    def test_gpu_and_multi_rank_use_real_time(self):
        slow_wall = fakes.row(time_ns=1.0)
        slow_wall["real_time"] = 7.0
        for context in ({"device": "cuda"}, {"world_size": "4"}, {"world_size": 4}):
            measurement = _parse([slow_wall], **context).measurements["BM_layer"]
            self.assertEqual((measurement.time_ns, measurement.is_manual), (7.0, True), context)
        named = _parse([{**slow_wall, "name": "x/manual_time"}]).measurements["x/manual_time"]
        self.assertEqual(named.time_ns, 7.0)
        self.assertEqual(_parse([slow_wall]).measurements["BM_layer"].time_ns, 1.0)

    def test_counters_are_what_is_not_fixed(self):
        measurement = _parse([fakes.row(bytes_sent=8.0, label="text")]).measurements["BM_layer"]
        self.assertEqual(measurement.counters, {"bytes_sent": 8.0})

    def test_unusable_times_are_errors(self):
        cases = [
            ({"time_ns": 0.0}, "nothing was timed"),
            ({"time_ns": -1.0}, "nothing was timed"),
            ({"time_ns": float("nan")}, "is nan"),
            ({"time_ns": 1.0, "rate": float("inf")}, "rate is inf"),
            ({"time_ns": 1.0, "time_unit": "min"}, "not a time"),
            ({"time_ns": "soon"}, "not a time"),
            ({"time_ns": 1.0, "time_unit": []}, "not a time"),
            ({"time_ns": 1e-320}, "not a time"),
            ({"time_ns": 10**400}, "not a time"),
            ({"time_ns": True}, "not a time"),
            ({"time_ns": 1.0, "error_occurred": True, "error_message": "why"}, "why"),
        ]
        for fields, message in cases:
            # One bad repetition spoils the good one.
            rows = [fakes.row(time_ns=1.0), fakes.row(**{"repetition_index": 1, **fields})]
            measurement = _parse(rows).measurements["BM_layer"]
            self.assertIn(message, measurement.error, fields)
            self.assertTrue(math.isnan(measurement.time_ns))

    def test_the_nan_that_google_benchmark_writes(self):
        text = json.dumps({"context": {}, "benchmarks": [fakes.row(gain=1.0)]}).replace('"gain": 1.0', '"gain": -NaN')
        self.assertIn("gain is nan", parse_result(text, "file").measurements["BM_layer"].error)

    def test_unreadable(self):
        whole = json.dumps({"context": {}, "benchmarks": [fakes.row()]})
        for text, message in [
            ("", "not whole JSON"), (whole[:-5], "not whole JSON"), ("[" * 100000, "not whole JSON"),
            ("[]", "no context"), ("{}", "no context"),
            ('{"context": {}}', "no list"), ('{"context": {}, "benchmarks": [3]}', "no list"),
            ('{"context": {}, "benchmarks": [{"name": 3}]}', "no list"),
            ('{"context": {}, "benchmarks": [{"name": [1]}]}', "no list"),
            ('{"context": {}, "benchmarks": []}', "no samples"),
            (json.dumps({"context": {}, "benchmarks": [{"name": "m", "run_type": "aggregate"}]}), "no samples"),
        ]:
            with self.assertRaisesRegex(UnreadableResult, f"file: .*{message}"):
                parse_result(text, "file")

    def test_ranks_that_share_a_gpu_are_no_measurement(self):
        for context, name in [
            ({"share_gpu": "ranks share a GPU: not a measurement"}, "BM_layer"),
            ({}, "scheme:gpipe/model:test/world_size:2/comm:nccl/share_gpu:not_a_measurement/pass:step"),
        ]:
            with self.assertRaisesRegex(UnreadableResult, "file: ranks share a GPU: not a measurement"):
                _parse([fakes.row(name=name)], **context)


if __name__ == "__main__":
    unittest.main()

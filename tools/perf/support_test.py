"""When the processes of a record support its value."""

import unittest

from tools.perf import machine, support

_QUIET = [0.0] * 12


class SupportTest(unittest.TestCase):
    def test_interval_of_the_median_by_order_statistics(self):
        self.assertEqual(support.median_interval(range(1, 13)), (3, 10))
        self.assertEqual(support.median_interval(range(1, 31)), (10, 21))
        self.assertEqual(support.median_interval([2.0, 1.0, 3.0]), (1.0, 3.0))

    def test_one_odd_process_changes_nothing(self):
        supported = support.of([1.0] * 11 + [1.3], _QUIET, 0)
        self.assertEqual((supported.problem, supported.median_low, supported.median_high), ("", 0.0, 0.0))

    def test_processes_of_two_kinds_are_no_value(self):
        for num_slow in (4, 6, 8):
            supported = support.of([1.0] * (12 - num_slow) + [1.27] * num_slow, _QUIET, 0)
            self.assertIn("its 12 processes disagree", supported.problem, num_slow)

    def test_wall_times_need_their_cpus(self):
        num_cpus = len(machine.allowed_cpus())
        self.assertEqual(support.of([1.0] * 12, [0.05] * 12, num_cpus).problem, "")
        self.assertIn("other processes took 0.9", support.of([1.0] * 12, [0.9] * 12, num_cpus).problem)
        self.assertEqual(support.of([1.0] * 12, [0.9] * 12, 0).problem, "")

    def test_cpus_that_a_benchmark_must_have(self):
        num_cpus = len(machine.allowed_cpus())
        two_ranks = {"device": "cpu", "world_size": "2", "num_threads": "1"}
        self.assertEqual(support.num_busy_cpus(two_ranks, True), min(2, num_cpus))
        self.assertEqual(support.num_busy_cpus({**two_ranks, "world_size": "1"}, False), 0)
        self.assertEqual(support.num_busy_cpus({**two_ranks, "device": "cuda"}, True), 0)


if __name__ == "__main__":
    unittest.main()

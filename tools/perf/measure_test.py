"""Interleaving, over a runner that only writes down what it is asked to run."""

import collections
import random
import unittest

from tools.perf import fakes, verdicts
from tools.perf.measure import Interleaver, Target
from tools.perf.result_file import Measurement, Result, UnreadableResult
from tools.perf.runner import BenchmarkFailure


class _Runner:
    def __init__(self):
        self.calls = []
        self.arguments = []
        self.failures = {}  # path -> (number of the call, exception)

    def run(self, program, cpus, arguments):
        path, = program
        self.calls.append(path)
        self.arguments.append(arguments)
        number, failure = self.failures.get(path, (0, None))
        if failure and self.calls.count(path) >= number:
            raise failure
        return Result(fakes.CONTEXT, {"BM": Measurement(4e7, 6e7, 2e7, 1, False, {}, "")})


class MeasureTest(unittest.TestCase):
    def setUp(self):
        self.runner = _Runner()
        self.seconds = 0.0
        self.targets = [
            Target(name, {"base": [f"{name}.base"], "cand": [f"{name}.cand"]}, [0], ["BM"], {}) for name in "abc"]

    def clock(self):
        self.seconds += 0.5
        return self.seconds

    def measure(self, pairs, deadline_s=1e9, seed=1):
        interleaver = Interleaver(self.runner, random.Random(seed), lambda *_: None, self.clock)
        return interleaver.measure("screen", dict(zip(self.targets, pairs)), deadline_s)

    def test_every_round_has_each_target_once_a_side_and_sides_stay_together(self):
        self.assertTrue(self.measure([8, 8, 8]))
        self.assertEqual(len(self.runner.calls), 48)
        for start in range(0, 48, 6):
            self.assertEqual(set(self.runner.calls[start:start + 6]), {f"{n}.{s}" for n in "abc" for s in
                                                                        ("base", "cand")})
        for start in range(0, 48, 2):
            self.assertEqual(self.runner.calls[start][0], self.runner.calls[start + 1][0])

    def test_orders_are_random_and_the_seed_repeats_them(self):
        self.measure([40, 40, 40])
        first = [call.split(".")[1] for call in self.runner.calls[::2]]
        # 120 fair coins: 60 heads, five standard deviations are 27.
        self.assertTrue(33 <= first.count("base") <= 87)
        calls = self.runner.calls
        self.setUp()
        self.measure([40, 40, 40])
        self.assertEqual(self.runner.calls, calls)
        self.setUp()
        self.measure([40, 40, 40], seed=2)
        self.assertNotEqual(self.runner.calls, calls)

    def test_each_target_gets_its_own_number_of_pairs(self):
        self.measure([2, 5, 0])
        self.assertEqual(collections.Counter(self.runner.calls),
                         {"a.base": 2, "a.cand": 2, "b.base": 5, "b.cand": 5})
        self.assertEqual(self.targets[1].num_pairs("BM"), 5)
        self.assertEqual(self.targets[1].values(["screen"], "BM", "cand"), [2.0] * 5)

    def test_only_the_wanted_benchmarks_are_run(self):
        target = Target("a", {"base": ["a.base"], "cand": ["a.cand"]}, [0], ["BM", "BM/x:1.5|(2)"], {})
        target.wanted = ["BM"]
        self.targets = [target]
        self.measure([2])
        self.assertEqual(self.runner.arguments, [["--filter=^(BM)$"]] * 4)
        self.assertEqual((target.num_pairs("BM"), target.num_pairs("BM/x:1.5|(2)")), (2, 0))
        target.benchmarks, target.wanted = ["other", "BM/x:1.5|(2)"], ["BM/x:1.5|(2)"]
        self.measure([1])
        self.assertEqual(self.runner.arguments[-1], [r"--filter=^(BM/x:1\.5\|\(2\))$"])

    def test_more_names_than_a_filter_takes_are_all_run(self):
        names = [f"BM/{index:04}" for index in range(200)]
        target = Target("a", {"base": ["a.base"], "cand": ["a.cand"]}, [0], ["BM", *names], {})
        target.wanted = names
        self.targets = [target]
        self.runner.failures = {"a.cand": (1, BenchmarkFailure("it was started"))}
        self.measure([1])
        self.assertEqual({tuple(arguments) for arguments in self.runner.arguments}, {()})

    def test_a_failure_ends_its_target_only(self):
        self.runner.failures = {
            "a.cand": (3, BenchmarkFailure("exit code 1")), "b.base": (1, UnreadableResult("b.base: no samples"))}
        self.assertTrue(self.measure([6, 6, 6]))
        self.assertEqual((self.targets[0].problem_verdict, self.targets[0].problem), (verdicts.ERROR,
                                                                                      "cand: exit code 1"))
        self.assertEqual(self.targets[1].problem_verdict, verdicts.UNREADABLE)
        self.assertEqual(self.runner.calls.count("a.cand"), 3)
        self.assertEqual(self.runner.calls.count("c.cand"), 6)
        # Pairs are whole: the half of the third is not kept.
        self.assertEqual(len(self.targets[0].values(["screen"], "BM", "base")), 2)

    def test_a_deadline_leaves_whole_rounds(self):
        self.assertFalse(self.measure([50, 50, 50], deadline_s=60))
        counts = set(collections.Counter(self.runner.calls).values())
        self.assertEqual(len(counts), 1)
        self.assertTrue(0 < counts.pop() < 50)


if __name__ == "__main__":
    unittest.main()

"""Instruction counts under the real valgrind, on the benchmark of known cost."""

import os
import tempfile
import unittest

from tools.perf import fakes, instructions, sides, verdicts
from tools.perf.errors import InputError
from tools.perf.runner import BenchmarkFailure

_BINARY = os.path.join(os.environ["PYTHONPATH"], "tools/perf/known_cost/known_cost_benchmark")
_ATTENTION = os.path.join(os.environ["PYTHONPATH"], "bench/kernels/causal_attention")
_LABEL = "//bench:known_cost"


def _side(name, path):
    return sides.Side(name, name, "", {_LABEL: [path]} if path else {}, [], [])


def _compare(base, cand, num_repeats=1):
    row, = instructions.compare(_side("base", base), _side("cand", cand), num_repeats, 120, lambda *_: None)
    return row


def _count(permille):
    return instructions.count([_BINARY], 120, [f"--work_permille={permille}"])


class InstructionsTest(unittest.TestCase):
    def test_five_runs_are_identical(self):
        counts = {_count(1000) for _ in range(5)}
        self.assertEqual(len(counts), 1, counts)
        self.assertGreater(counts.pop(), 1_000_000)

    def test_one_percent_is_found_both_ways(self):
        base, slower = [_count(1000)], [_count(1010)]
        verdict, shift, _ = instructions.judge({"base": base, "cand": slower})
        self.assertEqual(verdict, verdicts.SLOWER)
        self.assertAlmostEqual(shift, 0.01, delta=2e-5)
        self.assertEqual(instructions.judge({"base": slower, "cand": base})[0], verdicts.FASTER)

    def test_whole_comparison(self):
        row = _compare(_BINARY, _BINARY, num_repeats=2)
        self.assertEqual((row["verdict"], row["shift"], row["note"]), (verdicts.SAME, 0.0, ""))
        self.assertEqual(len(set(row["counts"]["base"] + row["counts"]["cand"])), 1)

    def test_judge_at_its_limits(self):
        for shift, verdict in ((0.0, verdicts.SAME), (0.0089, verdicts.SAME), (0.0091, verdicts.SLOWER),
                               (-0.0091, verdicts.FASTER)):
            counts = {"base": [1e9, 1e9], "cand": [1e9 * (1 + shift)] * 2}
            self.assertEqual(instructions.judge(counts)[0], verdict, shift)

    def test_counts_that_differ_between_runs_decide_nothing(self):
        verdict, _, note = instructions.judge({"base": [1000000, 1000001], "cand": [1000000, 1000000]})
        self.assertEqual(verdict, verdicts.UNSURE)
        self.assertIn("counts of base differ between runs: [1000000, 1000001]", note)

    def test_vanished_and_new(self):
        self.assertEqual(_compare(_BINARY, "")["verdict"], verdicts.MISSING)
        self.assertEqual(_compare("", _BINARY)["verdict"], verdicts.NEW)
        with self.assertRaises(InputError):
            instructions.compare(_side("base", ""), _side("cand", ""), 1, 120, lambda *_: None)

    def test_what_cannot_be_counted_says_why(self):
        for context, reason in (({"world_size": "4"}, "4 ranks wait for each other"),
                                ({"device": "cuda"}, "it runs on cuda"),
                                ({"num_threads": "2"}, "2 threads wait for each other")):
            with tempfile.TemporaryDirectory() as folder:
                fakes.write_benchmark(folder, _LABEL, context=context)
                program = os.path.join(folder, "bench/known_cost")
                row = _compare(program, program)
            self.assertEqual((row["verdict"], row["note"]), (verdicts.SKIPPED, "not counted: " + reason))
            self.assertIn(reason, instructions.terminal([row]))

    def test_a_program_that_would_measure_a_ceiling(self):
        # Its two passes; a product of 1024^3 alone takes hundreds of millions.
        self.assertIn(instructions.count([_ATTENTION], 600), range(1_000_000, 100_000_000))

    def test_a_failing_program(self):
        row = _compare(_BINARY, "/bin/false")
        self.assertEqual((row["verdict"], row["note"]), (verdicts.ERROR, "cand: exit code 1: no message"))
        with self.assertRaisesRegex(BenchmarkFailure, "exit code 1 under valgrind: no message"):
            instructions.count(["/bin/false"], 60)

    def test_a_program_without_counted_work(self):
        with self.assertRaisesRegex(BenchmarkFailure, "counted nothing in sluice::RunCounted"):
            instructions.count(["/bin/true"], 60)


if __name__ == "__main__":
    unittest.main()

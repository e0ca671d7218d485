"""Instruction counts under the real valgrind, on the benchmark of known cost."""

import os
import unittest

from tools.perf import instructions, sides, verdicts
from tools.perf.errors import InputError
from tools.perf.runner import BenchmarkFailure

_BINARY = os.path.join(os.environ["PYTHONPATH"], "tools/perf/known_cost/known_cost_benchmark")
_LABEL = "//bench:known_cost"


def _side(name, path):
    return sides.Side(name, name, "", {_LABEL: [path]} if path else {}, [])


def _compare(base, cand, num_repeats=1):
    row, = instructions.compare(_side("base", base), _side("cand", cand), num_repeats, 120, lambda *_: None)
    return row


class InstructionsTest(unittest.TestCase):
    def test_five_runs_agree(self):
        counts = [self.count(1000) for _ in range(5)]
        # What differs is the writing of measured times as text, a few hundred of 10^8 instructions.
        self.assertLess(max(counts) / min(counts) - 1, 2e-5, counts)
        self.assertGreater(counts[0], 1e7)

    def test_one_percent_is_found_both_ways(self):
        base, slower = [self.count(1000)], [self.count(1012)]
        verdict, shift, _ = instructions.judge({"base": base, "cand": slower})
        self.assertEqual(verdict, verdicts.SLOWER)
        self.assertAlmostEqual(shift, 0.012, delta=0.0005)
        self.assertEqual(instructions.judge({"base": slower, "cand": base})[0], verdicts.FASTER)

    def count(self, permille):
        return instructions.count([_BINARY], 120, [f"--work_permille={permille}"]).instructions_per_step

    def test_judge_at_its_limits(self):
        for shift, verdict in ((0.0, verdicts.SAME), (0.0099, verdicts.SAME), (0.0101, verdicts.SLOWER),
                               (-0.0101, verdicts.FASTER)):
            counts = {"base": [1e9, 1e9], "cand": [1e9 * (1 + shift)] * 2}
            self.assertEqual(instructions.judge(counts)[0], verdict, shift)

    def test_counts_that_differ_between_runs_decide_nothing(self):
        verdict, _, note = instructions.judge({"base": [1e9, 1.01e9], "cand": [1e9, 1e9]})
        self.assertEqual(verdict, verdicts.UNSURE)
        self.assertIn("1.000%", note)

    def test_vanished_and_new(self):
        self.assertEqual(_compare(_BINARY, "")["verdict"], verdicts.MISSING)
        self.assertEqual(_compare("", _BINARY)["verdict"], verdicts.NEW)
        with self.assertRaises(InputError):
            instructions.compare(_side("base", ""), _side("cand", ""), 1, 120, lambda *_: None)

    def test_a_failing_program(self):
        self.assertEqual(_compare(_BINARY, "/bin/false")["verdict"], verdicts.ERROR)
        with self.assertRaisesRegex(BenchmarkFailure, "exit code 1 under valgrind"):
            instructions.count(["/bin/false"], 60)


if __name__ == "__main__":
    unittest.main()

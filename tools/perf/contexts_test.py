"""What makes two results comparable."""

import os
import unittest

from tools.perf import contexts, fakes, machine
from tools.perf.runner import Runner

_ROOT = os.environ["PYTHONPATH"]


class ContextsTest(unittest.TestCase):
    def test_when_and_where_is_no_mismatch(self):
        other = {**fakes.CONTEXT, "date": "later", "commit": "f00", "dirty": "true",
                 "load_avg": [1], "executable": "x", "cpu_affinity": "1", "cpu_quota": "0.5",
                 "sm_clock_mhz": "1980", "measured_matmul_gflops": "3"}
        self.assertEqual(contexts.mismatches(fakes.CONTEXT, other), [])
        self.assertEqual(contexts.config_hash(fakes.CONTEXT), contexts.config_hash(other))

    def test_every_other_key_counts(self):
        other = {**fakes.CONTEXT, "model": "x", "blas": "0.3.21"}
        self.assertEqual(
            contexts.mismatches(fakes.CONTEXT, other),
            ['blas is absent in base and "0.3.21" in cand', 'model is "test" in base and "x" in cand'])
        self.assertEqual(contexts.mismatches(fakes.CONTEXT, other, ["blas", "model"]), [])
        self.assertNotEqual(contexts.config_hash(fakes.CONTEXT), contexts.config_hash(other))

    def test_machine_is_checked_but_not_hashed(self):
        other = {**fakes.CONTEXT, "num_cpus": 64}
        self.assertEqual(len(contexts.mismatches(fakes.CONTEXT, other)), 1)
        self.assertEqual(contexts.config_hash(fakes.CONTEXT), contexts.config_hash(other))

    def test_unfit_builds(self):
        self.assertEqual(contexts.unfit_build(fakes.CONTEXT), "")
        self.assertEqual(contexts.unfit_build({"build_mode": "opt", "ndebug": True}), "")
        self.assertIn("build_mode", contexts.unfit_build({"build_mode": "dbg", "ndebug": "true"}))
        self.assertIn("ndebug", contexts.unfit_build({"build_mode": "opt", "ndebug": "false"}))
        self.assertIn("absent", contexts.unfit_build({}))

    def test_two_runs_of_a_real_program_can_be_compared(self):
        runner = Runner(timeout_s=200, num_steps=1)
        for program in ("bench/seqpipe_test_w2_cpu_short", "bench/kernels/loss"):
            first, second = (
                runner.run([os.path.join(_ROOT, program)], machine.allowed_cpus()).context for _ in range(2))
            self.assertEqual(contexts.mismatches(first, second), [])
            self.assertGreater(len(contexts.config(first)), 10)


if __name__ == "__main__":
    unittest.main()

"""What makes two results comparable."""

import unittest

from tools.perf import contexts, fakes


class ContextsTest(unittest.TestCase):
    def test_when_and_where_is_no_mismatch(self):
        other = {**fakes.CONTEXT, "date": "later", "commit": "f00", "dirty": "true",
                 "load_avg": [1], "executable": "x", "sm_clock_mhz": "1980", "measured_matmul_gflops": "3"}
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


if __name__ == "__main__":
    unittest.main()

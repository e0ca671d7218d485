"""The gate's mutation tests: each way in which a change can be bad, with its verdict and exit code."""

import os
import unittest

from tools.perf import fakes
from tools.perf.gate_case import BAD, GOOD, GateCase


class GateTest(GateCase):
    def test_nothing_changed(self):
        self.expect(0, "SAME")

    def test_twice_slower(self):
        self.mutate(rows=[fakes.row(time_ns=2e6)])
        self.expect(1, "SLOWER")

    def test_five_percent_slower(self):
        self.mutate(rows=[fakes.row(time_ns=1.05e6)])
        self.expect(1, "SLOWER")

    def test_half_of_the_repetitions_twice_slower(self):
        self.mutate("base", rows=fakes.repetitions([1e6] * 20))
        self.mutate(rows=fakes.repetitions([1e6, 2e6] * 10))
        self.expect(1, "SLOWER", "typical time SAME, 90th percentile of the repetitions SLOWER by")

    def test_an_eighth_of_the_repetitions_slower_by_a_third(self):
        self.mutate("base", rows=fakes.repetitions([1e6] * 40))
        self.mutate(rows=fakes.repetitions(([1e6] * 7 + [1.33e6]) * 5))
        self.expect(1, "SLOWER", "typical time SAME, 90th percentile of the repetitions SLOWER by")

    def test_the_slower_half_is_repaired(self):
        self.mutate("base", rows=fakes.repetitions([1e6, 2e6] * 10))
        self.mutate(rows=fakes.repetitions([1e6] * 20))
        self.expect(0, "FASTER", "typical time SAME, 90th percentile of the repetitions FASTER by")

    def test_one_slow_repetition_in_ten_is_not_seen_and_the_report_says_so(self):
        self.mutate("base", rows=fakes.repetitions([1e6] * 20))
        self.mutate(rows=fakes.repetitions([1e6] * 18 + [9e6] * 2))
        self.expect(0, "SAME", "Not seen: a slowdown of at most a tenth of")

    def test_twice_faster(self):
        self.mutate(rows=[fakes.row(time_ns=5e5)])
        self.expect(0, "FASTER")

    def test_too_noisy_to_say(self):
        self.mutate(noise=0.3)
        # At the usual alpha, chance would call one run in a hundred slower.
        self.expect(3, "UNSURE", "more pairs", arguments=["--alpha=.00001"])

    def test_vanished_target(self):
        os.unlink(os.path.join(self.side("cand"), "bench/kernels/matmul"))
        self.expect(4, "MISSING", "cand has no such target")

    def test_vanished_benchmark(self):
        self.mutate("base", rows=[fakes.row("BM_a"), fakes.row("BM_b")])
        self.mutate("cand", rows=[fakes.row("BM_a")])
        run, _ = self.ab()
        self.assertEqual(run.returncode, 4, run.stderr)
        self.assertRegex(run.stdout, r"matmul .*MISSING\n +BM_b\n")

    def test_new_target(self):
        os.unlink(os.path.join(self.side("base"), "bench/kernels/matmul"))
        self.expect(0, "NEW")

    def test_failed_benchmark_with_time_0(self):
        self.mutate(rows=[fakes.row(time_ns=0.0)])
        self.expect(4, "ERROR", "nothing was timed")

    def test_failed_benchmark_that_says_so(self):
        self.mutate(rows=[fakes.row(error_occurred=True, error_message="no peer")])
        self.expect(4, "ERROR", "no peer")

    def test_failed_process(self):
        self.mutate(exit_code=1)
        self.expect(4, "ERROR", "cand: exit code 1: the fake fails as told")

    def test_failure_on_base_is_an_error_too(self):
        self.mutate("base", exit_code=1)
        self.expect(4, "ERROR", "base: exit code 1")

    def test_nan_counter(self):
        self.mutate(rows=[fakes.row(gflops=float("nan"))])
        self.expect(4, "ERROR", "gflops is nan")

    def test_truncated_json(self):
        self.mutate(is_truncated=True)
        self.expect(2, "UNREADABLE", "not whole JSON")

    def test_file_with_no_samples(self):
        self.mutate(rows=[])
        self.expect(2, "UNREADABLE", "has no samples")

    def test_name_that_depends_on_the_cpus_is_that_of_the_measured_runs(self):
        code = "import os; spec['document']['benchmarks'][0]['name'] += f'/cpus:{len(os.sched_getaffinity(0))}'"
        for side in ("base", "cand"):
            self.mutate(side, code=code)
        self.expect(0, "SAME", "BM_layer/cpus:1")

    def test_run_on_another_number_of_threads_than_its_probe(self):
        counter = os.path.join(self.folder, "runs")
        code = (f"file = open({counter!r}, 'a+'); file.write('x'); file.flush(); file.seek(0)\n"
                "spec['document']['context']['num_threads'] = '1' if len(file.read()) <= 4 else '2'")
        for side in ("base", "cand"):
            self.mutate(side, context={"num_threads": "1"}, code=code)
        self.expect(4, "ERROR", 'this run is not what was probed: num_threads is "2" and was "1"')

    def test_another_number_of_threads_on_one_side(self):
        self.mutate("base", context={"num_threads": "1"})
        self.mutate(context={"num_threads": "2"})
        self.expect_refused('num_threads is "1" in base and "2" in cand', BAD)

    def test_two_benchmarks_of_one_name(self):
        self.mutate(rows=fakes.repetitions([1e6, 1e6]) + fakes.repetitions([2e6, 2e6]))
        self.expect(2, "UNREADABLE", "have the name 'BM_layer'")

    def test_debug_build_on_one_side(self):
        self.mutate(context={"build_mode": "dbg"})
        self.expect_refused("build_mode", BAD)

    def test_assertions_on_one_side(self):
        self.mutate(context={"ndebug": "false"})
        self.expect_refused("ndebug", BAD)

    def test_different_config(self):
        self.mutate(context={"model": "gpt2-1hm"})
        self.expect_refused('model is "test" in base and "gpt2-1hm" in cand', BAD)

    def test_different_config_allowed_by_name(self):
        self.mutate(context={"compiler": "13.1.0"})
        run, verdicts = self.ab("--allow-change=compiler")
        self.assertEqual((run.returncode, verdicts[BAD]), (0, "SAME"), run.stderr)

    def test_other_calibration_version(self):
        self.mutate(context={"calibration_version": "3"})
        self.expect_refused("calibration_version")

    def test_calibration_on_one_side(self):
        rows = [fakes.row()]
        del rows[0]["calibration_cpu_ns"]
        self.mutate(context={"world_size": "2"})
        self.mutate("base", context={"world_size": "2"}, rows=rows)
        self.expect_refused("BM_layer: calibration_cpu_ns is absent in base alone", BAD)

    def test_other_machine_class(self):
        self.mutate(context={"num_cpus": 64})
        self.expect_refused("num_cpus is 2 in base and 64 in cand")

    def test_empty_filter(self):
        self.expect_refused("--targets 'no_such' matches no target", targets="no_such")

    def test_misspelt_target_gets_a_hint(self):
        self.expect_refused("--targets 'matmull' matches no target", "; did you mean 'matmul'?", targets="matmull")
        self.expect_refused("; did you mean '//bench/kernels:matmul'?", targets="//bench/kernel:matmul")
        self.expect_refused(f"; known: {BAD}, {GOOD}", targets="qqqqq")

    def test_unfit_machine(self):
        fakes.write_calibrate(self.side("cand"), noise=0.5)
        run, verdicts = self.ab()
        self.assertEqual((run.returncode, verdicts), (3, {}), run.stderr)
        self.assertIn("NOISY: calibration varies", run.stderr)

    def test_unfit_machine_measured_all_the_same(self):
        fakes.write_calibrate(self.side("cand"), noise=0.5)
        run, verdicts = self.ab("--allow-noisy")
        self.assertEqual((run.returncode, verdicts[BAD]), (0, "SAME"), run.stderr)

    def test_no_budget_is_no_verdict(self):
        run, verdicts = self.ab("--budget=0.01s")
        self.assertEqual((run.returncode, verdicts[BAD]), (3, "UNSURE"), run.stderr)

    def test_neither_folder_nor_ref(self):
        run = self.perf("ab", "--base=base", "--cand=nowhere")
        self.assertEqual(run.returncode, 2)
        self.assertIn("'nowhere' is neither a folder nor a git ref", run.stderr)


if __name__ == "__main__":
    unittest.main()

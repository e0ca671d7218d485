"""The gate's mutation tests: each way in which a change can be bad, with its verdict and exit code.

The whole program runs over two folders of stand-in binaries; one of them is mutated.
"""

import json
import os
import subprocess
import sys
import tempfile
import unittest

from tools.perf import fakes

_GOOD, _BAD = "//bench/schemes:gpipe_test_w2_cpu", "//bench/kernels:matmul"


class GateTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        for side in ("base", "cand"):
            fakes.write_calibrate(self.side(side))
            fakes.write_benchmark(self.side(side), _GOOD)
            fakes.write_benchmark(self.side(side), _BAD)

    def side(self, name):
        return os.path.join(self.folder, name)

    def perf(self, *arguments):
        environment = {**os.environ, "XDG_CACHE_HOME": self.folder}
        environment.pop("BUILD_WORKSPACE_DIRECTORY", None)
        return subprocess.run(
            [sys.executable, "-B", "-P", "-s", "-m", "tools.perf.main", *arguments], cwd=self.folder, env=environment,
            capture_output=True, text=True, timeout=200)

    def ab(self, *arguments, targets="."):
        """Runs perf ab; returns the run and its verdicts by target."""
        # The stand-ins vary by 0.5 %, so that few pairs decide.
        run = self.perf("ab", "--base=base", "--cand=cand", f"--targets={targets}", "--json=out.json", "--seed=1",
                        "--screen=6", "--confirm=10", *arguments)
        out, verdicts = os.path.join(self.folder, "out.json"), {}
        if os.path.exists(out):
            with open(out, encoding="utf-8") as file:
                verdicts = {row["target"]: row["verdict"] for row in json.load(file)["rows"]}
        return run, verdicts

    def expect(self, exit_code, verdict, message="", arguments=()):
        """The mutated target has the verdict and the other is SAME, and the program ends with the code."""
        run, verdicts = self.ab(*arguments)
        self.assertEqual(run.returncode, exit_code, run.stderr + run.stdout)
        self.assertEqual(verdicts, {_GOOD: "SAME", _BAD: verdict})
        self.assertIn(message, run.stdout)

    def expect_refused(self, *messages, targets="."):
        """Bad input: exit code 2, one message, nothing judged."""
        run, verdicts = self.ab(targets=targets)
        self.assertEqual(run.returncode, 2, run.stderr + run.stdout)
        self.assertEqual(verdicts, {})
        for message in messages:
            self.assertIn(message, run.stderr)
        self.assertNotIn("Traceback", run.stderr)

    def mutate(self, side="cand", **arguments):
        fakes.write_benchmark(self.side(side), _BAD, **arguments)

    def test_nothing_changed(self):
        self.expect(0, "SAME")

    def test_twice_slower(self):
        self.mutate(rows=[fakes.row(time_ns=2e6)])
        self.expect(1, "SLOWER")

    def test_five_percent_slower(self):
        self.mutate(rows=[fakes.row(time_ns=1.05e6)])
        self.expect(1, "SLOWER")

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
        self.assertRegex(run.stdout, r"matmul BM_b .*MISSING")

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

    def test_debug_build_on_one_side(self):
        self.mutate(context={"build_mode": "dbg"})
        self.expect_refused("build_mode", _BAD)

    def test_assertions_on_one_side(self):
        self.mutate(context={"ndebug": "false"})
        self.expect_refused("ndebug", _BAD)

    def test_different_config(self):
        self.mutate(context={"model": "gpt2-1hm"})
        self.expect_refused('model is "test" in base and "gpt2-1hm" in cand', _BAD)

    def test_different_config_allowed_by_name(self):
        self.mutate(context={"compiler": "13.1.0"})
        run, verdicts = self.ab("--allow-change=compiler")
        self.assertEqual((run.returncode, verdicts[_BAD]), (0, "SAME"), run.stderr)

    def test_other_calibration_version(self):
        self.mutate(context={"calibration_version": "3"})
        self.expect_refused("calibration_version")

    def test_calibration_on_one_side(self):
        rows = [fakes.row()]
        del rows[0]["calibration_cpu_ns"]
        self.mutate(context={"world_size": "2"})
        self.mutate("base", context={"world_size": "2"}, rows=rows)
        self.expect_refused("BM_layer: calibration_cpu_ns is absent in base alone", _BAD)

    def test_other_machine_class(self):
        self.mutate(context={"num_cpus": 64})
        self.expect_refused("num_cpus is 2 in base and 64 in cand")

    def test_empty_filter(self):
        self.expect_refused("--targets 'no_such' matches no target", targets="no_such")

    def test_unfit_machine(self):
        fakes.write_calibrate(self.side("cand"), noise=0.5)
        run, verdicts = self.ab()
        self.assertEqual((run.returncode, verdicts), (3, {}), run.stderr)
        self.assertIn("NOISY: calibration varies", run.stderr)

    def test_unfit_machine_measured_all_the_same(self):
        fakes.write_calibrate(self.side("cand"), noise=0.5)
        run, verdicts = self.ab("--allow-noisy")
        self.assertEqual((run.returncode, verdicts[_BAD]), (0, "SAME"), run.stderr)

    def test_no_budget_is_no_verdict(self):
        run, verdicts = self.ab("--budget=0.01s")
        self.assertEqual((run.returncode, verdicts[_BAD]), (3, "UNSURE"), run.stderr)

    def test_neither_folder_nor_ref(self):
        run = self.perf("ab", "--base=base", "--cand=nowhere")
        self.assertEqual(run.returncode, 2)
        self.assertIn("'nowhere' is neither a folder nor a git ref", run.stderr)

    def test_report_that_cannot_be_written_is_refused_first(self):
        run = self.perf("ab", "--base=base", "--cand=cand", "--html=no/such/report.html")
        self.assertEqual(run.returncode, 2)
        self.assertIn("--html 'no/such/report.html'", run.stderr)

    def test_record_then_history(self):
        for _ in range(2):
            run = self.perf("record", "--cand=cand", "--targets=.", "--processes=3")
            self.assertEqual(run.returncode, 0, run.stderr)
        run = self.perf("history", "matmul", "--html=trend.html")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("//bench/kernels:matmul BM_layer: 2 records", run.stdout)
        with open(os.path.join(self.folder, "trend.html"), encoding="utf-8") as file:
            self.assertIn('<svg class="trend"', file.read())

    def test_history_of_another_machine_class_is_refused(self):
        self.assertEqual(self.perf("record", "--cand=cand", "--targets=.", "--processes=2").returncode, 0)
        run = self.perf("history", "matmul", "--machine-class=other")
        self.assertEqual(run.returncode, 2)
        self.assertIn("no history of machine class other", run.stderr)

    def test_record_keeps_no_sample_of_a_failure(self):
        self.mutate(rows=[fakes.row(time_ns=0.0)])
        run = self.perf("record", "--cand=cand", "--targets=.", "--processes=2")
        self.assertEqual(run.returncode, 4)
        self.assertIn("//bench/kernels:matmul: ERROR", run.stderr)
        self.assertEqual(self.perf("history", "matmul").returncode, 2)


if __name__ == "__main__":
    unittest.main()

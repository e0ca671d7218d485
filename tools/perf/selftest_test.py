"""The self-test's own bookkeeping, and an A/A smoke of the whole tool on a real benchmark."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

from tools.perf import selftest, selftest_summary
from tools.perf.errors import InputError
from tools.perf.judge import Rules

_ROOT = os.environ["PYTHONPATH"]


def _perf(folder, *arguments):
    environment = {**os.environ, "XDG_CACHE_HOME": folder}
    return subprocess.run(
        [sys.executable, "-B", "-P", "-s", "-m", "tools.perf.main", *arguments], env=environment, cwd=folder,
        capture_output=True, text=True, timeout=250)


def _trial(verdict, pct=0.0, pairs=12, condition="quiet", tail="SAME", **fields):
    return {"schema": selftest.SCHEMA, "pct": pct, "share": 1.0, "tail": {"verdict": tail},
            "condition": condition, "verdict": verdict, "pairs": pairs,
            "time": "2026-01-02T00:00:00", "seconds": 2.0, "method": selftest.METHOD, "rules": vars(Rules()),
            "machine_class": "m", **fields,
            "samples": {"screen": {side: [[1e6 + i, 2e7, 2e6] for i in range(6)] for side in ("base", "cand")}}}


class BookkeepingTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def write(self, trials):
        path = os.path.join(self.folder, selftest.RESULTS)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(trial) + "\n" for trial in trials)
        return path

    def test_summary(self):
        text = selftest_summary.markdown(
            [_trial("SAME")] * 18 + [_trial("SLOWER", pairs=42, tail="UNSURE")] * 2
            + [_trial("SLOWER", 5.0, 42, "noise"), _trial("SAME", 50.0, share=0.2, tail="SLOWER")])
        self.assertIn(
            "| identical binaries | quiet | 2 of 20 | 1.2% to 31.7% | 2 SLOWER, 18 SAME | 0 of 20 | 0.0% to 16.8% | "
            "2 UNSURE, 18 SAME | 15.0 | 2.0 |\n", text)
        self.assertIn("| cand does 50 % more work in 20% of its steps | quiet | 0 of 1 |", text)
        self.assertIn("| cand does 5 % more work | noise | 1 of 1 |", text)

    def test_other_rules_and_methods_are_summed_up_apart(self):
        text = selftest_summary.markdown(
            [_trial("SAME"), _trial("SLOWER", rules={"alpha": 0.5}), _trial("SLOWER", method={"value": "minimum"})])
        self.assertEqual(text.count("| quiet | 0 of 1 |"), 1)
        self.assertEqual(text.count("| quiet | 1 of 1 |"), 2)
        self.assertIn("m, value minimum, ", text)

    def test_a_run_goes_on_where_the_file_ends(self):
        path = self.write([
            _trial("SAME"), _trial("SAME", condition="shared"), _trial("SAME", condition="noise"), _trial("SAME", 5.0),
            _trial("SAME", rules={"alpha": 0.5}), _trial("SAME", machine_class="other")])

        def num_done(pct, is_beside_noise):
            trials = selftest.Trials([], pct, 1.0, Rules(), is_beside_noise, {"machine_class": "m"}, path)
            return trials.num_done()

        self.assertEqual([num_done(0.0, False), num_done(0.0, True), num_done(5.0, False), num_done(5.0, True)],
                         [2, 1, 1, 0])

    def test_quiet_is_what_was_measured_as_quiet(self):
        self.assertEqual(selftest.condition_of(0.05, 0.01), "quiet")
        self.assertEqual(selftest.condition_of(0.5, 0.01), "shared")
        self.assertEqual(selftest.condition_of(0.05, 0.1), "shared")

    def test_what_reports_say(self):
        self.assertIn("not measured", selftest_summary.last_measured(self.folder))
        path = self.write([_trial("SAME")] * 3 + [_trial("SLOWER", 5.0), _trial("SLOWER", method={"value": "minimum"})])
        self.assertEqual(selftest_summary.last_measured(self.folder),
                         "0 of 3 A/A trials, of the tail 0, last on 2026-01-02")
        with open(path, "a", encoding="utf-8") as file:
            file.write('{"schema": 9}\n')
        with self.assertRaisesRegex(InputError, "unknown schema 9"):
            selftest.read(path)


class SmokeTest(unittest.TestCase):
    """Real processes on whatever machine this is: it may be too noisy to decide, but never wrong."""

    def test_identical_binaries_are_never_slower(self):
        with tempfile.TemporaryDirectory() as folder:
            for side in ("base", "cand"):
                for name, source in (("bench/harness/calibrate", "bench/harness/calibrate"),
                                     ("bench/a", "tools/perf/known_cost/known_cost_benchmark"),
                                     ("bench/b", "tools/perf/known_cost/known_cost_benchmark")):
                    path = os.path.join(folder, side, name)
                    os.makedirs(os.path.dirname(path), exist_ok=True)
                    os.symlink(os.path.join(_ROOT, source), path)
            run = _perf(folder, "ab", "--base=base", "--cand=cand", "--targets=.", "--screen=8", "--confirm=10",
                        "--allow-noisy", "--json=out.json", "--html=out.html")
            self.assertIn(run.returncode, (0, 3), run.stdout + run.stderr)
            with open(os.path.join(folder, "out.json"), encoding="utf-8") as file:
                rows = json.load(file)["rows"]
        self.assertEqual({row["target"] for row in rows}, {"//bench:a", "//bench:b"})
        self.assertLessEqual({row["verdict"] for row in rows}, {"SAME", "UNSURE"})

    # Three times the work, since a neighbour on the same core's other thread makes a process take up to 1.9 times the
    # CPU time: the slowest base is then still faster than the fastest cand.
    def test_three_times_the_work_is_found(self):
        with tempfile.TemporaryDirectory() as folder:
            run = _perf(folder, "selftest", "inject", "--pct=200", "--trials=1", "--screen=8", "--confirm=10",
                        "--out=trials.jsonl")
            self.assertEqual(run.returncode, 0, run.stderr)
            self.assertRegex(run.stdout, r"cand does 200 % more work \| (quiet|shared) \| 1 of 1 .*\| 1 of 1 ")

    def test_three_times_the_work_in_a_quarter_of_the_steps_is_found_in_the_tail(self):
        with tempfile.TemporaryDirectory() as folder:
            run = _perf(folder, "selftest", "inject", "--pct=200", "--share=25%", "--trials=1", "--screen=8",
                        "--confirm=10", "--out=trials.jsonl")
            self.assertEqual(run.returncode, 0, run.stderr)
            self.assertRegex(run.stdout, r" more work in 25% of its steps \| (quiet|shared) \| 0 of 1 .*\| 1 of 1 ")


if __name__ == "__main__":
    unittest.main()

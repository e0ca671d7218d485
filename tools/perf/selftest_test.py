"""The self-test's own bookkeeping, and an A/A smoke of the whole tool on a real benchmark."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

from tools.perf import selftest
from tools.perf.errors import InputError

_ROOT = os.environ["PYTHONPATH"]


def _perf(folder, *arguments):
    environment = {**os.environ, "XDG_CACHE_HOME": folder}
    return subprocess.run(
        [sys.executable, "-B", "-P", "-s", "-m", "tools.perf.main", *arguments], env=environment, cwd=folder,
        capture_output=True, text=True, timeout=250)


def _trial(verdict, pct=0, pairs=12, noise=False):
    return {"schema": 1, "pct": pct, "noise": noise, "verdict": verdict, "pairs": pairs, "time": "2026-01-02T00:00:00",
            "samples": {"screen": {side: [[1e6 + i, 2e7] for i in range(6)] for side in ("base", "cand")}}}


class BookkeepingTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def test_summary(self):
        lines = selftest.summary_lines(
            [_trial("SAME")] * 18 + [_trial("SLOWER", pairs=42)] * 2 + [_trial("SLOWER", 5, 42, True)])
        self.assertIn("identical sides, quiet: SLOWER 2 of 20 (95 % interval 1.2% .. 31.7%)", lines[0])
        self.assertIn("15.0 pairs a trial", lines[0])
        self.assertIn("cand +5 %, beside noise: SLOWER 1 of 1", lines[1])

    def test_what_reports_say(self):
        self.assertIn("not measured", selftest.last_measured(self.folder))
        path = os.path.join(self.folder, selftest.RESULTS)
        os.makedirs(os.path.dirname(path))
        with open(path, "w", encoding="utf-8") as file:
            for trial in [_trial("SAME")] * 3 + [_trial("SLOWER", 5)]:
                file.write(json.dumps(trial) + "\n")
        self.assertEqual(selftest.last_measured(self.folder), "0 of 3 A/A trials, last on 2026-01-02")
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

    def test_half_as_much_again_is_found(self):
        with tempfile.TemporaryDirectory() as folder:
            run = _perf(folder, "selftest", "inject", "--pct=50", "--trials=1", "--screen=8", "--confirm=10",
                        "--out=trials.jsonl")
            self.assertEqual(run.returncode, 0, run.stderr)
            self.assertIn("cand +50 %, quiet: SLOWER 1 of 1", run.stdout)


if __name__ == "__main__":
    unittest.main()

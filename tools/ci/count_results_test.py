"""The counts that the last line of .ci/run shows, for every way that a test or a build can end."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

from tools.ci import count_results


def configured(label, kind="cc_test rule"):
    return {"id": {"targetConfigured": {"label": label}}, "configured": {"targetKind": kind}}


def summary(label, status):
    return {"id": {"testSummary": {"label": label}}, "testSummary": {"overallStatus": status}}


def aborted(label, reason):
    return {"id": {"targetCompleted": {"label": label}}, "aborted": {"reason": reason}}


def outcomes(events, log="all is well"):
    return count_results.outcomes(events, read_log=lambda _: log)


class CountResultsTest(unittest.TestCase):
    def test_each_outcome_counts_once(self):
        events = [configured("//" + name) for name in "abcdef"]
        events += [summary("//a", "PASSED"), summary("//b", "FAILED"), summary("//c", "TIMEOUT")]
        events += [aborted("//d", "SKIPPED"), aborted("//e", "ANALYSIS_FAILURE")]
        found = outcomes(events)
        self.assertEqual(found["//c"], "TIMEOUT")
        self.assertEqual(count_results.last_line(found, 3), ("1 passed, 4 failed, 1 skipped", 4))

    def test_other_targets_do_not_count(self):
        events = [configured("//a"), configured("//b", "cc_library rule")]
        events += [aborted("//b", "SKIPPED"), summary("//a", "PASSED")]
        self.assertEqual(count_results.last_line(outcomes(events), 0), ("1 passed, 0 failed", 0))

    def test_a_failed_build_fails(self):
        events = [configured("//a"), summary("//a", "PASSED")]
        self.assertEqual(count_results.last_line(outcomes(events), 1), ("1 passed, 1 failed", 1))
        self.assertEqual(count_results.last_line({}, 1), ("0 passed, 1 failed", 1))

    def test_finding_no_test_fails(self):
        self.assertEqual(count_results.last_line({}, 0), ("0 passed, 1 failed", 1))

    def test_a_test_that_ran_nothing_is_skipped(self):
        events = [configured("//a"), summary("//a", "PASSED")]
        all_skipped = "[  PASSED  ] 0 tests.\n[  SKIPPED ] 2 tests, listed below:\n"
        some_skipped = "[  PASSED  ] 1 test.\n[  SKIPPED ] 2 tests, listed below:\n"
        self.assertEqual(outcomes(events, "SKIPPED: no tool\n"), {"//a": "skipped"})
        self.assertEqual(outcomes(events, all_skipped), {"//a": "skipped"})
        self.assertEqual(outcomes(events, some_skipped), {"//a": "passed"})
        self.assertEqual(outcomes(events, "not SKIPPED: here\n"), {"//a": "passed"})

    def test_label_that_the_terminal_cannot_show(self):
        with tempfile.NamedTemporaryFile("w", delete=False, encoding="utf-8") as file:
            for event in (configured("//\u00e9"), summary("//\u00e9", "FAILED")):
                file.write(json.dumps(event) + "\n")
        self.addCleanup(os.unlink, file.name)
        run = subprocess.run(
            [sys.executable, "-B", "-m", "tools.ci.count_results", file.name, "0"], capture_output=True, text=True,
            env={**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}, check=False)
        self.assertIn("failed:  //\\xe9", run.stdout + run.stderr)
        self.assertNotIn("Traceback", run.stderr)

    def test_events_cut_short_are_read_to_the_cut(self):
        with tempfile.NamedTemporaryFile("w", delete=False) as file:
            file.write('{"id": {"started": {}}}\n{"id": {"targ')
        self.addCleanup(os.unlink, file.name)
        self.assertEqual(len(count_results.read_events(file.name)), 1)


if __name__ == "__main__":
    unittest.main()

"""The simpler gates on trials whose answer is known."""

import unittest

from tools.perf import plain_compare


def _trial(level, pct=0, time="t"):
    samples = {side: [[level * (1 + 0.001 * i), 2e7] for i in range(8)] for side in ("base", "cand")}
    return {"pct": pct, "condition": "quiet", "time": time, "samples": {"screen": samples}}


class PlainCompareTest(unittest.TestCase):
    def test_a_machine_that_slows_down_raises_alarms(self):
        lines = plain_compare.alarm_lines([_trial(1.0), _trial(1.03), _trial(1.2), _trial(1.2)])
        self.assertIn("3 comparisons", lines[0])
        self.assertIn("at .05 in 67%", lines[0])
        self.assertIn("gate of 5 % in 33%", lines[0])

    def test_only_neighbours_of_one_run_are_compared(self):
        self.assertEqual(plain_compare.alarm_lines([]), [])
        self.assertEqual(plain_compare.alarm_lines([_trial(1.0), _trial(1.0, time="later")]), [])
        self.assertEqual(plain_compare.alarm_lines([_trial(1.0), _trial(1.0, pct=5)]), [])


if __name__ == "__main__":
    unittest.main()

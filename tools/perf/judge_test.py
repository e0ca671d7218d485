"""Verdicts and exit codes as functions of a comparison."""

import unittest

from tools.perf import judge, verdicts
from tools.perf.comparison import Comparison


def _compared(shift, low, high, p_slower=0.5, p_faster=0.5, num=12):
    return Comparison(num, num, 1.0, 1.0 + shift, shift, low, high, p_slower, p_faster)


_RULES = judge.Rules()


class JudgeTest(unittest.TestCase):
    def test_screen(self):
        self.assertEqual(judge.screen(_compared(0.001, -0.01, 0.01), _RULES), verdicts.SAME)
        self.assertEqual(judge.screen(_compared(0.03, -0.01, 0.06, p_slower=0.09), _RULES), judge.SUSPECT)
        self.assertEqual(judge.screen(_compared(-0.03, -0.06, 0.01, p_faster=0.09), _RULES), verdicts.UNSURE)
        self.assertEqual(judge.screen(_compared(0.001, -0.03, 0.03), _RULES), verdicts.UNSURE)

    def test_slower_needs_both_the_p_value_and_the_effect(self):
        cases = [
            (0.05, 0.03, 0.07, 0.001, verdicts.SLOWER),
            (0.05, -0.01, 0.11, 0.02, verdicts.UNSURE),
            (0.015, 0.012, 0.018, 0.0001, verdicts.SAME),
            (0.019, 0.01, 0.028, 0.0001, verdicts.UNSURE),
            (-0.05, -0.07, -0.03, 1.0, verdicts.FASTER),
        ]
        for shift, low, high, p_slower, expected in cases:
            compared = _compared(shift, low, high)
            self.assertEqual(judge.confirm(compared, p_slower, 1 - p_slower, _RULES), expected, shift)

    def test_holm_over_the_confirmed_set(self):
        suspect = _compared(0.05, 0.01, 0.09, p_slower=0.004, p_faster=0.996)
        self.assertEqual(judge.confirm_all({"a": suspect}, _RULES), {"a": verdicts.SLOWER})
        three = judge.confirm_all({"a": suspect, "b": suspect, "c": suspect}, _RULES)
        self.assertEqual(set(three.values()), {verdicts.UNSURE})

    def test_pairs_to_decide_shrink_with_the_interval(self):
        wide = judge.pairs_to_decide(_compared(0.0, -0.04, 0.04), _RULES)
        # Half the width needs a quarter of the pairs: 12 pairs at 4 % are 48 at 2 %.
        self.assertAlmostEqual(wide, 48, delta=3)
        self.assertLess(judge.pairs_to_decide(_compared(0.0, -0.021, 0.021), _RULES), 15)

    def test_more_pairs_are_between_few_and_those_of_a_suspect(self):
        # 13 and 25 pairs would decide; a third more, less the 12 there are.
        self.assertEqual(judge.more_pairs(_compared(0.0, -0.0201, 0.0201), _RULES), 6)
        self.assertEqual(judge.more_pairs(_compared(0.0, -0.028, 0.028), _RULES), 22)
        self.assertEqual(judge.more_pairs(_compared(0.0, -0.1, 0.1), _RULES), 30)

    def test_a_shift_at_the_limit_is_told_as_hopeless(self):
        self.assertIn("more than 1000", judge.unsure_note(_compared(0.0199999, -0.03, 0.07), _RULES))
        self.assertRegex(judge.unsure_note(_compared(0.0, -0.0392, 0.0404), _RULES), "about 3[5-8] more")


class ExitCodeTest(unittest.TestCase):
    def test_precedence(self):
        good = [verdicts.SAME, verdicts.FASTER, verdicts.NEW]
        self.assertEqual(verdicts.exit_code(good, 0), 0)
        bad = []
        for verdict, code in ((verdicts.UNSURE, 3), (verdicts.SLOWER, 1), (verdicts.MISSING, 4), (verdicts.ERROR, 4),
                              (verdicts.UNREADABLE, 2)):
            bad.append(verdict)
            self.assertEqual(verdicts.exit_code(good + bad, 0), code, verdict)
            self.assertEqual(verdicts.exit_code(good + [verdict], 0), code, verdict)

    def test_a_share_may_be_unsure(self):
        rows = [verdicts.SAME] * 9 + [verdicts.UNSURE]
        self.assertEqual(verdicts.exit_code(rows, 0.10), 0)
        self.assertEqual(verdicts.exit_code(rows, 0.09), 3)

    def test_every_verdict_has_its_place(self):
        self.assertEqual(len(set(verdicts.ORDER)), 9)


if __name__ == "__main__":
    unittest.main()

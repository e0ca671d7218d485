"""The statistics against their definitions, and against what is known of their error rates."""

import unittest

import numpy as np

from tools.perf.comparison import compare, holm


class CompareTest(unittest.TestCase):
    def test_shift_is_relative_and_signed(self):
        base = [100.0, 101, 102, 103, 104]
        slower = compare(base, [value * 1.05 for value in base])
        self.assertAlmostEqual(slower.shift, 0.05, places=12)
        self.assertLess(slower.p_slower, 0.05)
        faster = compare(base, [value / 1.05 for value in base])
        self.assertAlmostEqual(faster.shift, 1 / 1.05 - 1, places=12)
        self.assertLess(faster.p_faster, 0.05)

    def test_p_is_exact_where_it_can_be_counted(self):
        # All four of cand above all four of base: one arrangement of 70.
        self.assertAlmostEqual(compare([1.0, 2, 3, 4], [5.0, 6, 7, 8]).p_slower, 1 / 70, places=12)

    def test_shift_is_the_median_of_all_ratios(self):
        base, cand = [1.0, 2, 4], [3.0, 5, 11]
        ratios = sorted(c / b for c in cand for b in base)
        self.assertAlmostEqual(compare(base, cand).shift, ratios[4] - 1, places=12)

    def test_interval_covers_the_truth_as_often_as_it_says(self):
        rng = np.random.default_rng(1)
        for num_pairs in (6, 12):
            covered = 0
            for _ in range(200):
                compared = compare(rng.lognormal(0, 0.05, num_pairs), 1.03 * rng.lognormal(0, 0.05, num_pairs))
                covered += compared.shift_low <= 0.03 <= compared.shift_high
            # 95 % of 200 is 190; four standard deviations are 12, and small samples are conservative.
            self.assertGreater(covered, 177, num_pairs)

    def test_false_alarms_as_often_as_alpha_says(self):
        rng = np.random.default_rng(2)
        alarms = sum(
            compare(rng.lognormal(0, 0.02, 30), rng.lognormal(0, 0.02, 30)).p_slower < 0.1 for _ in range(300))
        # 30 expected; four standard deviations are 21.
        self.assertLess(alarms, 51)
        self.assertGreater(alarms, 9)

    def test_ties_everywhere(self):
        compared = compare([5.0] * 12, [5.0] * 12)
        self.assertEqual((compared.shift, compared.shift_low, compared.shift_high), (0, 0, 0))
        self.assertGreater(compared.p_slower, 0.4)

    def test_few_distinct_values(self):
        compared = compare([5.0, 5, 5, 6, 6, 6], [5.0, 5, 6, 6, 6, 6])
        self.assertLessEqual(compared.shift_low, compared.shift)
        self.assertLessEqual(compared.shift, compared.shift_high)


class HolmTest(unittest.TestCase):
    def test_example(self):
        # Smallest times 4, next times 3, ..., never below the one before.
        self.assertEqual([round(p, 10) for p in holm([0.01, 0.04, 0.03, 0.005])], [0.03, 0.06, 0.06, 0.02])

    def test_one_and_none(self):
        self.assertEqual(holm([0.3]), [0.3])
        self.assertEqual(holm([]), [])

    def test_never_above_one(self):
        self.assertEqual(holm([0.9, 0.8]), [1.0, 1.0])


if __name__ == "__main__":
    unittest.main()

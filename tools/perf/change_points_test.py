"""Change points: a step is dated, noise and drift below the effect are not."""

import unittest

import numpy as np

from tools.perf import change_points


class ChangePointsTest(unittest.TestCase):
    def setUp(self):
        self.rng = np.random.default_rng(1)

    def series(self, *levels):
        """Segments of (level, length) with 1 % noise."""
        return np.concatenate([level * self.rng.lognormal(0, 0.01, length) for level, length in levels])

    def test_a_step_is_dated(self):
        found = change_points.find(self.series((1.0, 30), (1.08, 25)))
        self.assertEqual(len(found), 1)
        self.assertAlmostEqual(found[0], 30, delta=1)

    def test_two_steps_in_order(self):
        found = change_points.find(self.series((1.0, 20), (1.2, 20), (0.9, 20)))
        self.assertEqual(len(found), 2)
        self.assertAlmostEqual(found[0], 20, delta=1)
        self.assertAlmostEqual(found[1], 40, delta=1)

    def test_noise_alone_is_no_step(self):
        flagged = sum(bool(change_points.find(self.series((1.0, 40)))) for _ in range(50))
        self.assertEqual(flagged, 0)

    def test_below_the_effect_is_no_step(self):
        self.assertEqual(change_points.find([1.0 + 1e-6 * i for i in range(20)] + [1.01 + 1e-6 * i for i in range(20)]),
                         [])

    def test_too_short_to_say(self):
        self.assertEqual(change_points.find([1, 1, 1, 1, 2, 2, 2, 2]), [])


if __name__ == "__main__":
    unittest.main()

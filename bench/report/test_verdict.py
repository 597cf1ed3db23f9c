"""Tests of the verdicts; `make lint` runs them."""

import unittest

from report.verdict import MET, NOT_MEASURED, NOT_MET, verdict


def target(value, ratio=None, measured=True, **limit):
    return {"value": value, "ratio": ratio, "measured": measured, **limit}


class Verdict(unittest.TestCase):
    def test_the_limit_decides_about_the_value(self):
        self.assertEqual(verdict(target(5, at_most=5)), MET)
        self.assertEqual(verdict(target(6, at_most=5)), NOT_MET)
        self.assertEqual(verdict(target(6, at_least=5)), MET)
        self.assertEqual(verdict(target(4, at_least=5)), NOT_MET)

    def test_a_ratio_takes_precedence_over_the_value(self):
        self.assertEqual(verdict(target(900, ratio=0.5, at_most=0.8)), MET)
        self.assertEqual(verdict(target(900, ratio=0.9, at_most=0.8)), NOT_MET)

    def test_a_target_without_measurement_is_not_measured(self):
        self.assertEqual(verdict(target(0, measured=False, at_most=0)), NOT_MEASURED)
        self.assertEqual(verdict(target(None, at_most=5)), NOT_MEASURED)
        self.assertEqual(verdict(target(float("nan"), at_most=5)), NOT_MEASURED)


if __name__ == "__main__":
    unittest.main()

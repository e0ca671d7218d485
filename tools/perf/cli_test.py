"""The command line: what is refused, and with which hint."""

import contextlib
import io
import re
import unittest

from tools.perf import cli
from tools.perf.errors import InputError

_SIDES = ["--base=a", "--cand=b"]


class CliTest(unittest.TestCase):
    def refuse(self, arguments, message):
        with self.assertRaisesRegex(InputError, message):
            cli.parse(arguments)

    def test_defaults_are_those_of_the_design(self):
        flags = cli.parse(["ab", *_SIDES])
        self.assertEqual((flags.screen, flags.confirm, flags.min_effect, flags.alpha, flags.budget),
                         (12, 30, 0.02, 0.01, 600))
        self.assertIsNone(flags.targets)

    def test_units(self):
        flags = cli.parse(["ab", *_SIDES, "--min-effect=.5%", "--budget=1.5h", "--alpha=.05", "--targets=a|b"])
        self.assertEqual((flags.min_effect, flags.budget, flags.alpha), (0.005, 5400, 0.05))
        self.assertTrue(flags.targets.search("//bench:b"))

    def test_unknown_words_get_a_hint(self):
        self.refuse(["histroy"], "unknown command 'histroy'; did you mean 'history'")
        self.refuse(["ab", "--bsae=x", "--cand=y"], "unknown flag '--bsae'; did you mean '--base'")
        self.refuse(["ab", *_SIDES, "--zzz"], "unknown flag '--zzz'; known: .*--budget")
        self.refuse([], "no command")

    def test_no_abbreviations(self):
        self.refuse(["ab", *_SIDES, "--scr=3"], "unknown flag '--scr'")

    def test_missing_and_bad_values(self):
        self.refuse(["ab", "--base=x"], "required: --cand")
        self.refuse(["ab", *_SIDES, "--targets=("], "no regular expression")
        self.refuse(["selftest", "bb"], "invalid choice")
        self.refuse(["ab", *_SIDES, "stray"], "unrecognized arguments: stray")
        for flag, values in {
            "--min-effect": ["2", "0.02", "-1%", "200%", "%", "2 %"], "--alpha": ["1%", "1", "0", "0.0", "-.1", "x"],
            "--budget": ["10", "0s", "-1m", "10min", ""], "--screen": ["3", "-1", "4.5", "1e3", ""],
        }.items():
            for value in values:
                self.refuse(["ab", *_SIDES, f"{flag}={value}"], f"argument {flag}: '{re.escape(value)}' is")

    def test_help_of_every_command_names_its_flags(self):
        for command in ("ab", "record", "history", "ir", "selftest"):
            out = io.StringIO()
            with contextlib.redirect_stdout(out), self.assertRaises(SystemExit) as end:
                cli.parse([command, "--help"])
            self.assertEqual(end.exception.code, 0)
            self.assertIn("usage: perf " + command, out.getvalue())


if __name__ == "__main__":
    unittest.main()

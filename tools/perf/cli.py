"""The command line: strict flags with a hint at the nearest known one, and the help that shows them all."""

import argparse
import difflib
import re

from tools.perf.errors import InputError
from tools.perf.judge import Rules

DESCRIPTION = """\
Tells whether benchmark targets became slower, and does not cry wolf.

  perf ab --base origin/main --cand HEAD     compare two commits, checkouts, or folders of binaries
  perf record --targets RE                   measure this checkout and add it to the history
  perf history RE                            trend and change points of a target; judges nothing
  perf ir --base origin/main --cand HEAD     compare instruction counts under valgrind
  perf selftest aa|inject                    measure this tool's own false alarms and power
  perf clean                                 remove what was built for refs from the disk

exit codes:
  0  every target is SAME, FASTER or NEW
  1  at least one is SLOWER
  2  bad usage, or input that cannot be read, built or compared, or a report that cannot be written
  3  the machine is unfit, or too many targets are UNSURE
  4  a benchmark failed (ERROR) or is gone (MISSING)
  where several apply: 2 before 4 before 1 before 3; interrupted: 130 (Ctrl-C) or 143
"""


def parse(arguments):
    """Returns the parsed flags; raises InputError for what it cannot use.  --help prints and exits with 0."""
    parser, commands = _make_parser()
    if arguments and not arguments[0].startswith("-") and arguments[0] not in commands:
        raise InputError(f"unknown command '{arguments[0]}'{hint(arguments[0], commands)}")
    if not arguments:
        raise InputError(f"no command; one of: {', '.join(commands)} (perf --help)")
    if arguments[0] in commands:
        _check_flag_names(arguments, commands[arguments[0]])
    return parser.parse_args(arguments)


def _check_flag_names(arguments, command):
    """Before argparse, which would complain of a required flag first where one is only misspelt."""
    known = [option for action in command._actions for option in action.option_strings]
    for argument in arguments[1:]:
        name = argument.split("=")[0]
        if name.startswith("--") and name not in known:
            raise InputError(f"{command.prog.removeprefix('perf ')}: unknown flag '{name}'{hint(name, known)}")


class _Parser(argparse.ArgumentParser):
    def __init__(self, **arguments):
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **arguments)

    def error(self, message):
        raise InputError(f"{self.prog.removeprefix('perf ')}: {message}")


def hint(word, names, known=None):
    """The nearest of the names, or, where none is near, all that are known (by default the names)."""
    nearest = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return f"; did you mean '{nearest[0]}'?" if nearest else f"; known: {', '.join(known or names)}"


def _make_parser():
    parser = _Parser(prog="perf", description=DESCRIPTION)
    subparsers = parser.add_subparsers(dest="command", metavar="command")
    commands = {}
    for name, add in (("ab", _add_ab), ("record", _add_record), ("history", _add_history), ("ir", _add_ir),
                      ("selftest", _add_selftest), ("clean", _add_clean)):
        commands[name] = subparsers.add_parser(name, description=add.__doc__)
        add(commands[name])
    return parser, commands


def _add_sides(parser, has_steps=True):
    parser.add_argument("--base", required=True, metavar="REF|DIR", help="git ref, checkout, or folder of binaries")
    parser.add_argument("--cand", required=True, metavar="REF|DIR", help="likewise, the candidate")
    _add_selection(parser, has_steps)


def _add_selection(parser, has_steps=True):
    parser.add_argument("--targets", type=_pattern, metavar="RE",
                        help="programs under //bench whose label matches; default: tagged perf_target")
    parser.add_argument("--timeout", type=_duration, default=300.0, metavar="TIME",
                        help="of one benchmark process (default 5m)")
    if has_steps:
        parser.add_argument("--n-steps", type=_count(1), metavar="N",
                            help="timed passes of each process (default: the program's own)")
    parser.add_argument("--bazel-flags", type=str.split, default=[], metavar="FLAGS",
                        help="given to every bazel build, the same on both sides")


def _add_history_dir(parser):
    parser.add_argument("--history-dir", default="perf/history", metavar="DIR", help="default perf/history")


def _add_rules(parser):
    parser.add_argument("--screen", type=_count(4), default=Rules.num_screen_pairs, metavar="N",
                        help="pairs that every target gets (default %(default)s)")
    parser.add_argument("--confirm", type=_count(8), default=Rules.num_confirm_pairs, metavar="N",
                        help="fresh pairs for a suspect (default %(default)s)")
    parser.add_argument("--min-effect", type=_percent, default=Rules.min_effect, metavar="P%",
                        help="smallest shift that matters (default 2%%)")
    parser.add_argument("--min-tail-effect", type=_percent, default=Rules.min_tail_effect, metavar="P%",
                        help="likewise of the 90th percentile of a process's repetitions (default 10%%)")
    parser.add_argument("--alpha", type=_probability, default=Rules.alpha, metavar="P",
                        help="chance taken of calling an unchanged target slower (default .01)")
    parser.add_argument("--seed", type=_count(0), metavar="N", help="of the order of processes (default random)")


def _add_ab(parser):
    """Measures base and cand in interleaved processes and judges every target."""
    _add_sides(parser)
    _add_rules(parser)
    parser.add_argument("--budget", type=_duration, default=600.0, metavar="TIME",
                        help="for measuring, builds not counted (default 10m)")
    parser.add_argument("--allow-unsure", type=_percent, default=0.10, metavar="P%",
                        help="share of targets that may be UNSURE without exit code 3 (default 10%%)")
    parser.add_argument("--allow-noisy", action="store_true", help="measure on a machine that is found unfit")
    parser.add_argument("--allow-change", type=_words, default=[], metavar="KEY,...",
                        help="context keys that may differ between the sides, a library's version, say")
    parser.add_argument("--ir", action="store_true",
                        help="count instructions too, as perf ir does; slow, and decides nothing here")
    parser.add_argument("--json", metavar="FILE", help="everything measured")
    parser.add_argument("--md", metavar="FILE", help="the report as markdown")
    parser.add_argument("--html", metavar="FILE", help="the report with its pictures, one file")
    _add_history_dir(parser)


def _add_record(parser):
    """Measures one side and adds a record per benchmark to the history."""
    parser.add_argument("--cand", default=".", metavar="REF|DIR", help="what to measure (default this checkout)")
    _add_selection(parser)
    parser.add_argument("--processes", type=_count(2), default=12, metavar="N", help="default %(default)s")
    parser.add_argument("--seed", type=_count(0), metavar="N", help="of the order of processes (default random)")
    parser.add_argument("--allow-noisy", action="store_true",
                        help="record on a machine that is found unfit, and, as UNSURE, what processes disagree on")
    _add_history_dir(parser)


def _add_history(parser):
    """Shows trend and change points.  It never judges: exit code 0 unless the input cannot be used."""
    parser.add_argument("target", type=_pattern, metavar="TARGET|RE", help="targets whose label matches")
    parser.add_argument("--last", type=_count(2), default=60, metavar="N", help="records (default %(default)s)")
    parser.add_argument("--since", metavar="REF", help="only commits after this one")
    parser.add_argument("--machine-class", metavar="CLASS", help="default: this machine's")
    parser.add_argument("--html", metavar="FILE", help="the trends as one file")
    _add_history_dir(parser)


def _add_ir(parser):
    """Compares instructions per step under valgrind's callgrind; CPU targets of one rank only."""
    _add_sides(parser, has_steps=False)
    parser.add_argument("--repeats", type=_count(1), default=2, metavar="N", help="runs per side (default %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="the counts")


def _add_selftest(parser):
    """Measures the tool's own false alarms (aa: identical sides) or power (inject: cand does more work); or sums up
    what was measured (summary)."""
    parser.add_argument("kind", choices=["aa", "inject", "summary"])
    parser.add_argument("--pct", type=_number, default=5.0, metavar="P", help="more work in inject (default 5)")
    parser.add_argument("--share", type=_percent, default=1.0, metavar="P%",
                        help="of cand's steps that do more work in inject (default 100%%)")
    parser.add_argument("--trials", type=_count(1), default=20, metavar="N",
                        help="run until --out holds so many of this kind (default %(default)s)")
    parser.add_argument("--noise", action="store_true", help="beside the bundled noise generator")
    parser.add_argument("--out", metavar="FILE",
                        help="add the trials to this file, and sum up all it then holds; summary reads it (default "
                        "docs/results/perf_selftest.jsonl)")
    _add_rules(parser)


def _add_clean(_):
    """Removes the worktree, Bazel's output base and the binaries that ab, record and ir keep for the next run."""


def _pattern(text):
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"'{text}' is no regular expression: {error}") from error


def _count(least):
    def count(text):
        if not re.fullmatch(r"\d{1,9}", text) or int(text) < least:
            raise argparse.ArgumentTypeError(f"'{text}' is not an integer of at least {least}")
        return int(text)
    return count


def _number(text):
    if not re.fullmatch(r"\d*\.?\d+", text) or not 0 < float(text) <= 1000:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number over 0 and up to 1000")
    return float(text)


def _percent(text):
    match = re.fullmatch(r"(\d*\.?\d+)%", text)
    if not match or not 0 <= float(match.group(1)) <= 100:
        raise argparse.ArgumentTypeError(f"'{text}' is not a percentage such as 2% or 0.5%, up to 100%")
    return float(match.group(1)) / 100


def _probability(text):
    if not re.fullmatch(r"\d*\.\d+", text) or not 0 < float(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a probability between 0 and 1, such as .01")
    return float(text)


def _duration(text):
    match = re.fullmatch(r"(\d*\.?\d+)(s|m|h)", text)
    if not match or float(match.group(1)) == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is not a time such as 90s, 10m or 1h")
    return float(match.group(1)) * {"s": 1, "m": 60, "h": 3600}[match.group(2)]


def _words(text):
    return text.split(",")


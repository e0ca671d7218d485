"""The verdicts, and the exit code of a run that has reached them."""

SAME = "SAME"  # the 95 % interval of the shift lies inside +-min_effect
SLOWER = "SLOWER"
FASTER = "FASTER"
UNSURE = "UNSURE"  # neither: not "no regression"
ERROR = "ERROR"  # the benchmark failed, hung, or gave no finite time
UNREADABLE = "UNREADABLE"  # its result file could not be read
MISSING = "MISSING"  # in base, not in cand
NEW = "NEW"  # in cand, not in base
SKIPPED = "SKIPPED"  # of perf ir alone: its instructions cannot be counted

# Worst first: the order of every report.
ORDER = [UNREADABLE, ERROR, MISSING, SLOWER, UNSURE, FASTER, NEW, SAME, SKIPPED]

EXIT_GOOD = 0
EXIT_SLOWER = 1
EXIT_BAD_INPUT = 2
EXIT_UNDECIDED = 3
EXIT_BROKEN = 4


def exit_code(verdicts, max_unsure_share):
    """The code for a finished run: bad input before broken before slower before undecided before good."""
    verdicts = list(verdicts)
    if UNREADABLE in verdicts:
        return EXIT_BAD_INPUT
    if ERROR in verdicts or MISSING in verdicts:
        return EXIT_BROKEN
    if SLOWER in verdicts:
        return EXIT_SLOWER
    if verdicts.count(UNSURE) > max_unsure_share * len(verdicts):
        return EXIT_UNDECIDED
    return EXIT_GOOD

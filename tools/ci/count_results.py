"""Counts the tests of one Bazel run from its events, one JSON object a line (--build_event_json_file).

  count_results.py EVENTS EXIT_CODE

EXIT_CODE is Bazel's.  Prints the tests that failed, those that were skipped, and last "N passed, N failed" with
", N skipped" if there were any.  Exits with 0 only if Bazel did and no test failed.

A test that could not be built has failed.  A test is skipped where Bazel says that this machine cannot build it (no
CUDA toolkit), where it prints a line "SKIPPED: reason", or where GoogleTest skipped every case of it.
"""

import json
import re
import sys
import urllib.parse

SAYS_SKIPPED = re.compile(r"^SKIPPED: ", re.MULTILINE)
GTEST_SKIPPED = re.compile(r"^\[  SKIPPED \] [1-9]", re.MULTILINE)
GTEST_RAN_NONE = re.compile(r"^\[  PASSED  \] 0 tests", re.MULTILINE)


def read_events(path):
    """Returns the events; a last line cut short, by a killed Bazel, is left out."""
    events = []
    with open(path, encoding="utf-8") as file:
        for line in file:
            try:
                events.append(json.loads(line))
            except ValueError:
                break
    return events


def _passed_or_skipped(log):
    ran_nothing = SAYS_SKIPPED.search(log) or (GTEST_SKIPPED.search(log) and GTEST_RAN_NONE.search(log))
    return "skipped" if ran_nothing else "passed"


def _read_log(summary):
    logs = []
    for file in summary.get("passed", []):
        path = urllib.parse.unquote(urllib.parse.urlparse(file["uri"]).path)
        with open(path, encoding="utf-8", errors="replace") as log:
            logs.append(log.read())
    return "\n".join(logs)


def outcomes(events, read_log=_read_log):
    """Returns {label: "passed", "skipped", or why it failed} of every test."""
    found = {}
    for event in events:
        (kind, identity), *_ = event["id"].items()
        label = identity.get("label")
        if kind == "targetConfigured" and event.get("configured", {}).get("targetKind", "").endswith("_test rule"):
            found[label] = "not built or not run"
        elif label not in found:
            continue
        elif kind == "targetCompleted" and event.get("aborted", {}).get("reason") == "SKIPPED":
            found[label] = "skipped"
        elif kind == "testSummary" and "testSummary" in event:
            summary = event["testSummary"]
            outcome = summary.get("overallStatus", "NO_STATUS")
            found[label] = _passed_or_skipped(read_log(summary)) if outcome == "PASSED" else outcome
    return found


def last_line(found, exit_code):
    """Returns the line of counts and the number that failed: at least 1 where Bazel failed or found no test."""
    passed = sum(outcome == "passed" for outcome in found.values())
    skipped = sum(outcome == "skipped" for outcome in found.values())
    failed = len(found) - passed - skipped
    if failed == 0 and (exit_code != 0 or not found):
        failed = 1
    line = "%d passed, %d failed" % (passed, failed)
    return line + (", %d skipped" % skipped if skipped else ""), failed


def main():
    exit_code = int(sys.argv[2])
    found = outcomes(read_events(sys.argv[1]))
    for label, outcome in sorted(found.items()):
        if outcome not in ("passed", "skipped"):
            print("failed:  %s (%s)" % (label, outcome))
    for label, outcome in sorted(found.items()):
        if outcome == "skipped":
            print("skipped: %s" % label)
    line, failed = last_line(found, exit_code)
    print(line)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    # A character that the terminal's encoding lacks is written as an escape.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")
    main()

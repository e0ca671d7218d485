"""The two sides of a comparison, each a folder of benchmark binaries.

A side is given as

  - a git ref: checked out into the worktree of the cache folder and built there (builds.py);
  - a checkout (a folder with a WORKSPACE file), uncommitted changes and all: built in place;
  - a bundle, made by tools/bundle for hosts without Bazel: its MANIFEST names the targets, and its `run` starts them;
  - any other folder: every executable file under it is a target, named by its path, so that
    bench/gpipe_test_w2_cpu is //bench:gpipe_test_w2_cpu.
"""

import dataclasses
import os
import re

from tools.perf.errors import InputError

CALIBRATE = "//bench/harness:calibrate"


@dataclasses.dataclass(frozen=True)
class Side:
    name: str  # "base" or "cand"
    given: str  # what the command line said
    commit: str
    programs: dict  # by label, the words that start it
    calibrate: list  # the program of CALIBRATE; empty where the side has none
    labels: list  # of all programs that could have been selected


def prepare(name, given, target_pattern, cache, bazel_flags=()):
    """Returns the Side with the targets that `target_pattern` (a compiled regular expression, or None for the
    targets tagged perf_target) selects; builds them where needed."""
    if os.path.isfile(os.path.join(given, "WORKSPACE")):
        return _built(name, given, cache.of_checkout(name, given, bazel_flags), target_pattern)
    if os.path.isfile(os.path.join(given, "MANIFEST")):
        return _select_from(name, given, _bundled_programs(given), target_pattern)
    if os.path.isdir(given):
        return _select_from(name, given, _programs_in(given), target_pattern)
    return _built(name, given, cache.of_ref(name, given, bazel_flags), target_pattern)


def _built(name, given, build, target_pattern):
    known = build.labels(only_tagged=target_pattern is None)
    labels = _select(known, target_pattern)
    programs = build.programs([*labels, CALIBRATE] if labels else [])
    calibrate = programs.pop(CALIBRATE, [])
    return Side(name, given, build.commit(), programs, calibrate, known)


def _select(labels, target_pattern):
    chosen = [label for label in labels if label != CALIBRATE]
    if target_pattern is not None:
        chosen = [label for label in chosen if target_pattern.search(label)]
    return sorted(chosen)


def _select_from(name, given, programs, target_pattern):
    selected = {label: programs[label] for label in _select(programs, target_pattern)}
    return Side(name, given, "", selected, programs.get(CALIBRATE, []), sorted(programs))


def _programs_in(given):
    programs = {}
    for folder, _, files in os.walk(given):
        for file in files:
            path = os.path.join(folder, file)
            if os.access(path, os.X_OK) and not re.search(r"\.so(\.|$)", file):
                package = os.path.relpath(folder, given).replace(os.sep, "/")
                programs[f"//{'' if package == '.' else package}:{file}"] = [os.path.abspath(path)]
    return programs


def _bundled_programs(given):
    run = os.path.abspath(os.path.join(given, "run"))
    programs = {}
    with open(os.path.join(given, "MANIFEST"), encoding="utf-8") as file:
        next(file, None)  # the commit
        for number, line in enumerate(file, start=2):
            words = line.split()
            if len(words) != 4:
                raise InputError(f"{file.name}, line {number}: not 'SHA-256 size name label': {line.strip()}")
            programs[words[3]] = [run, words[2]]
    return programs

"""The two sides of a comparison, each a folder of benchmark binaries.

A side is given as

  - a git ref: checked out into a worktree of the cache folder and built there;
  - a checkout (a folder with a WORKSPACE file), uncommitted changes and all: built in place;
  - a bundle, made by tools/bundle for hosts without Bazel: its MANIFEST names the targets, and its `run` starts them;
  - any other folder: every executable file under it is a target, named by its path, so that
    bench/schemes/gpipe_test_w2_cpu is //bench/schemes:gpipe_test_w2_cpu.
"""

import contextlib
import dataclasses
import fcntl
import os
import re
import shutil
import subprocess
import sys

from tools.perf.errors import InputError

CALIBRATE = "//bench/harness:calibrate"
_PROGRAMS = "kind('cc_binary', //bench/...)"


@dataclasses.dataclass(frozen=True)
class Side:
    name: str  # "base" or "cand"
    given: str  # what the command line said
    commit: str
    programs: dict  # by label, the words that start it
    calibrate: list  # the program of CALIBRATE; empty where the side has none


@dataclasses.dataclass(frozen=True)
class BuildOptions:
    checkout: str  # the repository that refs belong to
    cache_dir: str
    bazel_flags: tuple


def prepare(name, given, target_pattern, options):
    """Returns the Side with the targets that `target_pattern` (a compiled regular expression, or None for the
    targets tagged perf_target) selects; builds them where needed."""
    if os.path.isfile(os.path.join(given, "WORKSPACE")):
        return _build(name, given, os.path.abspath(given), target_pattern, options)
    if os.path.isfile(os.path.join(given, "MANIFEST")):
        return _select_from(name, given, _bundled_programs(given), target_pattern)
    if os.path.isdir(given):
        return _select_from(name, given, _programs_in(given), target_pattern)
    commit = _commit_of(given, options.checkout)
    return _build(name, given, _worktree(name, commit, options), target_pattern, options)


@contextlib.contextmanager
def alone(cache_dir):
    """Only one perf at a time builds and measures on a machine: two would measure each other."""
    os.makedirs(cache_dir, exist_ok=True)
    with open(os.path.join(cache_dir, "lock"), "w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("perf: another perf is measuring on this machine; waiting for it", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _commit_of(ref, checkout):
    run = subprocess.run(
        ["git", "-C", checkout, "rev-parse", "--verify", "--quiet", "--end-of-options", ref + "^{commit}"],
        capture_output=True, text=True,
    )
    if run.returncode != 0:
        raise InputError(f"'{ref}' is neither a folder nor a git ref of {checkout}")
    return run.stdout.strip()


def _worktree(name, commit, options):
    """A worktree per side, kept between runs, so that Bazel builds only what changed; made anew for another clone."""
    os.makedirs(options.cache_dir, exist_ok=True)
    folder = os.path.join(options.cache_dir, name)
    if os.path.isdir(folder) and _repository_of(folder) == _repository_of(options.checkout):
        _git(folder, "checkout", "--quiet", "--force", "--detach", commit)
        _git(folder, "clean", "-qfd")
    else:
        shutil.rmtree(folder, ignore_errors=True)
        _git(options.checkout, "worktree", "prune")
        _git(options.checkout, "worktree", "add", "--quiet", "--force", "--detach", folder, commit)
    return folder


def _repository_of(folder):
    """The .git folder that a worktree belongs to, or an empty string where that is gone."""
    run = subprocess.run(["git", "-C", folder, "rev-parse", "--path-format=absolute", "--git-common-dir"],
                         capture_output=True, text=True)
    return os.path.realpath(run.stdout.strip()) if run.returncode == 0 else ""


def _git(folder, *arguments):
    run = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True)
    if run.returncode != 0:
        raise InputError(f"git {' '.join(arguments)} failed in {folder}: {run.stderr.strip()}")
    return run.stdout.strip()


def _build(name, given, folder, target_pattern, options):
    bazel = _Bazel(folder, options)
    labels = _select(bazel.labels(only_tagged=target_pattern is None), target_pattern)
    if labels:
        print(f"perf: building {len(labels)} targets of {name} ({given})", file=sys.stderr)
        bazel.build([*labels, CALIBRATE])
    commit = _git(folder, "rev-parse", "HEAD")
    if _git(folder, "status", "--porcelain", "--untracked-files=no"):
        commit += "-dirty"
    copied = os.path.join(options.cache_dir, "binaries", name)
    programs = bazel.copy_binaries([*labels, CALIBRATE] if labels else [], copied)
    calibrate = programs.pop(CALIBRATE, [])
    return Side(name, given, commit, programs, calibrate)


def _select(labels, target_pattern):
    chosen = [label for label in labels if label != CALIBRATE]
    if target_pattern is not None:
        chosen = [label for label in chosen if target_pattern.search(label)]
    return sorted(chosen)


def _select_from(name, given, programs, target_pattern):
    labels = _select(programs, target_pattern)
    return Side(name, given, "", {label: programs[label] for label in labels}, programs.get(CALIBRATE, []))


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


class _Bazel:
    def __init__(self, folder, options):
        self._folder = folder
        self._flags = list(options.bazel_flags)
        self._startup = []
        user_flags = os.path.join(options.checkout, "user.bazelrc")
        if os.path.isfile(user_flags) and os.path.abspath(folder) != os.path.abspath(options.checkout):
            self._startup = [f"--bazelrc={user_flags}"]

    def labels(self, only_tagged):
        """The programs under //bench that can be built here."""
        # Where there is no CUDA toolkit, whatever needs it names this constraint, which nothing satisfies.
        cuda_only = "attr('target_compatible_with', 'toolkit_present', deps(//bench/...))"
        programs = f"attr('tags', '\\bperf_target\\b', {_PROGRAMS})" if only_tagged else _PROGRAMS
        query = f"{programs} except rdeps(//bench/..., {cuda_only})"
        return self._run("query", "--noshow_progress", query).split()

    def build(self, labels):
        self._run("build", *self._flags, "--compilation_mode=opt", *labels, is_shown=True)

    def copy_binaries(self, labels, target):
        """Copies what was built, so that another build in the same folder changes nothing measured."""
        if not labels:
            return {}
        bin_folder = self._run("info", *self._flags, "--compilation_mode=opt", "bazel-bin").strip()
        programs = {}
        for label in labels:
            relative = label.removeprefix("//").replace(":", "/")
            path = os.path.join(target, relative)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            _copy(os.path.join(bin_folder, relative), path)
            programs[label] = [path]
        return programs

    def _run(self, command, *arguments, is_shown=False):
        line = ["bazel", *self._startup, command, *arguments]
        try:
            run = subprocess.run(
                line, cwd=self._folder, text=True, stdout=subprocess.PIPE,
                stderr=None if is_shown else subprocess.PIPE,
            )
        except FileNotFoundError as error:
            raise InputError("bazel is not installed; compare two folders of binaries instead") from error
        if run.returncode != 0:
            detail = "" if is_shown else ": " + (run.stderr.strip().splitlines() or ["no message"])[-1]
            raise InputError(f"bazel {command} failed in {self._folder} (exit code {run.returncode}){detail}")
        return run.stdout


def _copy(source, target):
    temporary = target + ".new"
    subprocess.run(["cp", "--reflink=auto", source, temporary], check=True)
    os.replace(temporary, target)

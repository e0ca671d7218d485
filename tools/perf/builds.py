"""Builds of git refs and checkouts, and the cache folder that they are made in.

The cache folder holds one worktree for the refs of both sides, one after the other; Bazel's output base for it, so that
only what differs is built; and copies of the binaries of both sides.
"""

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile

from tools.perf import processes
from tools.perf.errors import InputError

_WORKTREE, _OUTPUT_BASE, _BINARIES = "worktree", "bazel", "binaries"

# Those that write their results with --json_out: a grid search, say, does not.
_PROGRAMS = "kind('cc_binary', rdeps(//bench/..., //bench/harness:result_flags))"
# A build that fails with less than this left on the disk has probably failed for want of it.
_LITTLE_SPACE_BYTES = 500 << 20
# Of the Bazel server of the cache folder: it need not stay in memory while programs are measured.
_MAX_IDLE_S = 15
# That Bazel has to end what it builds when the user interrupts it.
_PATIENCE_S = 20


class Cache:
    """The cache folder, and the checkout whose refs are built in it."""

    def __init__(self, folder, checkout):
        self.folder = folder
        self.checkout = checkout

    @contextlib.contextmanager
    def alone(self):
        """Only one perf at a time builds and measures on a machine: two would measure each other."""
        try:
            os.makedirs(self.folder, exist_ok=True)
            lock = open(self._path("lock"), "w", encoding="ascii")
        except OSError as error:
            raise InputError(f"the cache folder {self.folder} cannot be written: {error.strerror}") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print("perf: another perf is measuring on this machine; waiting for it", file=sys.stderr)
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def of_ref(self, name, ref, flags):
        """The Build of a git ref."""
        commit = self._commit_of(ref)
        if commit == git(self.checkout, "rev-parse", "HEAD") and has_changes(self.checkout):
            # A person who asks for HEAD may mean what lies before them.
            print(f"perf: {name} is '{ref}' as committed, without the uncommitted changes of {self.checkout}; "
                  f"--{name} {self.checkout} takes them along", file=sys.stderr)
        startup = [*self._user_flags(), f"--output_base={self._path(_OUTPUT_BASE)}", f"--max_idle_secs={_MAX_IDLE_S}"]
        return Build(f"{name} ({ref})", self._worktree(commit), self._path(_BINARIES, name), startup, flags)

    def of_checkout(self, name, folder, flags):
        """The Build of a checkout in place."""
        folder = os.path.abspath(folder)
        startup = [] if folder == os.path.abspath(self.checkout) else self._user_flags()
        return Build(f"{name} ({folder})", folder, self._path(_BINARIES, name), startup, flags)

    def size_bytes(self):
        """As du counts: links to one file count once."""
        run = subprocess.run(["du", "-s", "--block-size=1", self.folder], capture_output=True, text=True)
        return int(run.stdout.split()[0]) if run.stdout else 0

    def clean(self):
        """Ends the folder's Bazel server and removes all that was built."""
        worktree, output_base = self._path(_WORKTREE), self._path(_OUTPUT_BASE)
        if os.path.isdir(worktree) and os.path.isdir(output_base) and shutil.which("bazel"):
            subprocess.run(["bazel", f"--output_base={output_base}", "shutdown"], cwd=worktree, capture_output=True)
        repository = _repository_of(worktree)
        for folder in (worktree, output_base, self._path(_BINARIES)):
            if os.path.isdir(folder):
                # Bazel takes the right to write away from folders of its own.
                subprocess.run(["chmod", "-R", "u+w", folder], capture_output=True)
                shutil.rmtree(folder)
        if repository:
            subprocess.run(["git", "--git-dir", repository, "worktree", "prune"], capture_output=True)

    def _path(self, *parts):
        return os.path.join(self.folder, *parts)

    def _user_flags(self):
        """A user's own flags of the checkout hold for every side."""
        path = os.path.join(self.checkout, "user.bazelrc")
        return [f"--bazelrc={path}"] if os.path.isfile(path) else []

    def _commit_of(self, ref):
        run = subprocess.run(
            ["git", "-C", self.checkout, "rev-parse", "--verify", "--quiet", "--end-of-options", ref + "^{commit}"],
            capture_output=True, text=True)
        if run.returncode != 0:
            reason = f": git says: {run.stderr.strip()}" if run.stderr.strip() else ""
            raise InputError(f"'{ref}' is neither a folder nor a git ref of {self.checkout}{reason}")
        return run.stdout.strip()

    def _worktree(self, commit):
        """Kept between runs; made anew for another clone, and where a kill left it in a state that git refuses."""
        folder = self._path(_WORKTREE)
        if os.path.isdir(folder) and _repository_of(folder) == _repository_of(self.checkout):
            try:
                git(folder, "checkout", "--quiet", "--force", "--detach", commit)
                git(folder, "clean", "-qfd")
                return folder
            except InputError:
                pass
        os.makedirs(self.folder, exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        git(self.checkout, "worktree", "prune")
        try:
            git(self.checkout, "worktree", "add", "--quiet", "--force", "--detach", folder, commit)
        except InputError as error:
            raise InputError(f"{error}{_space_note(self.folder)}") from error
        return folder


class Build:
    """Bazel in one folder, for one side; its failures name the side."""

    def __init__(self, side, folder, binaries, startup, flags):
        """binaries: the folder that what was built is copied to, so that another build changes nothing measured."""
        self._side = side
        self._folder = folder
        self._binaries = binaries
        self._startup = list(startup)
        self._flags = list(flags)

    def labels(self, only_tagged):
        """The programs under //bench that can be built here."""
        # Where there is no CUDA toolkit, whatever needs it names this constraint, which nothing satisfies.
        cuda_only = "attr('target_compatible_with', 'toolkit_present', deps(//bench/...))"
        programs = f"attr('tags', '\\bperf_target\\b', {_PROGRAMS})" if only_tagged else _PROGRAMS
        query = f"{programs} except rdeps(//bench/..., {cuda_only})"
        return self._run("query", "--noshow_progress", query).split()

    def programs(self, labels):
        """Builds the targets and returns {label: the words that start it}."""
        if not labels:
            return {}
        print(f"perf: building {len(labels)} targets of {self._side}", file=sys.stderr)
        self._run("build", *self._flags, "--compilation_mode=opt", *labels, is_shown=True)
        bin_folder = self._run("info", *self._flags, "--compilation_mode=opt", "bazel-bin").strip()
        shutil.rmtree(self._binaries, ignore_errors=True)
        programs = {}
        for label in labels:
            relative = label.removeprefix("//").replace(":", "/")
            programs[label] = [os.path.join(self._binaries, relative)]
            self._copy(os.path.join(bin_folder, relative), programs[label][0])
        return programs

    def commit(self):
        return git(self._folder, "rev-parse", "HEAD") + ("-dirty" if has_changes(self._folder) else "")

    def _run(self, command, *arguments, is_shown=False):
        line = ["bazel", *self._startup, command, *arguments]
        try:
            run = processes.run(
                line, patience_s=_PATIENCE_S, cwd=self._folder, stdout=subprocess.PIPE,
                stderr=None if is_shown else subprocess.PIPE)
        except FileNotFoundError as error:
            raise InputError("bazel is not installed; compare two folders of binaries instead") from error
        if run.returncode != 0:
            detail = "" if is_shown else f": {_last_line(run.stderr)}"
            output_base = "".join(flag.partition("--output_base=")[2] for flag in self._startup)
            raise InputError(
                f"{self._side}: bazel {command} failed in {self._folder} (exit code {run.returncode})"
                f"{detail}{_space_note(output_base, self._folder, tempfile.gettempdir())}")
        return run.stdout

    def _copy(self, source, target):
        try:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy(source, target)
        except OSError as error:
            raise InputError(f"{self._side}: cannot copy {source} to {target}: {error.strerror}") from error


def git(folder, *arguments):
    run = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True)
    if run.returncode != 0:
        raise InputError(f"git {' '.join(arguments)} failed in {folder}: {run.stderr.strip() or 'no message'}")
    return run.stdout.strip()


def has_changes(folder):
    return bool(git(folder, "status", "--porcelain", "--untracked-files=no"))


def _last_line(stderr):
    return (stderr.strip().splitlines() or ["no message"])[-1]


def _space_note(*folders):
    """What fails on a full disk does not always say so, or says it far above."""
    for folder in folders:
        if os.path.isdir(folder) and shutil.disk_usage(folder).free < _LITTLE_SPACE_BYTES:
            return f"; the disk of {folder} has {shutil.disk_usage(folder).free >> 20} MiB left"
    return ""


def _repository_of(folder):
    """The .git folder that a worktree belongs to, or an empty string where that is gone."""
    run = subprocess.run(["git", "-C", folder, "rev-parse", "--path-format=absolute", "--git-common-dir"],
                         capture_output=True, text=True)
    return os.path.realpath(run.stdout.strip()) if run.returncode == 0 else ""

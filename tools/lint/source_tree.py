"""The files of the repository as it stands on disk, for checks over the project's own text."""

import os
import subprocess
import sys


def root():
    """Returns the folder that holds WORKSPACE, which the test gets as a link in its runfiles."""
    return os.path.dirname(os.path.realpath("WORKSPACE"))


def paths(folder):
    """Returns the files that git tracks in `folder`; all but hidden folders and Bazel's links where git cannot say."""
    git = ["git", "-C", folder, "ls-files", "-z"]
    try:
        listed = subprocess.run(git, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
        found = [name for name in listed.stdout.decode().split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        found = _walk(folder)
    return sorted(name for name in found if os.path.isfile(os.path.join(folder, name)))


def _walk(folder):
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "bazel-"))]
        for name in files:
            yield os.path.relpath(os.path.join(parent, name), folder)


def read(folder):
    """Returns {path: text} of the files that are text."""
    texts = {}
    for path in paths(folder):
        with open(os.path.join(folder, path), "rb") as file:
            content = file.read()
        try:
            texts[path] = content.decode()
        except UnicodeDecodeError:
            continue
    return texts


def report(rule, findings, num_files):
    """Prints the findings and ends the process: 1 if there is any, or if there was nothing to look at."""
    for finding in findings:
        print(finding)
    if num_files == 0:
        print("%s: found no file to check" % rule)
        sys.exit(1)
    print("%s: %d files, %d findings" % (rule, num_files, len(findings)))
    sys.exit(1 if findings else 0)

"""Every BUILD.bazel and .bzl file is as buildifier lays it out."""

import os
import re
import shutil
import subprocess
import sys

from tools.lint import source_tree


def version(bazelw):
    """Returns the version that `bazelw`, the script's text, installs. Others lay some lines out differently."""
    return re.search(r"^buildifier_version=(\S+)$", bazelw, re.MULTILINE).group(1)


def _tool(root):
    with open(os.path.join(root, "bazelw"), encoding="utf-8") as file:
        wanted = version(file.read())
    installed = os.path.join(root, ".tools", "buildifier-" + wanted)
    if os.path.exists(installed):
        return installed
    tool = shutil.which("buildifier")
    if tool and "version: %s " % wanted in subprocess.run([tool, "--version"], stdout=subprocess.PIPE).stdout.decode():
        return tool
    reason = "could not fetch it" if shutil.which("npm") else "is not installed, from which ./bazelw takes it"
    print("SKIPPED: buildifier %s is not installed: npm %s" % (wanted, reason))
    sys.exit(0)


def main():
    root = source_tree.root()
    tool = _tool(root)
    files = [path for path in source_tree.paths(root) if path.endswith((".bazel", ".bzl")) or path == "WORKSPACE"]
    run = subprocess.run([tool, "--mode=check"] + files, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    findings = [line for line in run.stdout.decode().split("\n") if line]
    if run.returncode != 0 and not findings:
        findings = ["buildifier failed"]
    source_tree.report("buildifier", findings, len(files))


if __name__ == "__main__":
    os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/local/bin:/usr/bin"
    main()

"""Every BUILD.bazel and .bzl file is as buildifier lays it out."""

import os
import shutil
import subprocess
import sys

from tools.lint import source_tree


def main():
    tool, root = shutil.which("buildifier"), source_tree.root()
    if not tool:
        print("SKIPPED: buildifier is not installed (Debian has no package of it)")
        sys.exit(0)
    files = [path for path in source_tree.paths(root) if path.endswith((".bazel", ".bzl")) or path == "WORKSPACE"]
    run = subprocess.run([tool, "--mode=check"] + files, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    findings = [line for line in run.stdout.decode().split("\n") if line]
    if run.returncode != 0 and not findings:
        findings = ["buildifier failed"]
    source_tree.report("buildifier", findings, len(files))


if __name__ == "__main__":
    os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/local/bin:/usr/bin"
    main()

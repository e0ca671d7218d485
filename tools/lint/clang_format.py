"""Every C++ and CUDA file is as clang-format lays it out."""

import os
import re
import shutil
import subprocess
import sys

from tools.lint import source_tree

# Another version lays some lines out differently, and the files can follow one only.
VERSION = "14"


def _tool():
    for name in ("clang-format-" + VERSION, "clang-format"):
        tool = shutil.which(name)
        if not tool:
            continue
        said = subprocess.run([tool, "--version"], stdout=subprocess.PIPE, check=True).stdout.decode()
        if re.search(r"version %s\." % VERSION, said):
            return tool
    print("SKIPPED: clang-format %s is not installed (apt-get install clang-format-%s)" % (VERSION, VERSION))
    sys.exit(0)


def main():
    tool, root = _tool(), source_tree.root()
    files = [path for path in source_tree.paths(root) if path.endswith((".h", ".cc", ".cu", ".cuh"))]
    half = (len(files) + 1) // 2
    runs = [
        subprocess.Popen([tool, "--dry-run", "-Werror"] + part, cwd=root, stderr=subprocess.PIPE)
        for part in (files[:half], files[half:])
        if part
    ]
    findings, failed = [], False
    for run in runs:
        text = run.communicate()[1].decode()
        failed = failed or run.returncode != 0
        findings += [line for line in text.split("\n") if " error: " in line]
    if failed and not findings:
        findings = ["clang-format failed"]
    source_tree.report("clang-format", findings, len(files))


if __name__ == "__main__":
    os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/local/bin:/usr/bin"
    main()

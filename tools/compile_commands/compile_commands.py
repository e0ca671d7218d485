"""Turns Bazel's compile actions into a compilation database on standard output.

  compile_commands.py ACTIONS EXECUTION_ROOT

ACTIONS is the output of `bazel aquery --output=jsonproto`.  Each command runs in Bazel's execution root, where the
paths in it hold; "file" is the path in the repository, which editors ask for.
"""

import json
import os
import sys

# Options of gcc that clang, and so clangd, does not take.
GCC_ONLY = ("-fno-canonical-system-headers",)

# Options of nvcc that say nothing about the source; the second ones are followed by a value.
NVCC_ONLY = ("--objdir-as-tempdir", "-Werror=all-warnings", "-lineinfo")
NVCC_ONLY_WITH_VALUE = ("-ccbin", "-gencode", "-Xcompiler", "-x")


def clang_arguments(arguments):
    """Returns the arguments of a compile action as clang takes them."""
    if os.path.basename(arguments[0]) != "nvcc":
        return [argument for argument in arguments if argument not in GCC_ONLY]
    toolkit = os.path.dirname(os.path.dirname(arguments[0]))
    # Without --cuda-host-only, clang rejects architectures that are newer than it.
    kept = ["clang++", "-x", "cuda", "--cuda-host-only", "--cuda-path=" + toolkit, "-Wno-unknown-cuda-version"]
    rest = iter(arguments[1:])
    for argument in rest:
        if argument in NVCC_ONLY_WITH_VALUE:
            next(rest)
        elif argument not in NVCC_ONLY:
            kept.append(argument)
    return kept


def commands(actions, execution_root, repository):
    """Returns the database's entries, one a source file; a file compiled twice (with and without -fPIC) has one."""
    entries = {}
    for action in actions:
        arguments = clang_arguments(action["arguments"])
        source = arguments[arguments.index("-o") - 1]
        if source.startswith(("external/", "bazel-out/")):
            continue
        file = os.path.join(repository, source)
        entries.setdefault(file, {"directory": execution_root, "arguments": arguments, "file": file})
    return [entries[file] for file in sorted(entries)]


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        actions = json.load(file).get("actions", [])
    json.dump(commands(actions, sys.argv[2], os.getcwd()), sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    # A character that the terminal's encoding lacks is written as an escape.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")
    main()

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


def commands(actions, execution_root, repository):
    """Returns the database's entries, one a source file; a file compiled twice (with and without -fPIC) has one."""
    entries = {}
    for action in actions:
        arguments = [argument for argument in action["arguments"] if argument not in GCC_ONLY]
        source = arguments[arguments.index("-c") + 1]
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

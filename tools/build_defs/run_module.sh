#!/bin/bash
# Runs a Python module of this repository: a test names it as its argument, a program in the file <program>.main.
set -euo pipefail
runfiles="$0.runfiles"
if [[ ! -d "$runfiles" ]]; then
  runfiles="${RUNFILES_DIR:-${TEST_SRCDIR:?start this through Bazel}}"
fi
# Bazel calls the repository by its name in WORKSPACE, or _main where it reads MODULE.bazel.
root="$runfiles/sluice"
if [[ ! -d "$root" ]]; then
  root="$runfiles/_main"
fi
module=()
if [[ -f "$0.main" ]]; then
  module=("$(<"$0.main")")
fi
PYTHONPATH=$(realpath -s "$root")
export PYTHONPATH
# -P: modules come from there alone, never from the folder that the user stands in.
exec /usr/bin/python3 -B -P -s -m "${module[@]}" "$@"

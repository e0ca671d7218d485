#!/bin/bash
# Runs a Python module of this repository: a test names it as its argument, a program in the file <program>.main.
set -euo pipefail
if [[ -d "$0.runfiles" ]]; then
  root="$0.runfiles/sluice"
else
  root="${RUNFILES_DIR:-${TEST_SRCDIR:?start this through Bazel}}/sluice"
fi
module=()
if [[ -f "$0.main" ]]; then
  module=("$(<"$0.main")")
fi
PYTHONPATH=$(realpath -s "$root")
export PYTHONPATH
# -P: modules come from there alone, never from the folder that the user stands in.
exec /usr/bin/python3 -B -P -s -m "${module[@]}" "$@"

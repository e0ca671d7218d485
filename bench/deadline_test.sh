#!/bin/bash
# A rank that another waits for longer than the deadline ends a benchmark on threads: exit code 124, nothing written,
# and a first line that names it.
# deadline_test.sh PROGRAM ARGUMENT...
set -u

json="${TEST_TMPDIR:?}/result.json"
output=$("$@" --timeout_s=0.001 --json_out="$json" 2>&1 >/dev/null)
exit_code=$?
first_line=${output%%$'\n'*}
echo "exit code $exit_code, $first_line"
[[ $exit_code == 124 ]] || exit 1
[[ $first_line =~ ^"error: deadline passed: rank "[0-9]+" " ]] || exit 1
[[ ! -e $json ]]
